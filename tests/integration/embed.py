"""A runtime inside the loops of others: under echo load neither side starves.

Each program counts its own ticks, of a wire and of the loop around it, and compares them with what
was due when it is told to end. Ticks that come late count, so what else the machine does matters
little, but at the very end: so each case has a few attempts, the end is less of each than of the
one before, and what the program had no processor for is no fault of its own. Who starves, fails
them all.
"""

import re
import selectors
import socket
import time
import unittest

import harness

LOOPS = ["epoll", "glib", "libuv", "sd_event", "asio"]
CONNECTIONS = [1, 16, 256]
SECONDS = 0.7
ATTEMPTS = 4
MESSAGE = bytes(range(256)) * 4
LEAST = 0.95


class Embedded(harness.Server):
    def __init__(self, loop, port=0):
        self.program = f"embed/embed_{loop}"
        super().__init__(port, port=None)

    def waited_for_a_processor(self):
        """For how many seconds it could have run and did not."""
        return int(harness.proc(self.process.pid, "schedstat").split()[1]) / 1e9


def is_built(loop):
    return (harness.Server.folder / f"embed/embed_{loop}").exists()


class Load:
    """Clients that send a message each, and the next when it has come back."""

    def __init__(self, server, connections):
        self.ready = selectors.DefaultSelector()
        self.clients = [server.connect() for _ in range(connections)]
        for client in self.clients:
            client.setblocking(False)
            self.ready.register(client, selectors.EVENT_READ, [0])
            client.sendall(MESSAGE)
        self.echoes = 0

    def run(self, seconds):
        """For longer on a busy machine, until there are as many echoes as clients."""
        start = time.monotonic()
        while (passed := time.monotonic() - start) < seconds or self.echoes < len(self.clients):
            if passed > harness.PATIENCE:
                raise AssertionError(f"only {self.echoes} echoes")
            for key, _ in self.ready.select(0.1):
                data = key.fileobj.recv(len(MESSAGE))
                at = key.data[0]
                if data != MESSAGE[at:at + len(data)] or not data:
                    raise AssertionError("the echo is another text")
                key.data[0] = (at + len(data)) % len(MESSAGE)
                if key.data[0] == 0:
                    self.echoes += 1
                    key.fileobj.sendall(MESSAGE)

    def close(self):
        self.ready.close()
        for client in self.clients:
            client.close()


def measure(loop, connections, seconds):
    """The shares of the ticks that were due: of the wire, of the loop."""
    start = time.monotonic()
    with Embedded(loop) as server:
        load = Load(server, connections)
        load.run(seconds)
        excused = server.waited_for_a_processor() / (time.monotonic() - start)
        code, out, err = server.stop()
        load.close()
    ticks = re.search(r"of (\d+) ticks: the wire (\d+), the loop (\d+)", out)
    if code != 0 or not ticks:
        raise AssertionError(f"exit code {code}: {out} {err}")
    due, wires, around = map(int, ticks.groups())
    return wires / due + excused, around / due + excused


class Embedding(unittest.TestCase):
    def test_neither_side_starves(self):
        harness.raise_limit_of_files()
        for loop in LOOPS:
            if not is_built(loop):
                print(f"SKIPPED embed_{loop}: it was not built", flush=True)
                continue
            for connections in CONNECTIONS:
                with self.subTest(loop=loop, connections=connections):
                    self.attempt(loop, connections)

    def attempt(self, loop, connections):
        tried = []
        for i in range(ATTEMPTS):
            tried.append(measure(loop, connections, SECONDS * 2**i))
            if min(tried[-1]) >= LEAST:
                return
        self.fail(f"(wire, loop) had only these shares of their ticks: {tried}")

    def test_a_port_in_use_is_named(self):
        for loop in filter(is_built, LOOPS):
            with socket.create_server(("127.0.0.1", 0)) as other:
                server = Embedded(loop, other.getsockname()[1])
                code, _, err = server.end()
                self.assertEqual(code, 1)
                self.assertIn("Address already in use; choose another port", err)

    def test_what_is_no_port_is_refused(self):
        for loop in filter(is_built, LOOPS):
            for wrong in "65536", "80x", "", "-1", "--help":
                with self.subTest(loop=loop, wrong=wrong):
                    code, said = harness.refused(wrong, program=f"embed/embed_{loop}")
                    self.assertEqual(code, 1)
                    self.assertIn("[PORT], a number up to 65535", said)


if __name__ == "__main__":
    harness.main()
