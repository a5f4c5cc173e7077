#!/usr/bin/env python3
"""examples/scaling/haproxy.cfg, with the real haproxy, in front of two http_servers."""

import collections
import http.client
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import unittest

from harness import PATIENCE, Server, eventually, main

CONFIG = pathlib.Path(__file__).parents[2] / "examples" / "scaling" / "haproxy.cfg"
HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
TEXT = b"Hello, world\n"


class HttpServer(Server):
    program = "http_server"

    def __init__(self):
        super().__init__("--host", "127.0.0.1")


class Front:
    """haproxy with the example's configuration, on a socket that it inherits."""

    def __init__(self, *servers):
        self.door = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = self.door.getsockname()
        fd = self.door.fileno()
        ports = [f"127.0.0.1:{server.port}" for server in servers]
        env = dict(os.environ, WIRE_FRONT=f"fd@{fd}", WIRE_ONE=ports[0], WIRE_TWO=ports[1])
        self.process = subprocess.Popen([HAPROXY, "-db", "-f", CONFIG], env=env, pass_fds=[fd],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        # A connection waits in the socket until somebody accepts it, or nobody is left.
        if not eventually(lambda: self.process.poll() is not None or self.answers()):
            raise AssertionError("haproxy does not answer")
        if self.process.returncode is not None:
            raise AssertionError(f"haproxy has not started: {self.process.communicate()[1]}")
        return self

    def __exit__(self, *_):
        self.door.close()
        self.process.kill()
        self.process.communicate()

    def answers(self):
        client = http.client.HTTPConnection(*self.address, timeout=0.5)
        try:
            return get(client)[0] == 200
        except OSError:
            return False
        finally:
            client.close()

    def connect(self):
        return http.client.HTTPConnection(*self.address, timeout=PATIENCE)


def get(client):
    """Status, text and the name of the server that has answered; no name for haproxy's errors."""
    client.request("GET", "/hello")
    answer = client.getresponse()
    return answer.status, answer.read(), answer.headers.get("X-Served-By")


def get_once(front):
    client = front.connect()
    try:
        return get(client)
    finally:
        client.close()


class Load:
    """Clients that ask until the end of the with block, each on a connection of its own."""

    def __init__(self, front, clients=8):
        self.front = front
        self.answers = collections.Counter()  # by server
        self.failures = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]

    def ask(self):
        client = self.front.connect()
        while not self.over.is_set() and not self.failures:
            try:
                status, text, server = get(client)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                break
            if (status, text) != (200, TEXT):
                self.failures.append(f"{status} by {server}: {text}")
            self.answers[server] += 1
        client.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def goes_on(self, server, count=100):
        """Whether so many more answers of that server come."""
        enough = self.answers[server] + count
        return eventually(lambda: self.failures or self.answers[server] >= enough)


class Haproxy(unittest.TestCase):
    def test_accepts_its_configuration(self):
        env = {name: text for name, text in os.environ.items() if not name.startswith("WIRE_")}
        checked = subprocess.run([HAPROXY, "-c", "-f", CONFIG], env=env, capture_output=True,
                                 text=True, timeout=PATIENCE, check=False)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertNotIn("[WARNING]", checked.stderr)

    def test_spreads_requests(self):
        with HttpServer() as one, HttpServer() as two, Front(one, two) as front:
            with Load(front) as load:
                self.assertTrue(load.goes_on("one") and load.goes_on("two"))
        self.assertEqual(load.failures, [])
        self.assertEqual(set(load.answers), {"one", "two"})

    def test_sends_nothing_to_a_server_that_was_killed(self):
        with HttpServer() as one, HttpServer() as two, Front(one, two) as front:
            with Load(front) as load:
                self.assertTrue(load.goes_on("one"))
            self.assertEqual(load.failures, [])
            one.signal(signal.SIGKILL)
            one.process.wait()
            for _ in range(50):
                self.assertEqual(get_once(front), (200, TEXT, "two"))

    def test_no_request_fails_while_a_server_is_drained(self):
        with HttpServer() as one, HttpServer() as two, Front(one, two) as front:
            with Load(front) as load:
                self.assertTrue(load.goes_on("one"))
                code, out, err = one.stop()
                self.assertTrue(load.goes_on("two"))
        self.assertEqual(load.failures, [])
        self.assertEqual((code, err), (0, ""))
        self.assertIn("cut connections: 0", out)

    def test_says_that_no_server_is_left(self):
        with HttpServer() as one, HttpServer() as two, Front(one, two) as front:
            self.assertEqual(get_once(front)[0], 200)
            for server in one, two:
                server.stop()
            self.assertEqual(get_once(front)[0], 503)


if __name__ == "__main__":
    if HAPROXY is None:
        print("there is no haproxy (Debian: haproxy): skipped")
        sys.exit(77)
    main()
