#!/usr/bin/env python3
"""echo_server at its limits: descriptors, --max-connections, --idle-timeout, and doing nothing."""

import contextlib
import resource
import selectors
import socket
import time
import unittest

from harness import (PATIENCE, Server, ask, eventually, little_memory, main,
                     raise_limit_of_files, receive_all)


def few_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


class Crowd:
    """Clients that connect all at once; each leaves as soon as it has its answer."""

    def __init__(self, port, size):
        self.selector = selectors.DefaultSelector()
        self.outcomes = []
        for i in range(size):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            self.selector.register(client, selectors.EVENT_WRITE, b"client %d" % i)

    def run(self):
        """Returns how each ended: "served", or what went wrong."""
        end = time.monotonic() + 2 * PATIENCE
        while self.selector.get_map() and time.monotonic() < end:
            for key, _ in self.selector.select(1):
                self.step(key)
        self.outcomes += ["waits for ever"] * len(self.selector.get_map())
        return self.outcomes

    def step(self, key):
        try:
            if key.events == selectors.EVENT_WRITE:
                key.fileobj.send(key.data)
                self.selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
                return
            answer = key.fileobj.recv(100)
            self.outcomes.append("served" if answer == key.data else f"got {answer!r}")
        except OSError as error:
            self.outcomes.append(str(error))
        self.selector.unregister(key.fileobj)
        key.fileobj.close()


def is_served(client):
    try:
        return ask(client)
    except ConnectionError:
        return False


class EchoLimits(unittest.TestCase):
    def test_without_memory_connections_are_closed_and_those_that_are_there_go_on(self):
        with Server("--max-connections", 10_000) as server:
            with contextlib.ExitStack() as opened:
                stays = opened.enter_context(server.connect())
                self.assertTrue(ask(stays))
                with little_memory(self, server.process.pid, 4 << 20):
                    peers = [opened.enter_context(server.connect()) for _ in range(400)]
                    self.assertIn(False, map(is_served, peers))
                    self.assertTrue(ask(stays))
                with server.connect() as again:
                    self.assertTrue(ask(again))
            code, _, err = server.stop()
            self.assertEqual(code, 0)
            self.assertRegex(err, "^connections are closed as long as this lasts: .*\n$")

    def test_500_clients_and_64_descriptors(self):
        raise_limit_of_files()
        with Server(before_exec=few_files) as server:
            outcomes = Crowd(server.port, 500).run()
            self.assertEqual(len(outcomes), 500)
            self.assertEqual(set(outcomes), {"served"})
            with server.connect() as client:
                self.assertTrue(ask(client))
            code, _, err = server.stop()
            self.assertEqual(code, 0)
            self.assertEqual(err.count("\n"), 1, err)
            self.assertIn("Too many open files", err)

    def test_out_of_descriptors_it_waits_without_spinning(self):
        with Server(before_exec=few_files) as server:
            clients = [server.connect() for _ in range(80)]
            self.assertTrue(eventually(lambda: server.descriptors() == 64))
            time.sleep(0.3)  # the delays have grown
            before = server.wake_ups(), server.cpu_ticks()
            time.sleep(1)
            if not server.has_helper_thread():
                self.assertLessEqual(server.wake_ups() - before[0], 10)
            self.assertLessEqual(server.cpu_ticks() - before[1], 1)
            for client in clients:
                client.close()
            with server.connect() as client:
                self.assertTrue(ask(client))

    def test_more_than_max_connections_get_a_line(self):
        with Server("--max-connections", 2) as server:
            first, second = server.connect(), server.connect()
            self.assertTrue(ask(first) and ask(second))
            with server.connect() as third:
                self.assertEqual(receive_all(third), b"too many connections, try again later\n")
            with server.connect() as third:
                third.sendall(b"x" * 100_000)  # unread bytes must not cost it the line
                third.shutdown(socket.SHUT_WR)
                self.assertEqual(receive_all(third), b"too many connections, try again later\n")
            self.assertTrue(ask(first) and ask(second))
            first.close()

            def admitted():
                with server.connect() as again:
                    again.sendall(b"hello")
                    return again.recv(5) == b"hello"

            self.assertTrue(eventually(admitted))
            second.close()

    def test_max_connections_holds_for_all_threads_together(self):
        with Server("--max-connections", 10, "--threads", 2) as server:
            clients = [server.connect() for _ in range(30)]
            answers = []
            for client in clients:
                client.sendall(b"hello")
                answers.append(client.recv(5))
            self.assertEqual(answers.count(b"hello"), 10)
            self.assertEqual(answers.count(b"too m"), 20)
            for client in clients:
                client.close()

    def test_a_silent_client_is_cut_and_a_talking_one_is_not(self):
        with Server("--idle-timeout", 1) as server:
            with server.connect() as silent, server.connect() as talking:
                begin = time.monotonic()
                while time.monotonic() - begin < 1.5:
                    self.assertTrue(ask(talking))
                    time.sleep(0.05)
                self.assertEqual(silent.recv(1), b"")
                self.assertTrue(ask(talking))
                self.assertEqual(talking.recv(1), b"")

    def test_a_client_that_never_reads_is_cut_too(self):
        with Server("--idle-timeout", 0.3) as server:
            before = server.settled_descriptors()
            with server.connect() as rude:
                self.assertTrue(eventually(lambda: server.descriptors() == before + 1))
                rude.settimeout(0.2)
                with self.assertRaises(OSError):
                    while True:
                        rude.send(b"x" * 65536)
                self.assertTrue(eventually(lambda: server.descriptors() == before))

    def test_a_long_idle_timeout_does_not_cut(self):
        with Server("--idle-timeout", "1e9") as server, server.connect() as client:
            time.sleep(0.3)
            self.assertTrue(ask(client))

    def test_an_idle_server_takes_no_cpu_time(self):
        with Server("--threads", 2) as server:
            clients = [server.connect() for _ in range(100)]
            self.assertTrue(all(ask(client) for client in clients))
            time.sleep(0.2)
            before = server.wake_ups(), server.cpu_ticks()
            time.sleep(1.5)
            self.assertEqual(server.cpu_ticks() - before[1], 0)
            if not server.has_helper_thread():
                # The timer wheel may look after the deadlines of 60 s now and then.
                self.assertLessEqual(server.wake_ups() - before[0], 8)
            for client in clients:
                client.close()


if __name__ == "__main__":
    main()
