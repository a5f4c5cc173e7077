#!/usr/bin/env python3
"""echo_server: SIGQUIT prints every wire with what it waits for, and changes nothing."""

import os
import re
import select
import signal
import time
import unittest

from harness import PATIENCE, Server, ask, eventually, main

HEADER = re.compile(r"thread (\d+): (\d+) wires?$")
LINE = re.compile(r'  wire (\d+) "([^"]+)" (?:waits for (.+) for \d+\.\d{3} ms|is ready|runs)$')


def read_lines(stream, complete):
    """Lines of a pipe, until complete(lines) or in vain for too long."""
    text, end = b"", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        lines = text.decode().split("\n")
        if lines[-1] == "" and complete(lines[:-1]):
            return lines[:-1]
        if select.select([stream], [], [], 0.1)[0]:
            text += os.read(stream.fileno(), 65536)
    raise AssertionError(f"incomplete: {text!r}")


def is_dump_of(threads):
    def complete(lines):
        headers = [HEADER.match(line) for line in lines]
        expected = sum(int(h[2]) for h in headers if h)
        return (sum(1 for h in headers if h) == threads
                and len(lines) == threads + expected)
    return complete


class EchoDump(unittest.TestCase):
    def dump(self, server, threads):
        """What each wire waits for, as pairs of name and reason."""
        server.signal(signal.SIGQUIT)
        wires = []
        for line in read_lines(server.process.stderr, is_dump_of(threads)):
            if not HEADER.match(line):
                self.assertRegex(line, LINE)
                wires.append(LINE.match(line).group(2, 3))
        return sorted(wires, key=str)

    def test_a_server_with_an_open_connection_says_who_waits_for_what_and_goes_on(self):
        readable = "a readable descriptor"
        idle = [("accept", readable), ("main", readable), ("signals", readable)]
        with Server("--host", "127.0.0.1", "--drain", 0) as server, server.connect() as client:
            self.assertTrue(ask(client))
            for _ in range(3):
                self.assertEqual(self.dump(server, 1), sorted(idle + [("connection", readable)]))
                self.assertTrue(ask(client))
            with server.connect() as another:
                self.assertTrue(ask(another))
                self.assertEqual(self.dump(server, 1),
                                 sorted(idle + [("connection", readable)] * 2))
            self.assertEqual(server.stop()[0], 0)

    def test_every_thread_says_so(self):
        with Server("--threads", 3, "--host", "127.0.0.1") as server:
            clients = [server.connect() for _ in range(10)]
            self.assertTrue(all(ask(client) for client in clients))

            def all_threads_are_there():
                wires = [name for name, _ in self.dump(server, 3)]
                self.assertEqual(wires.count("main"), 3)
                self.assertEqual(wires.count("connection"), 10)
                return wires.count("accept") == 3

            # A thread to which no client has come may only have begun.
            self.assertTrue(eventually(all_threads_are_there))
            self.assertTrue(all(ask(client) for client in clients))
            for client in clients:
                client.close()
            self.assertEqual(server.stop()[0], 0)


if __name__ == "__main__":
    main()
