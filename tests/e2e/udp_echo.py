#!/usr/bin/env python3
"""udp_echo sends back each datagram to who sent it."""

import shutil
import socket
import subprocess
import unittest

from harness import PATIENCE, Server, main, refused


class UdpServer(Server):
    program = "udp_echo"

    def client(self, host="127.0.0.1"):
        """A connected socket; it gets no datagram of another client."""
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(PATIENCE)
        made.connect((host, self.port_v6 if ":" in host else self.port))
        return made


def echoes(client, data):
    client.send(data)
    return client.recv(1 << 16) == data


class UdpEcho(unittest.TestCase):
    def test_every_size_comes_back_whole(self):
        with UdpServer() as server, server.client() as client:
            for size in (0, 1, 1000, 1472, 9000, 65507):
                self.assertTrue(echoes(client, b"x" * size), size)

    def test_ipv6_too(self):
        with UdpServer() as server:
            if server.port_v6 == server.port:
                self.skipTest("no IPv6 here")
            with server.client("::1") as client:
                self.assertTrue(echoes(client, b"hello"))

    def test_many_clients_get_each_its_own(self):
        for threads in (1, 2):
            with self.subTest(threads=threads), UdpServer("--threads", threads) as server:
                clients = [server.client() for _ in range(20)]
                for round_ in range(5):
                    for i, client in enumerate(clients):
                        client.send(b"%d of client %d" % (round_, i))
                for round_ in range(5):
                    for i, client in enumerate(clients):
                        self.assertEqual(client.recv(100), b"%d of client %d" % (round_, i))
                for client in clients:
                    client.close()

    def test_a_client_that_is_gone_does_no_harm(self):
        with UdpServer() as server:
            for _ in range(10):
                with server.client() as gone:
                    gone.send(b"nobody waits for this")
            with server.client() as client:
                self.assertTrue(echoes(client, b"hello"))

    def test_netcat(self):
        if not shutil.which("nc"):
            self.skipTest("no nc")
        with UdpServer() as server:
            done = subprocess.run(["nc", "-u", "-W", "1", "-w", "5", "127.0.0.1", str(server.port)],
                                  input=b"hello\n", capture_output=True, timeout=PATIENCE,
                                  check=True)
            self.assertEqual(done.stdout, b"hello\n")

    def test_a_port_in_use_is_one_sentence(self):
        with UdpServer() as server:
            code, text = refused("--port", server.port, program="udp_echo")
            self.assertEqual(code, 1)
            self.assertEqual(text, f"udp_echo: port {server.port} is already in use "
                                   f"(127.0.0.1:{server.port}): choose another with --port\n")

    def test_sigterm_ends_it_on_every_thread(self):
        for threads in (1, 3):
            with self.subTest(threads=threads), UdpServer("--threads", threads) as server:
                with server.client() as client:
                    self.assertTrue(echoes(client, b"hello"))
                code, out, err = server.stop()
                self.assertEqual((code, err), (0, ""))
                self.assertEqual(out, server.said + "signal 15\nstopped\n")

    def test_help_has_no_option_that_makes_no_sense_here(self):
        code, text = refused("--help", program="udp_echo")
        self.assertEqual(code, 0)
        for option in ("--host", "--port", "--threads"):
            self.assertIn(option, text)
        self.assertNotIn("--drain", text)


if __name__ == "__main__":
    main()
