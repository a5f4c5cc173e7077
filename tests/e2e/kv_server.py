#!/usr/bin/env python3
"""kv_server: the answers of redis, to its own clients and to peers that mean no good."""

import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from harness import PATIENCE, Server, accepts, eventually, main, receive, receive_all

WRONG_TYPE = "-WRONGTYPE Operation against a key holding the wrong kind of value"
NO_INTEGER = "-ERR value is not an integer or out of range"
SYNTAX = "-ERR syntax error"
NOT_POSITIVE = "-ERR value is out of range, must be positive"
ABOUT_100 = range(81, 101)  # seconds, of which some may have passed


def wrong_number(name):
    return f"-ERR wrong number of arguments for '{name}' command"


# What is asked, from empty, and the answer: a string for a line, bytes, a number, None or a list.
CONVERSATION = [
    ("PING", "+PONG"), ("ping hello", b"hello"), ("PING a b", wrong_number("ping")),
    ("ECHO hello", b"hello"), ("eChO", wrong_number("echo")),
    ("NONSENSE a b", "-ERR unknown command 'NONSENSE', with args beginning with: 'a' 'b' "),
    ("SELECT 0", "+OK"), ("SELECT 99", "-ERR DB index is out of range"), ("SELECT x", NO_INTEGER),
    ("CLIENT SETNAME me", "+OK"),
    # strings
    ("SET k v", "+OK"), ("GET k", b"v"), ("GET none", None), ("GET", wrong_number("get")),
    ("SET k w NX", None), ("SET k w XX GET", b"v"), ("GET k", b"w"), ("SET new w XX", None),
    ("SET new w XX GET", None), ("SET new w NX GET", None), ("SET new z NX GET", b"w"),
    ("SET k v NX XX", SYNTAX), ("SET k v EX", SYNTAX), ("SET k v EX 5 PX 5", SYNTAX),
    ("SET k v EX 5 KEEPTTL", SYNTAX), ("SET k v NONSENSE", SYNTAX), ("SET k", wrong_number("set")),
    ("SET k v EX x", NO_INTEGER), ("SET k v EX 0", "-ERR invalid expire time in 'set' command"),
    ("SET k v PX -5", "-ERR invalid expire time in 'set' command"),
    ("SET k v EX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
    ("SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
    ("MSET a 1 b 2 a 3", "+OK"), ("MGET a none b l", [b"3", None, b"2", None]),
    ("MSET a", wrong_number("mset")), ("MSET a 1 b", wrong_number("mset")),
    ("INCR n", 1), ("INCR n", 2), ("GET n", b"2"), ("SET n -1", "+OK"), ("INCR n", 0),
    ("SET n 9223372036854775806", "+OK"), ("INCR n", 9223372036854775807),
    ("INCR n", "-ERR increment or decrement would overflow"),
    ("SET n 9223372036854775808", "+OK"), ("INCR n", NO_INTEGER),
    ("SET n 05", "+OK"), ("INCR n", NO_INTEGER), ("SET n -0", "+OK"), ("INCR n", NO_INTEGER),
    ("INCR k", NO_INTEGER), ("SET n 1.5", "+OK"), ("INCR n", NO_INTEGER),
    # lists
    ("LPUSH l a b c", 3), ("LPUSH l d", 4), ("LRANGE l 0 -1", [b"d", b"c", b"b", b"a"]),
    ("LRANGE l 1 2", [b"c", b"b"]), ("LRANGE l -2 99", [b"b", b"a"]), ("LRANGE l 2 1", []),
    ("LRANGE l -99 0", [b"d"]), ("LRANGE l 9 10", []), ("LRANGE none 0 -1", []),
    ("LRANGE l x 1", NO_INTEGER), ("LRANGE k 0 1", WRONG_TYPE), ("LPUSH k a", WRONG_TYPE),
    ("LPUSH l", wrong_number("lpush")), ("LRANGE l 0", wrong_number("lrange")),
    ("LPOP l", b"d"), ("LPOP l 2", [b"c", b"b"]), ("LPOP l 0", []), ("LPOP l -1", NOT_POSITIVE),
    ("LPOP l x", NOT_POSITIVE), ("LPOP l 1 2", wrong_number("lpop")), ("LPOP l 9", [b"a"]),
    ("EXISTS l", 0), ("LPOP l", None), ("LPOP l 2", None), ("LPOP k", WRONG_TYPE),
    ("LPUSH l a", 1), ("GET l", WRONG_TYPE), ("INCR l", WRONG_TYPE), ("SET l v GET", WRONG_TYPE),
    ("SET l v", "+OK"), ("GET l", b"v"),
    # keys
    ("EXISTS k k none", 2), ("DEL k none a", 2), ("EXISTS k", 0), ("DEL", wrong_number("del")),
    ("TTL none", -2), ("TTL b", -1), ("PTTL none", -2), ("PTTL b", -1),
    ("EXPIRE b 100", 1), ("TTL b", ABOUT_100), ("SET b 3 KEEPTTL", "+OK"), ("TTL b", ABOUT_100),
    ("SET b 3", "+OK"), ("TTL b", -1), ("EXPIRE none 100", 0), ("EXPIRE b x", NO_INTEGER),
    ("EXPIRE b 9223372036854775807", "-ERR invalid expire time in 'expire' command"),
    ("EXPIRE b 5 NONSENSE", "-ERR Unsupported option NONSENSE"),
    ("SET b 3 EX 100", "+OK"), ("INCR b", 4), ("TTL b", ABOUT_100), ("MSET b 1", "+OK"),
    ("TTL b", -1), ("PEXPIRE b 100000", 1), ("TTL b", ABOUT_100), ("EXPIRE b 0", 1),
    ("EXISTS b", 0), ("PEXPIRE l -1", 1), ("DBSIZE", 2), ("FLUSHALL", "+OK"), ("DBSIZE", 0),
    ("CONFIG GET save", [b"save", b""]), ("CONFIG GET", wrong_number("config|get")),
    ("COMMAND NONSENSE", "-ERR unknown subcommand 'NONSENSE'. Try COMMAND HELP."),
    ("QUIT", "+OK"),
]

# What is no request, and what is said before the connection is closed.
BROKEN = [
    (b"*1\r\n:1\r\n", b"-ERR Protocol error: expected '$', got ':'\r\n"),
    (b"*1\r\n\r\n", b"-ERR Protocol error: expected '$', got ' '\r\n"),
    (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*1\r\n$-1\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n$99999999999\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n$x\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"GET \"k\r\n", b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    (b"x" * 70000, b"-ERR Protocol error: too big inline request\r\n"),
]
# The same, where redis is more patient.
BROKEN_HERE = [
    (b"*1048577\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*1\r\n$4\r\nPINGxx", b"-ERR Protocol error: expected CRLF behind a bulk string\r\n"),
    (b"*2\r\n" + b"$60\r\n" + b"x" * 60 + b"\r\n$67108860\r\n",
     b"-ERR Protocol error: too big request\r\n"),
]


def encode(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Client:
    """Speaks RESP, on a connected socket."""

    def __init__(self, connection):
        self.connection = connection
        self.file = connection.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.connection.close()

    def ask(self, *words):
        self.connection.sendall(encode(*words))
        return self.answer()

    def answer(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise AssertionError(f"the connection ended within an answer: {line}")
        kind, rest = line[:1], line[1:-2]
        if kind in b"+-":
            return (kind + rest).decode()
        number = int(rest)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"*":
            return [self.answer() for _ in range(number)]
        return self.file.read(number + 2)[:-2]


class KvServer(Server):
    program = "kv_server"

    def client(self):
        return Client(self.connect())

    def memory(self):
        """Resident, in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s*(\d+)", status, re.M)[1]) * 1024


def tool(name):
    path = shutil.which(name)
    if not path:
        raise unittest.SkipTest(f"{name} is not installed (Debian: redis-tools, redis-server)")
    return path


class Redis:
    """The real one, on a Unix socket."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = f"{self.folder.name}/redis"
        command = [tool("redis-server"), "--port", "0", "--unixsocket", self.path, "--save", "",
                   "--dir", self.folder.name]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def __enter__(self):
        if not eventually(lambda: accepts(self.path)):
            raise AssertionError("redis-server did not start")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def connect(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(self.path)
        return connection


class Answers(unittest.TestCase):
    def converse(self, connection):
        with Client(connection) as client:
            for request, expected in CONVERSATION:
                with self.subTest(request=request):
                    answer = client.ask(*request.split())
                    if isinstance(expected, range):
                        self.assertIn(answer, expected)
                    else:
                        self.assertEqual(answer, expected)
            self.assertEqual(client.file.read(), b"")  # after QUIT

    def break_protocol(self, connect, cases):
        for request, expected in cases:
            with self.subTest(request=request[:40]), connect() as connection:
                connection.sendall(encode("PING") + request)
                self.assertEqual(receive_all(connection), b"+PONG\r\n" + expected)

    def test_each_command_and_each_error(self):
        for threads in (1, 3):
            with self.subTest(threads=threads), KvServer("--threads", threads) as server:
                self.converse(server.connect())
                self.assertEqual(server.stop()[::2], (0, ""))

    def test_redis_gives_the_same_answers(self):
        with Redis() as redis:
            self.converse(redis.connect())

    def test_an_error_in_the_protocol_is_said_and_ends_the_connection(self):
        with KvServer() as server:
            self.break_protocol(server.connect, BROKEN + BROKEN_HERE)

    def test_redis_says_the_same_about_errors_in_the_protocol(self):
        with Redis() as redis:
            self.break_protocol(redis.connect, BROKEN)

    def test_keys_and_values_are_any_bytes(self):
        every = bytes(range(256))
        with KvServer() as server, server.client() as client:
            self.assertEqual(client.ask("SET", every, every * 3), "+OK")
            self.assertEqual(client.ask("GET", every), every * 3)
            self.assertEqual(client.ask("SET", b"", b""), "+OK")
            self.assertEqual(client.ask("MGET", b"", every), [b"", every * 3])
            self.assertEqual(client.ask(b"a\r\nb"), "-ERR unknown command 'a  b', "
                                                    "with args beginning with: ")

    def test_lines_are_requests_too(self):
        conversation = [
            (b"PING\r\n", b"+PONG\r\n"), (b"\r\n\n  \t ping\n", b"+PONG\r\n"),
            (b'SET k "a b\\x41\\n\\"" \r\n', b"+OK\r\n"), (b"GET 'k'\n", b'$6\r\na bA\n"\r\n'),
            (b"ECHO 'it\\'s \\n'\r\n", b"$7\r\nit's \\n\r\n"), (b'ECHO ""\r\n', b"$0\r\n\r\n"),
            (b"*0\r\n*-1\r\nPING\r\n", b"+PONG\r\n"), (b"QUIT\r\nPING\r\n", b"+OK\r\n"),
        ]
        with KvServer() as server, server.connect() as connection:
            for request, expected in conversation:
                connection.sendall(request)
                self.assertEqual(receive(connection, len(expected)), expected)
            self.assertEqual(receive_all(connection), b"")

    def test_a_pipeline_may_be_split_at_every_byte(self):
        requests = (encode("FLUSHALL") + encode("SET", "k", "a\r\nb") + b"GET k\r\n"
                    + encode("LPUSH", "l", "x", "y") + encode("LRANGE", "l", 0, -1)
                    + b"ECHO 'q'\r\n" + encode("NONE") + encode("INCR", "n"))
        answers = (b"+OK\r\n+OK\r\n$4\r\na\r\nb\r\n:2\r\n*2\r\n$1\r\ny\r\n$1\r\nx\r\n$1\r\nq\r\n"
                   b"-ERR unknown command 'NONE', with args beginning with: \r\n:1\r\n")
        with KvServer() as server, server.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(len(requests)):
                connection.sendall(requests[:at])
                connection.sendall(requests[at:])
                self.assertEqual(receive(connection, len(answers)), answers)
            for byte in requests:
                connection.sendall(bytes([byte]))
            self.assertEqual(receive(connection, len(answers)), answers)

    def test_keys_end_in_time_and_leave_nothing_behind(self):
        with KvServer() as server, server.client() as client:
            self.assertEqual(client.ask("SET", "k", "v", "PX", 30), "+OK")
            self.assertTrue(eventually(lambda: client.ask("GET", "k") is None))
            for i in range(300):
                client.ask("SET", f"k{i}", "v", "PX", 20 + i % 5)
            self.assertEqual(client.ask("SET", "stays", "v", "EX", 1000), "+OK")
            self.assertTrue(eventually(lambda: client.ask("DBSIZE") == 1))
            self.assertIn(b"db0:keys=1,expires=1,", client.ask("INFO", "keyspace"))
            client.ask("DEL", "stays")
            self.assertEqual(client.ask("SET", "again", "v", "PX", 20), "+OK")
            self.assertTrue(eventually(lambda: client.ask("DBSIZE") == 0))

    def test_info_is_lines_of_names_and_values(self):
        with KvServer() as server, server.client() as client:
            client.ask("SET", "k", "v")
            lines = client.ask("INFO").decode().split("\r\n")
            pairs = dict(x.split(":", 1) for x in lines if x and not x.startswith("#"))
            self.assertEqual(pairs["process_id"], str(server.process.pid))
            self.assertEqual(pairs["connected_clients"], "1")
            self.assertEqual(pairs["total_commands_processed"], "2")
            self.assertEqual(pairs["db0"], "keys=1,expires=0,avg_ttl=0")
            self.assertEqual(client.ask("INFO", "CLIENTS", "nonsense"),
                             b"# Clients\r\nconnected_clients:1\r\n")

    def test_threads_share_the_values(self):
        with KvServer("--threads", 4) as server:
            clients = [server.client() for _ in range(8)]

            def work(client):
                for i in range(200):
                    client.ask("INCR", "n")
                    client.ask("MSET", "a", i, "b", i, "c", i)
                    a, b, c = client.ask("MGET", "a", "b", "c")
                    torn.extend([] if a == b == c else [(a, b, c)])

            torn = []
            workers = [threading.Thread(target=work, args=(c,)) for c in clients]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            self.assertEqual(torn, [])
            self.assertEqual(clients[0].ask("GET", "n"), b"1600")
            for client in clients:
                client.__exit__()


class Limits(unittest.TestCase):
    def test_large_values_come_back_whole(self):
        value = bytes(range(256)) * (8 << 12)
        with KvServer() as server, server.client() as client:
            self.assertEqual(client.ask("SET", "k", value), "+OK")
            self.assertEqual(client.ask("MGET", "k", "none", "k"), [value, None, value])

    def test_a_request_that_is_too_large_is_refused(self):
        with KvServer("--max-request", 1024) as server:
            for words in (["SET", "k", "x" * 1025], ["MSET", "k", "x" * 600, "l", "x" * 600]):
                with self.subTest(words=words), server.connect() as connection:
                    connection.sendall(encode(*words))
                    self.assertRegex(receive_all(connection), b"^-ERR Protocol error: ")

    def test_an_answer_that_is_too_large_is_refused(self):
        refusal = "-ERR the answer would have more than 1024 bytes"
        with KvServer("--max-request", 1024) as server, server.client() as client:
            self.assertEqual(client.ask("SET", "k", "x" * 900), "+OK")
            self.assertEqual(client.ask("MGET", "k", "k"), refusal)
            for _ in range(2):
                client.ask("LPUSH", "l", "x" * 900)
            self.assertEqual(client.ask("LRANGE", "l", 0, -1), refusal)
            self.assertEqual(client.ask("LPOP", "l", 2), refusal)
            self.assertEqual(client.ask("LPOP", "l"), b"x" * 900)
            self.assertEqual(client.ask("GET", "k"), b"x" * 900)

    def test_who_never_reads_holds_up_nobody_and_costs_little(self):
        with KvServer() as server, server.connect() as rude, server.client() as client:
            client.ask("SET", "k", "x" * 100_000)
            before = server.memory()
            rude.setblocking(False)
            sent = 0
            while sent < 50_000_000 and select.select([], [rude], [], 0.3)[1]:
                sent += rude.send(encode("GET", "k") * 1000)
            self.assertLess(sent, 50_000_000)  # it is not read any more
            self.assertTrue(all(client.ask("PING") == "+PONG" for _ in range(100)))
            self.assertLess(server.memory() - before, 16 << 20)

    def test_one_client_too_many_is_told_so(self):
        with KvServer("--max-connections", 1) as server, server.client() as client:
            self.assertEqual(client.ask("PING"), "+PONG")
            with server.connect() as other:
                self.assertEqual(receive_all(other), b"-ERR max number of clients reached\r\n")


class Tools(unittest.TestCase):
    def test_redis_cli(self):
        with KvServer() as server:
            cli = [tool("redis-cli"), "-p", str(server.port)]
            script = "".join(request + "\n" for request, _ in CONVERSATION)
            done = subprocess.run(cli, input=script, capture_output=True, text=True,
                                  timeout=PATIENCE, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for part in ("PONG\nhello\n", "d\nc\nb\na\n", "WRONGTYPE Operation against"):
                self.assertIn(part, done.stdout)
            done = subprocess.run([*cli, "--no-raw", "lpush", "l", "x"], capture_output=True,
                                  text=True, timeout=PATIENCE, check=False)
            self.assertEqual(done.stdout, "(integer) 1\n")

    def test_redis_benchmark(self):
        for threads in (1, 2):
            for pipeline in (1, 16):
                with self.subTest(threads=threads, pipeline=pipeline), \
                        KvServer("--threads", threads) as server, server.client() as client:
                    done = subprocess.run(
                        [tool("redis-benchmark"), "-p", str(server.port), "-n", "2000", "-c", "20",
                         "-P", str(pipeline), "-t", "ping,set,get,incr,lpush,mset", "--csv"],
                        capture_output=True, text=True, timeout=PATIENCE, check=False)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    self.assertEqual(len(done.stdout.splitlines()), 8, done.stdout)
                    self.assertNotIn("rror", done.stdout)
                    self.assertGreaterEqual(int(client.ask("GET", "counter:__rand_int__")), 2000)


class Life(unittest.TestCase):
    def test_sigterm_ends_idle_clients_and_waits_for_begun_requests(self):
        with KvServer() as server, server.client() as idle, server.client() as busy:
            self.assertEqual(idle.ask("SET", "k", "v"), "+OK")
            request = encode("GET", "k")
            busy.connection.sendall(encode("PING") + request[:9])  # it is read at once, or not
            self.assertEqual(busy.answer(), "+PONG")
            server.signal(signal.SIGTERM)
            self.assertEqual(idle.file.read(), b"")
            busy.connection.sendall(request[9:])
            self.assertEqual(busy.answer(), b"v")
            self.assertEqual(busy.file.read(), b"")
            code, out, err = server.end()
            self.assertEqual((code, err), (0, ""))
            self.assertIn("cut connections: 0", out)

    def test_it_ends_while_keys_have_a_time(self):
        with KvServer("--threads", 2) as server, server.client() as client:
            self.assertEqual(client.ask("SET", "k", "v", "EX", 1000), "+OK")
            self.assertEqual(server.stop()[::2], (0, ""))

    def test_a_port_in_use_is_one_sentence_and_exit_code_1(self):
        with KvServer() as server:
            done = subprocess.run([KvServer.folder / "kv_server", "--port", str(server.port)],
                                  capture_output=True, text=True, timeout=PATIENCE, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr,
                             f"kv_server: port {server.port} is already in use "
                             f"(127.0.0.1:{server.port}): choose another with --port\n")

    def test_help_names_its_options(self):
        done = subprocess.run([KvServer.folder / "kv_server", "--help"], capture_output=True,
                              text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0)
        for word in ("--host", "--port", "--threads", "--max-request", "6379", "67108864"):
            self.assertIn(word, done.stdout)


if __name__ == "__main__":
    main()
