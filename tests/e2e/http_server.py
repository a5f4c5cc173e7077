#!/usr/bin/env python3
"""http_server, talked to by curl, by wrk, and by clients that do not know how to behave."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from harness import PATIENCE, Rude, Server, eventually, main, receive, receive_all

TEXT = b"Hello, world\n"
GET = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"


class HttpServer(Server):
    program = "http_server"

    def talk(self, client):
        client.sendall(GET)
        Answers(client).next()


class Answers:
    """What comes from a server, answer by answer."""

    def __init__(self, client):
        self.stream = client.makefile("rb")

    def next(self, to_head=False):
        """Returns status, fields and body; None at the end of the stream."""
        line = self.stream.readline()
        if not line:
            return None
        fields = {}
        for field in iter(self.stream.readline, b"\r\n"):
            name, value = field.decode().rstrip("\r\n").split(": ", 1)
            fields[name] = value
        size = 0 if to_head else int(fields.get("Content-Length", 0))
        return int(line.split()[1]), fields, self.stream.read(size)


def ask(server, request, to_head=False):
    with server.connect() as client:
        client.sendall(request)
        return Answers(client).next(to_head)


def closes(client):
    """Whether the other side ends the connection, with or without unread bytes."""
    try:
        return receive_all(client) == b""
    except ConnectionError:
        return True


def get(path, *fields):
    lines = [f"GET {path} HTTP/1.1", "Host: a", *fields, ""]
    return "".join(line + "\r\n" for line in lines).encode()


def run(program, *args):
    if not shutil.which(program):
        raise unittest.SkipTest(f"{program} is not installed")
    done = subprocess.run([program, *args], capture_output=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout


class Folder(unittest.TestCase):
    """A folder to serve, with things beside it that nobody should get."""

    def setUp(self):
        outside = tempfile.TemporaryDirectory()
        self.addCleanup(outside.cleanup)
        (pathlib.Path(outside.name) / "secret").write_bytes(b"secret")
        self.root = pathlib.Path(outside.name) / "root"
        (self.root / "sub").mkdir(parents=True)
        self.big = os.urandom(5 << 20)
        (self.root / "big.bin").write_bytes(self.big)
        (self.root / "sub/index.html").write_bytes(b"<p>hi</p>")
        (self.root / "a b.txt").write_bytes(b"blank")
        (self.root / "empty").write_bytes(b"")
        (self.root / "inside").symlink_to("a b.txt")
        (self.root / "outside").symlink_to("../secret")
        (self.root / "absolute").symlink_to("/etc/passwd")
        os.mkfifo(self.root / "fifo")


class HttpFiles(Folder):
    def test_a_big_file_comes_whole(self):
        with HttpServer("--root", self.root) as server:
            url = f"http://127.0.0.1:{server.port}/big.bin"
            code, body = run("curl", "-sS", "--fail", url)
            self.assertEqual(code, 0)
            self.assertTrue(body == self.big)
            code, head = run("curl", "-sS", "--head", url)
            self.assertEqual(code, 0)
            self.assertIn(b"Content-Length: 5242880\r\n", head)
            self.assertIn(b"Content-Type: application/octet-stream\r\n", head)

    def test_a_slow_reader_gets_it_whole_and_does_not_hold_up_others(self):
        with HttpServer("--root", self.root) as server, server.connect() as slow:
            slow.sendall(get("/big.bin") + GET)
            self.assertEqual(ask(server, GET)[2], TEXT)
            answers = Answers(slow)
            self.assertTrue(answers.next()[2] == self.big)
            self.assertEqual(answers.next()[2], TEXT)

    def test_who_leaves_during_a_file_costs_nothing(self):
        with HttpServer("--root", self.root) as server:
            before = server.settled_descriptors()
            for _ in range(5):
                with server.connect() as client:
                    client.sendall(get("/big.bin"))
                    receive(client, 1000)
            self.assertEqual(ask(server, GET)[0], 200)
            self.assertTrue(eventually(lambda: server.descriptors() == before))

    def test_what_paths_mean(self):
        expected = {"/sub/": (200, "text/html; charset=utf-8", b"<p>hi</p>"),
                    "/a%20b.txt?x=%zz": (200, "text/plain; charset=utf-8", b"blank"),
                    "http://host/a%20b.txt": (200, "text/plain; charset=utf-8", b"blank"),
                    "/inside": (200, "application/octet-stream", b"blank"),
                    "/empty": (200, "application/octet-stream", b"")}
        with HttpServer("--root", self.root) as server, server.connect() as client:
            answers = Answers(client)
            for path, what in expected.items():
                with self.subTest(path=path):
                    client.sendall(get(path))
                    status, fields, body = answers.next()
                    self.assertEqual((status, fields["Content-Type"], body), what)

    def test_nothing_outside_the_folder_and_nothing_but_files(self):
        refused = {"/../secret": 404, "/sub/../../secret": 404, "/%2e%2e/secret": 404,
                   "/..%2fsecret": 404, "/outside": 404, "/absolute": 404, "//etc/passwd": 404,
                   "/fifo": 404, "/sub": 404, "/none": 404, "/": 404, "/%zz": 400, "/%00": 400,
                   "/%2": 400, "secret": 400, "*": 400}
        with HttpServer("--root", self.root) as server, server.connect() as client:
            answers = Answers(client)
            for path, status in refused.items():
                with self.subTest(path=path):
                    client.sendall(get(path))
                    self.assertEqual(answers.next()[0], status)

    def test_pipelined_answers_come_in_order(self):
        paths = ["/hello", "/none", "/inside", "/big.bin", "/empty", "/hello"] * 5
        with HttpServer("--root", self.root) as server, server.connect() as client:
            client.sendall(b"".join(get(path) for path in paths))
            answers = Answers(client)
            bodies = {"/hello": TEXT, "/none": b"404 Not Found\n", "/inside": b"blank",
                      "/big.bin": self.big, "/empty": b""}
            for path in paths:
                self.assertTrue(answers.next()[2] == bodies[path], path)


class HttpServerTalks(unittest.TestCase):
    def test_curl_keeps_the_connection(self):
        with HttpServer() as server:
            url = f"http://127.0.0.1:{server.port}/hello"
            code, out = run("curl", "-sS", "-w", "%{num_connects} ", url, url, "--next", "-sS",
                            "--http1.0", url)
            self.assertEqual((code, out.count(TEXT)), (0, 3))
            self.assertIn(b"1 " + TEXT + b"0 ", out)

    def test_fields(self):
        with HttpServer() as server:
            status, fields, body = ask(server, GET)
            self.assertEqual((status, body), (200, TEXT))
            self.assertNotIn("Connection", fields)
            date = time.strptime(fields["Date"], "%a, %d %b %Y %H:%M:%S GMT")
            self.assertLess(abs(time.mktime(date) - time.mktime(time.gmtime())), 60)
            status, fields, _ = ask(server, GET.replace(b"GET", b"HEAD"), to_head=True)
            self.assertEqual((status, fields["Content-Length"]), (200, str(len(TEXT))))

    def test_when_the_connection_ends(self):
        old = b"GET /hello HTTP/1.0\r\n%s\r\n"
        cases = {get("/hello", "Connection: close"): "close", old % b"": "close",
                 old % b"Connection: keep-alive\r\n": "keep-alive"}
        with HttpServer() as server:
            for request, connection in cases.items():
                with self.subTest(request=request), server.connect() as client:
                    client.sendall(request)
                    answers = Answers(client)
                    status, fields, body = answers.next()
                    self.assertEqual((status, body), (200, TEXT))
                    self.assertEqual(fields["Connection"], connection)
                    if connection == "close":
                        self.assertIsNone(answers.next())
                    else:
                        client.sendall(request)
                        self.assertEqual(answers.next()[2], TEXT)

    def test_thousand_requests_in_one_go(self):
        with HttpServer("--threads", 2) as server, server.connect() as client:
            client.sendall(b"\r\n" + GET * 1000)
            answers = Answers(client)
            self.assertEqual({answers.next()[2] for _ in range(1000)}, {TEXT})

    def test_requests_in_pieces(self):
        head = b"POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        end = b"0\r\n\r\n"
        with HttpServer() as server, server.connect() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers = Answers(client)
            for byte in head + b"3\r\nabc\r\n" + end + head + end + GET:
                client.send(bytes([byte]))
                time.sleep(0.001)
            self.assertEqual([answers.next()[0] for _ in range(2)], [405, 405])
            self.assertEqual(answers.next()[2], TEXT)

    def test_bodies_are_dropped(self):
        body = b"%s /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
        chunks = b"PUT /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + \
            b"400\r\n%s\r\n" % (b"y" * 1024) * 50 + b"0\r\nTrailer: t\r\n\r\n"
        with HttpServer("--max-body", 100_000) as server, server.connect() as client:
            answers = Answers(client)
            client.sendall(body % b"GET" + body % b"POST" + chunks + GET)
            self.assertEqual([answers.next()[0] for _ in range(4)], [200, 405, 405, 200])

    def test_expect_continue(self):
        fields = ("Content-Length: 3", "Expect: 100-continue")
        with HttpServer() as server, server.connect() as client:
            answers = Answers(client)
            client.sendall(get("/hello", *fields))
            self.assertEqual(answers.next()[0], 100)
            client.sendall(b"abc")
            self.assertEqual(answers.next()[2], TEXT)
            client.sendall(get("/none", *fields))
            self.assertEqual(answers.next()[0], 404)
            self.assertIsNone(answers.next())

    def test_who_is_malformed_gets_an_answer_and_is_closed(self):
        cases = {b"\x00\x01\x02\r\n\r\n": 400, b"GET\r\n\r\n": 400, b"GET / \r\n\r\n": 505,
                 b"GET / HTTP/2.0\r\nHost: a\r\n\r\n": 505, b"GET / HTTP/1.1\r\n\r\n": 400,
                 b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": 400,
                 b"GET / HTTP/1.1\r\nHost: a\r\nA\x00b: c\r\n\r\n": 400,
                 b"GET / HTTP/1.1\nHost: a\n\n": 505,
                 get("/", "Content-Length: -1"): 400, get("/", "Content-Length: 1, 2"): 400,
                 get("/", "Content-Length: 2000000"): 413,
                 get("/", "Content-Length: 99999999999999999999"): 400,
                 get("/", "Content-Length: 3", "Transfer-Encoding: chunked"): 400,
                 get("/", "Transfer-Encoding: gzip"): 501,
                 get("/", "Transfer-Encoding: chunked, gzip"): 501,
                 get("/", "Transfer-Encoding: chunked") + b"xyz\r\n\r\n": 400,
                 get("/", "Transfer-Encoding: chunked") + b"fffffff\r\n" + b"x" * 10: 413,
                 b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
                 get("/" + "a" * 2000): 414, get("/", "A: " + "b" * 9000): 431,
                 get("/", *(f"A{i}: {'b' * 100}" for i in range(1000))): 431}
        with HttpServer() as server:
            for request, status in cases.items():
                with self.subTest(request=request[:60]), server.connect() as client:
                    client.sendall(GET + request + GET)
                    answers = Answers(client)
                    self.assertEqual(answers.next()[2], TEXT)
                    found, fields, _ = answers.next()
                    self.assertEqual((found, fields["Connection"]), (status, "close"))
                    self.assertIsNone(answers.next())
            for what, status in ((b"DELETE", 405), (b"OPTIONS", 405), (b"BREW", 501)):
                self.assertEqual(ask(server, GET.replace(b"GET", what))[0], status)

    def test_wrk(self):
        with HttpServer("--threads", 2) as server:
            code, out = run("wrk", "-t1", "-c64", "-d1", "--timeout", f"{PATIENCE}s",
                            f"http://127.0.0.1:{server.port}/hello")
            self.assertEqual(code, 0)
            self.assertNotIn(b"Socket errors", out)
            self.assertNotIn(b"Non-2xx", out)
            self.assertRegex(out, rb"\d+ requests in")


class HttpServerLimits(unittest.TestCase):
    def test_a_head_that_comes_too_slowly_is_refused(self):
        with HttpServer("--request-timeout", 0.5) as server, contextlib.ExitStack() as opened:
            begin = time.monotonic()
            client = opened.enter_context(server.connect())
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.settimeout(0.01)
            answer = None
            while answer is None and time.monotonic() - begin < PATIENCE:
                client.send(b"a")  # a method that never ends
                try:
                    answer = client.recv(12)
                except TimeoutError:
                    pass
            self.assertEqual(answer, b"HTTP/1.1 408")
            self.assertGreater(time.monotonic() - begin, 0.4)

    def test_silent_clients_are_cut_without_a_word(self):
        with HttpServer("--idle-timeout", 1) as server:
            with server.connect() as new, server.connect() as old:
                old.sendall(GET)
                self.assertEqual(Answers(old).next()[2], TEXT)
                self.assertTrue(closes(new) and closes(old))

    def test_who_never_reads_is_cut_and_takes_no_memory(self):
        with HttpServer("--idle-timeout", 1) as server:
            before = server.settled_descriptors()
            with server.connect() as client:
                self.assertTrue(eventually(Rude(client, GET).is_cut))
                self.assertEqual(ask(server, GET)[0], 200)
                self.assertTrue(eventually(lambda: server.descriptors() == before))

    def test_more_than_max_connections(self):
        with HttpServer("--max-connections", 1) as server, server.connect() as first:
            first.sendall(GET)
            self.assertEqual(Answers(first).next()[0], 200)
            status, fields, _ = ask(server, GET)
            self.assertEqual((status, fields["Connection"]), (503, "close"))


class HttpServerLife(unittest.TestCase):
    def test_sigterm_ends_idle_connections_and_answers_the_others(self):
        with HttpServer("--drain", PATIENCE) as server:
            with server.connect() as idle, server.connect() as busy:
                idle.sendall(GET)
                self.assertEqual(Answers(idle).next()[0], 200)
                busy.sendall(GET + GET[:20])
                answers = Answers(busy)
                self.assertEqual(answers.next()[0], 200)
                server.signal()
                self.assertTrue(closes(idle))
                busy.sendall(GET[20:])
                status, fields, body = answers.next()
                self.assertEqual((status, fields["Connection"], body), (200, "close", TEXT))
                self.assertIsNone(answers.next())
            code, out, err = server.end()
            self.assertEqual((code, err), (0, ""))
            self.assertIn("stopped, cut connections: 0\n", out)

    def test_the_drain_ends(self):
        with HttpServer("--drain", 0.2) as server, server.connect() as busy:
            busy.sendall(GET + GET[:20])
            self.assertEqual(Answers(busy).next()[0], 200)
            code, out, _ = server.stop()
            self.assertEqual(code, 0)
            self.assertIn("stopped, cut connections: 1\n", out)

    def test_what_cannot_be_served_is_said(self):
        with HttpServer() as server:
            other = HttpServer("--host", "127.0.0.1", port=server.port)
            code, out, err = other.end()
            self.assertEqual((code, out), (1, ""))
            self.assertRegex(err, r"^http_server: port \d+ is already in use .*--port\n$")
        code, out, err = HttpServer("--root", "/no/such").end()
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"^http_server: cannot open the folder '/no/such': .*\n$")


if __name__ == "__main__":
    main()
