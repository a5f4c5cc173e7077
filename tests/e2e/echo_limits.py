#!/usr/bin/env python3
"""echo_server at its limits: descriptors, --max-connections, --idle-timeout, and doing nothing."""

import contextlib
import resource
import selectors
import socket
import time
import unittest

from harness import (PATIENCE, Rude, Server, ask, eventually, little_memory, main,
                     raise_limit_of_files, receive_all, unless_held_up)


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
    def check_calm(self, server, seconds, wake_ups):
        """It wakes up so often at most, and takes no time worth mentioning."""
        before, begin = (server.wake_ups(), server.cpu_ticks()), time.monotonic()
        time.sleep(seconds)
        woken, ticks = server.wake_ups() - before[0], server.cpu_ticks() - before[1]
        times = (time.monotonic() - begin) / seconds  # this process may have slept for longer
        if not server.has_helper_thread():
            self.assertLessEqual(woken, wake_ups * times)
        self.assertLessEqual(ticks, times)  # a microsecond may begin a tick of 10 ms

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
            self.check_calm(server, seconds=1, wake_ups=10)
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

            def send_much(_):
                with server.connect() as third:
                    third.sendall(b"x" * 100_000)  # unread bytes must not cost it the line
                    third.shutdown(socket.SHUT_WR)
                    self.assertEqual(receive_all(third),
                                     b"too many connections, try again later\n")

            unless_held_up(0.5, send_much)  # the server waits a second for the bytes
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
        def attempt(beat):
            with server.connect() as silent, server.connect() as talking:
                begin = time.monotonic()
                while time.monotonic() - begin < 1.5:
                    self.assertTrue(ask(talking))
                    beat()
                    time.sleep(0.05)
                self.assertEqual(silent.recv(1), b"")
                self.assertTrue(ask(talking))
                self.assertEqual(talking.recv(1), b"")

        with Server("--idle-timeout", 1) as server:
            unless_held_up(0.5, attempt)

    def test_a_client_that_never_reads_is_cut_too(self):
        with Server("--idle-timeout", 1) as server:
            before = server.settled_descriptors()
            with server.connect() as client:
                self.assertTrue(eventually(Rude(client, b"x" * 65536).is_cut))
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
            # The timer wheel may look after the deadlines of 60 s now and then.
            self.check_calm(server, seconds=1.5, wake_ups=8)
            for client in clients:
                client.close()


if __name__ == "__main__":
    main()
