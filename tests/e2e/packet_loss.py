#!/usr/bin/env python3
"""echo_server in a network of its own that loses one packet in twenty: everything arrives."""

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import unittest

from harness import PATIENCE, Server, ask, enter_own_network, main, pattern

RULES = """
    add table inet loss
    add chain inet loss one_in_twenty { type filter hook input priority 0; }
    add rule inet loss one_in_twenty numgen random mod 100 < 5 counter drop
"""
NFT = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")


def nft(*args, **more):
    return subprocess.run([NFT, *args], text=True, capture_output=True, check=True, **more).stdout


def skip(why):
    print(f"{why}: skipped")
    sys.exit(77)


def connect(server):
    """If three packets in a row are lost, the fourth comes after seven seconds: tries anew."""
    for _ in range(PATIENCE):
        with contextlib.suppress(TimeoutError):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=3.5)
            client.settimeout(PATIENCE)
            return client
    raise AssertionError("no connection")


class PacketLoss(unittest.TestCase):
    def test_fifty_clients_get_everything_back(self):
        def talk(i):
            with connect(server) as client:
                if ask(client, b"%d" % i) and ask(client, pattern(1 << 16)):
                    served.append(i)

        served = []
        with Server() as server:
            talkers = [threading.Thread(target=talk, args=(i,)) for i in range(50)]
            for t in talkers:
                t.start()
            for t in talkers:
                t.join()
            self.assertEqual(sorted(served), list(range(50)))
            lost = int(re.search(r"counter packets (\d+)", nft("list", "ruleset"))[1])
            self.assertGreater(lost, 20)
            self.assertEqual(server.stop()[::2], (0, ""))


if __name__ == "__main__":
    if not NFT:
        skip("no nft here (Debian: nftables)")
    if not enter_own_network(mtu=1500):
        skip("a network of one's own is not permitted")
    try:
        nft("-f", "-", input=RULES)
    except subprocess.CalledProcessError as refused:
        skip(f"nft: {refused.stderr.strip()}")
    main()
