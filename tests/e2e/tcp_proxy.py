#!/usr/bin/env python3
"""tcp_proxy in front of an echo_server, or of a backend that the test plays itself."""

import contextlib
import shutil
import socket
import subprocess
import threading
import time
import unittest

from harness import (PATIENCE, Server, ask, eventually, free_port, main, pattern, receive,
                     receive_all, refused, reset, unless_held_up)


class Proxy(Server):
    program = "tcp_proxy"

    def __init__(self, backend_port, *args):
        super().__init__("--backend", f"127.0.0.1:{backend_port}", *args)


@contextlib.contextmanager
def through_proxy(*args):
    """A client and what it is connected to: two sockets, with the proxy between them."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(PATIENCE)
        with Proxy(door.getsockname()[1], *args) as proxy, proxy.connect() as client:
            backend, _ = door.accept()
            with backend:
                backend.settimeout(PATIENCE)
                yield proxy, client, backend


class ProxyData(unittest.TestCase):
    def test_a_mebibyte_both_ways_and_the_end(self):
        data = pattern(1 << 20)
        for threads in (1, 2):
            with self.subTest(threads=threads), Server() as backend, \
                    Proxy(backend.port, "--threads", threads) as proxy:
                clients = [proxy.connect() for _ in range(3)]

                def send(client):
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)

                senders = [threading.Thread(target=send, args=(c,)) for c in clients]
                for sender in senders:
                    sender.start()
                for client in clients:
                    self.assertTrue(receive_all(client) == data)
                    client.close()
                for sender in senders:
                    sender.join(PATIENCE)
                code, out, err = proxy.stop()
                self.assertEqual((code, err), (0, ""))
                self.assertIn("cut connections: 0", out)

    def test_netcat_gets_its_answer_after_it_has_sent_everything(self):
        if not shutil.which("nc"):
            self.skipTest("no nc")
        with Server() as backend, Proxy(backend.port) as proxy:
            done = subprocess.run(["nc", "-N", "127.0.0.1", str(proxy.port)], input=b"hello\n",
                                  capture_output=True, timeout=PATIENCE, check=True)
            self.assertEqual(done.stdout, b"hello\n")

    def test_a_client_that_has_sent_everything_still_gets_its_answer(self):
        with through_proxy() as (_, client, backend):
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_all(backend), b"question")
            backend.sendall(b"answer")
            backend.close()
            self.assertEqual(receive_all(client), b"answer")

    def test_a_backend_that_has_said_everything_still_hears_the_client(self):
        with through_proxy() as (_, client, backend):
            backend.sendall(b"greeting")
            backend.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_all(client), b"greeting")
            client.sendall(b"still here")
            client.close()
            self.assertEqual(receive_all(backend), b"still here")

    def test_bytes_go_on_at_once(self):
        with through_proxy() as (_, client, backend):
            for _ in range(20):
                client.sendall(b"ping")
                self.assertEqual(receive(backend, 4), b"ping")
                backend.sendall(b"pong")
                self.assertEqual(receive(client, 4), b"pong")

    def test_a_client_that_does_not_read_holds_up_nobody_else(self):
        with Server() as backend, Proxy(backend.port) as proxy, proxy.connect() as lazy:
            lazy.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    lazy.send(b"x" * 65536)
            with proxy.connect() as other:
                self.assertTrue(all(ask(other) for _ in range(20)))


class ProxyTrouble(unittest.TestCase):
    def test_a_reset_goes_through_in_both_directions(self):
        with through_proxy() as (_, client, backend):
            client.sendall(b"x")
            self.assertEqual(receive(backend, 1), b"x")
            reset(client)
            self.assertRaises(ConnectionResetError, receive_all, backend)
        with through_proxy() as (_, client, backend):
            reset(backend)
            self.assertRaises(ConnectionResetError, receive_all, client)

    def test_a_reset_after_half_a_close_goes_through_too(self):
        with through_proxy() as (_, client, backend):
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_all(backend), b"")
            backend.sendall(b"the first half")
            self.assertEqual(receive(client, 14), b"the first half")
            reset(backend)
            self.assertRaises(ConnectionResetError, receive_all, client)

    @staticmethod
    def ask_in_vain(proxy):
        with proxy.connect() as client:  # the reset may come as early as here
            receive_all(client)

    def test_a_dead_backend_is_one_line_and_a_reset_until_it_is_back(self):
        port = free_port()
        with Proxy(port) as proxy:
            for _ in range(3):
                self.assertRaises(ConnectionResetError, self.ask_in_vain, proxy)
            with socket.create_server(("127.0.0.1", port)) as door, proxy.connect() as client:
                backend, _ = door.accept()
                with backend:
                    client.sendall(b"x")
                    self.assertEqual(receive(backend, 1), b"x")
            self.assertRaises(ConnectionResetError, self.ask_in_vain, proxy)
            code, _, err = proxy.stop()
            line = f"tcp_proxy: cannot reach 127.0.0.1:{port}: Connection refused\n"
            self.assertEqual((code, err), (0, 2 * line))

    def test_only_a_connection_silent_in_both_directions_is_cut(self):
        def attempt(beat):
            with through_proxy("--idle-timeout", 0.5) as (_, client, backend):
                begin = time.monotonic()
                while time.monotonic() < begin + 1.2:  # the client says nothing all the time
                    backend.sendall(b"x")
                    self.assertEqual(receive(client, 1), b"x")
                    beat()
                    time.sleep(0.05)
                self.assertRaises(ConnectionResetError, receive_all, client)
                self.assertRaises(ConnectionResetError, receive_all, backend)

        unless_held_up(0.25, attempt)

    def test_nothing_is_left_open_after_connections_of_every_kind(self):
        with Server() as backend, Proxy(backend.port) as proxy:
            before = proxy.settled_descriptors()
            for way in (reset, lambda c: c.shutdown(socket.SHUT_WR), lambda c: None):
                with proxy.connect() as client:
                    self.assertTrue(ask(client))
                    way(client)
            self.assertTrue(eventually(lambda: proxy.descriptors() == before))


class ProxyStartAndStop(unittest.TestCase):
    def test_what_makes_no_sense_is_one_sentence(self):
        for backend in ("localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:x", "::1", ":80",
                        ""):
            with self.subTest(backend=backend):
                code, text = refused("--backend", backend, program="tcp_proxy")
                self.assertEqual(code, 1)
                self.assertIn("takes a numeric address and a port, as 127.0.0.1:7000, "
                              f"not '{backend}'\nTry tcp_proxy --help\n", text)
        code, text = refused(program="tcp_proxy")
        self.assertEqual((code, text), (1, "tcp_proxy: --backend is required\n"
                                           "Try tcp_proxy --help\n"))

    def test_a_port_in_use_is_one_sentence(self):
        with Server() as backend:
            code, text = refused("--backend", "127.0.0.1:7000", "--port", backend.port,
                                 program="tcp_proxy")
            self.assertEqual(code, 1)
            self.assertEqual(text, f"tcp_proxy: port {backend.port} is already in use "
                                   f"(127.0.0.1:{backend.port}): choose another with --port\n")

    def test_open_connections_may_finish_after_sigterm(self):
        with through_proxy() as (proxy, client, backend):
            proxy.signal()
            self.assertEqual(proxy.process.stdout.readline(), "signal 15, open connections: 1\n")
            client.sendall(b"late")
            self.assertEqual(receive(backend, 4), b"late")
            backend.close()
            self.assertEqual(receive_all(client), b"")
            client.close()
            code, out, err = proxy.end()
            self.assertEqual((code, err), (0, ""))
            self.assertIn("cut connections: 0", out)

    def test_after_the_drain_time_both_sides_are_cut(self):
        with through_proxy("--drain", 0.1) as (proxy, client, backend):
            code, out, err = proxy.stop()
            self.assertEqual((code, err), (0, ""))
            self.assertIn("cut connections: 1", out)
            for side in (client, backend):
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(receive_all(side), b"")


if __name__ == "__main__":
    main()
