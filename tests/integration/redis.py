#!/usr/bin/env python3
"""redis_get with a real redis-server that is paused, killed and restarted."""

import os
import re
import socket
import subprocess
import unittest

from harness import PATIENCE, Program, closed_port, eventually, open_files
from redis_server import RedisServer, main_folder

GET = "third_party/redis/redis_get"


def get(server, *args, password=None):
    """Exit code, standard output and standard error of redis_get."""
    environment = {**os.environ, **({"REDIS_PASSWORD": password} if password else {})}
    if "--timeout" not in args:
        args = [*args, "--timeout", PATIENCE / 2]
    done = subprocess.run([Program.folder / GET, server, *map(str, args)], capture_output=True,
                          text=True, timeout=PATIENCE, check=False, env=environment)
    return done.returncode, done.stdout, done.stderr


class Answers(unittest.TestCase):
    def setUp(self):
        self.redis = RedisServer(self)
        self.redis.ask("SET", "name", "wire")

    def test_values_come_through_a_port_and_through_a_unix_socket(self):
        for server in self.redis.address, f"localhost:{self.redis.port}", self.redis.socket:
            self.assertEqual(get(server, "name", "none", "name"),
                             (0, "name: wire\nnone: (nil)\nname: wire\n", ""))

    def test_many_wires_share_one_connection(self):
        keys = [f"k{i}" for i in range(500)]
        for key in keys:
            self.redis.ask("SET", key, key + "!")
        code, out, err = get(self.redis.socket, *keys)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out, "".join(f"{key}: {key}!\n" for key in keys))
        # One connection for each ask() above, one for PING at least, and one for all wires.
        before = int(self.info("total_connections_received"))
        get(self.redis.socket, *keys)
        self.assertEqual(int(self.info("total_connections_received")), before + 2)

    def info(self, name):
        return re.search(rf"^{name}:(\S+)", self.redis.ask("INFO"), re.M)[1]

    def test_an_error_of_redis_keeps_its_words(self):
        self.redis.ask("LPUSH", "list", "x")
        self.assertEqual(get(self.redis.socket, "list", "name"), (
            1, "name: wire\n", "redis_get: list: WRONGTYPE Operation against a key holding the "
            "wrong kind of value\n"))

    def test_a_server_that_is_stopped_costs_the_deadline_and_other_wires_go_on(self):
        self.redis.pause()
        code, out, err = get(self.redis.socket, "name", "--timeout", 1, "--tick")
        self.assertEqual((code, err), (1, "redis_get: name: no answer in time\n"))
        self.assertGreater(int(out.removesuffix(" ticks\n")), 2)
        self.redis.go_on()
        self.assertEqual(get(self.redis.socket, "name")[0], 0)

    def test_an_answer_that_comes_late_but_in_time_is_an_answer(self):
        self.redis.pause()
        client = Program(self, GET, self.redis.socket, "name", "--timeout", PATIENCE, "--tick")
        self.assertTrue(eventually(lambda: self.asks(client)))
        self.redis.go_on()
        code, out, err = client.end()
        self.assertEqual((code, out.splitlines()[0], err), (0, "name: wire", ""))

    def asks(self, client):
        """Whether it is connected; the kernel does that for a server that is stopped."""
        return any(name.startswith("socket:") for name in open_files(client.pid))

    def test_a_server_that_is_killed_ends_all_waits_with_a_sentence(self):
        self.redis.pause()
        client = Program(self, GET, self.redis.address, "a", "b", "--timeout", PATIENCE)
        self.assertTrue(eventually(lambda: self.asks(client)))
        self.redis.kill()
        code, out, err = client.end()
        self.assertEqual((code, out), (1, ""))
        why = r"(Server closed the connection|Connection reset by peer|Connection refused \(is .*)"
        self.assertRegex(err, rf"^redis_get: (a|cannot connect): redis 127.0.0.1:\d+: {why}\n")
        self.redis.start()
        self.assertEqual(get(self.redis.address, "a"), (0, "a: (nil)\n", ""))


class Refusals(unittest.TestCase):
    def test_a_password_is_asked_for_in_the_words_of_redis(self):
        redis = RedisServer(self, "--requirepass", "secret")
        self.assertEqual(get(redis.socket, "a"),
                         (1, "", "redis_get: a: NOAUTH Authentication required.\n"))
        code, _, err = get(redis.socket, "a", password="guess")
        self.assertEqual(code, 1)
        self.assertIn("redis_get: AUTH: WRONGPASS invalid username-password pair", err)
        self.assertEqual(get(redis.socket, "a", password="secret"), (0, "a: (nil)\n", ""))

    def test_too_many_clients_are_told_so(self):
        redis = RedisServer(self, "--maxclients", "1")
        only = self.enter(redis)
        while not only:  # as long as the server has not noticed that others have gone
            only = self.enter(redis)
        with only:
            code, _, err = get(redis.address, "a")
        self.assertEqual(code, 1)
        self.assertIn("max number of clients reached", err)

    def enter(self, redis):
        client = socket.create_connection(("127.0.0.1", redis.port), PATIENCE)
        client.sendall(b"PING\r\n")
        if client.recv(64) == b"+PONG\r\n":
            return client
        client.close()
        return None

    def test_where_nobody_listens_is_named(self):
        with closed_port() as port:
            self.assertEqual(get(f"127.0.0.1:{port}", "a"), (
                1, "", f"redis_get: cannot connect: redis 127.0.0.1:{port}: Connection refused "
                "(is redis-server running there?)\n"))
        self.assertEqual(get("/no/such/socket", "a"), (
            1, "", "redis_get: cannot connect: redis /no/such/socket: No such file or "
            "directory (is redis-server running there?)\n"))

    def test_what_is_no_address_is_refused(self):
        for wrong in "localhost", "localhost:", "localhost:65536", "localhost:6379x", ":6379":
            with self.subTest(wrong=wrong):
                self.assertEqual(get(wrong, "a"), (
                    1, "", f"redis_get: cannot connect: redis {wrong}: is neither HOST:PORT nor a "
                    "path\n"))


if __name__ == "__main__":
    main_folder()
    unittest.main(verbosity=1)
