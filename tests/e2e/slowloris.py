#!/usr/bin/env python3
"""echo_server: 10,000 connections that say a byte now and then do not hold up an honest client."""

import pathlib
import resource
import subprocess
import sys
import unittest

from harness import Server, ask, eventually, main, raise_limit_of_files

SLOW = pathlib.Path(__file__).with_name("slow_clients.py")
COUNT = 10_000


class Slowloris(unittest.TestCase):
    def test_an_honest_client_is_served_beside_ten_thousand_slow_ones(self):
        raise_limit_of_files()
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit < COUNT + 100:
            self.skipTest(f"only {limit} descriptors are allowed here")
        with Server("--max-connections", 2 * COUNT) as server:
            before = server.settled_descriptors()
            with subprocess.Popen([sys.executable, SLOW, str(server.port), str(COUNT)], text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE) as slow, \
                    server.connect() as honest:
                self.assertEqual(slow.stdout.readline(), f"{COUNT} connected\n")
                self.assertTrue(eventually(lambda: server.descriptors() > before + COUNT))
                for i in range(1000):
                    self.assertTrue(ask(honest, b"round %d" % i))
                slow.stdin.close()
                self.assertEqual(slow.stdout.readline(), f"{COUNT} left\n")
            self.assertTrue(eventually(lambda: server.descriptors() == before))
            self.assertEqual(server.stop()[::2], (0, ""))


if __name__ == "__main__":
    main()
