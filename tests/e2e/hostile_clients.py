#!/usr/bin/env python3
"""echo_server among clients that mean harm: the honest one beside them is served all the same."""

import os
import random
import socket
import threading
import time
import unittest

from harness import (PATIENCE, Rude, Server, ask, eventually, main, pattern,
                     raise_limit_of_files, receive, reset)


def all_of(jobs):
    """Runs each job on a thread; says what they return."""
    results = [None] * len(jobs)

    def run(i):
        results[i] = jobs[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def connect_to(name):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    client.connect("\0" + name)
    return client


def are_held_up(flooders):
    before = [f.push() for f in flooders]
    time.sleep(0.05)
    return before == [f.push() for f in flooders]


class Hostile(unittest.TestCase):
    def test_peers_that_write_for_ever_and_never_read_take_bounded_memory(self):
        raise_limit_of_files()
        peers = 200
        name = f"wire-hostile-{os.getpid()}"
        with Server("--unix", "@" + name, port=None) as server, connect_to(name) as honest:
            self.assertTrue(ask(honest))
            before = server.memory()
            # Over TCP the kernel would first take megabytes of each.
            flooders = [Rude(connect_to(name), b"x") for _ in range(peers)]
            self.assertTrue(eventually(lambda: are_held_up(flooders)))
            for f in flooders:
                self.assertTrue(ask(honest))
                f.push()
            self.assertGreater(min(f.sent for f in flooders), 100_000)
            # A stack of 64 KiB each at most, and nothing that grows with what they send.
            self.assertLess(server.memory() - before, peers * 96 * 1024)
            for f in flooders:
                f.client.close()
            settled = eventually(lambda: server.descriptors() < 20)
            self.assertTrue(settled and ask(honest))

    def test_a_storm_of_resets_at_every_step(self):
        def storm(seed):
            dice = random.Random(seed)
            for _ in range(400):
                client = server.connect()
                step = dice.randrange(4)
                if step >= 1:
                    client.sendall(b"x" * dice.randrange(1, 5000))
                if step == 2:
                    receive(client, 1)
                if step == 3:
                    client.setblocking(False)
                    client.send(b"x" * 1_000_000)  # it is answering when the reset comes
                reset(client)

        with Server("--threads", 2, "--drain", 0) as server:
            before = server.settled_descriptors()
            with server.connect() as honest:
                self.assertTrue(ask(honest))
                storms = [threading.Thread(target=storm, args=(i,)) for i in range(4)]
                for t in storms:
                    t.start()
                rounds = 0
                while any(t.is_alive() for t in storms) or rounds < 100:
                    self.assertTrue(ask(honest, b"%d" % rounds))
                    rounds += 1
            self.assertTrue(eventually(lambda: server.descriptors() == before))
            self.assertEqual(server.stop()[::2], (0, ""))

    def test_sigterm_under_load_lets_every_talk_come_to_its_end(self):
        talkers, rounds = 30, 40
        under_way, stopped = threading.Barrier(talkers + 1), threading.Event()

        def talk():
            with server.connect() as client:
                good = ask(client)
                under_way.wait(PATIENCE)
                good = good and all(ask(client, pattern(1 + 499 * i)) for i in range(rounds))
                stopped.wait(PATIENCE)
                return good and ask(client, b"last words")

        def stop():
            under_way.wait(PATIENCE)
            server.signal()
            refused = eventually(lambda: is_refused(server))
            stopped.set()
            return refused

        with Server("--threads", 2, "--drain", 2 * PATIENCE) as server:
            self.assertEqual(all_of([stop] + [talk] * talkers), [True] * (talkers + 1))
            code, out, err = server.end()
            self.assertEqual((code, err), (0, ""))
            self.assertIn("cut connections: 0", out)


def is_refused(server):
    try:
        server.connect().close()
    except ConnectionError:
        return True
    return False


if __name__ == "__main__":
    main()
