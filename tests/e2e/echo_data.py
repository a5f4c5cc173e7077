#!/usr/bin/env python3
"""echo_server: whatever is sent comes back, over every transport, from any client."""

import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from harness import (PATIENCE, Server, ask, closed_port, eventually, main, open_files, pattern,
                     raise_limit_of_files, receive, receive_all, reset)


def echo_large(client, data, chunk, read_size):
    """Sends in parts of `chunk` bytes while reading in parts of `read_size`; returns the answer."""
    client.setblocking(False)
    answer, sent = bytearray(), 0
    while len(answer) < len(data):
        readable, writable, _ = select.select([client], [client] if sent < len(data) else [], [],
                                              PATIENCE)
        if not readable and not writable:
            break
        if readable:
            part = client.recv(read_size)
            if not part:
                break
            answer += part
        if writable:
            sent += client.send(data[sent:sent + chunk])
    return bytes(answer)


class EchoData(unittest.TestCase):
    def test_ipv4_and_ipv6_on_loopback(self):
        with Server() as server:
            with server.connect("127.0.0.1") as client:
                self.assertTrue(ask(client))
            if "[::1]" not in server.said:
                self.skipTest("no IPv6 here")
            with server.connect("::1") as client:
                self.assertTrue(ask(client))

    def test_listens_on_loopback_only(self):
        with Server() as server:
            table = pathlib.Path("/proc/net/tcp").read_text()
            rows = [line.split() for line in table.splitlines()[1:]]
            sockets = open_files(server.process.pid)
            mine = {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}
            self.assertEqual(mine, {f"0100007F:{server.port:04X}"})

    def test_a_host_replaces_the_loopback_addresses(self):
        with closed_port() as port, Server("--host", "127.0.0.2", port=port) as server:
            self.assertEqual(server.said, f"listening on 127.0.0.2:{server.port}\n")
            with server.connect("127.0.0.2") as client:
                self.assertTrue(ask(client))
            with self.assertRaises(ConnectionRefusedError):
                server.connect("127.0.0.1")

    def test_half_close_still_gets_the_whole_answer(self):
        with Server() as server, server.connect() as client:
            client.sendall(pattern(100_000))
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_all(client), pattern(100_000))

    def test_megabytes_come_back_whole_through_small_buffers(self):
        with Server() as server:
            for chunk, read_size in ((1 << 20, 1 << 16), (1013, 4099), (1 << 20, 1500)):
                with server.connect() as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
                    data = pattern(1 << 20)
                    self.assertEqual(echo_large(client, data, chunk, read_size), data)

    def test_a_thousand_connections_at_once(self):
        raise_limit_of_files()
        with Server() as server:
            clients = [server.connect() for _ in range(1000)]
            for turn in range(3):
                for i, client in enumerate(clients):
                    client.sendall(b"%d of %d;" % (turn, i))
                for i, client in enumerate(clients):
                    expected = b"%d of %d;" % (turn, i)
                    self.assertEqual(receive(client, len(expected)), expected)
            for client in clients:
                client.close()
            self.assertTrue(eventually(lambda: server.descriptors() < 20))
            with server.connect() as client:
                self.assertTrue(ask(client))

    def test_a_client_that_never_reads_holds_up_nobody(self):
        with Server() as server, server.connect() as rude:
            rude.setblocking(False)
            sent = 0
            while select.select([], [rude], [], 0.3)[1]:
                sent += rude.send(pattern(1 << 16))
            self.assertGreater(sent, 1 << 16)  # it blocks now
            with server.connect() as client:
                for _ in range(100):
                    self.assertTrue(ask(client))

    def test_resets_end_only_their_own_connection(self):
        with Server("--drain", 0) as server, server.connect() as other:
            for size in (0, 1, 100_000):
                for _ in range(20):
                    client = server.connect()
                    client.setblocking(False)
                    if size:
                        client.send(pattern(size))
                    reset(client)
            self.assertTrue(ask(other))
            self.assertTrue(eventually(lambda: server.descriptors() < 20))
            self.assertEqual(server.stop()[::2], (0, ""))

    def test_clients_killed_in_the_middle_leave_nothing_behind(self):
        talker = ("import socket, sys\n"
                  "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
                  "while True: s.sendall(b'x' * 4096); s.recv(65536)\n")
        with Server() as server, server.connect() as other:
            self.assertTrue(ask(other))
            before = server.descriptors()
            clients = [subprocess.Popen([sys.executable, "-c", talker, str(server.port)])
                       for _ in range(5)]
            self.assertTrue(eventually(lambda: server.descriptors() == before + 5))
            for client in clients:
                client.send_signal(signal.SIGKILL)
                client.wait()
            self.assertTrue(eventually(lambda: server.descriptors() == before))
            self.assertTrue(ask(other))

    def test_an_urgent_byte_stalls_nothing(self):
        with Server() as server, server.connect() as client:
            self.assertTrue(ask(client))
            client.send(b"!", socket.MSG_OOB)
            self.assertTrue(ask(client, b"after"))

    def test_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "echo")
            with Server("--unix", path, port=None) as server:
                self.assertEqual(server.said, f"listening on {path}\n")
                for _ in range(3):
                    with socket.socket(socket.AF_UNIX) as client:
                        client.settimeout(PATIENCE)
                        client.connect(path)
                        self.assertTrue(ask(client, pattern(100_000)))

    def test_abstract_unix_socket(self):
        name = f"wire-e2e-{os.getpid()}"
        with Server("--unix", "@" + name, port=None), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect("\0" + name)
            self.assertTrue(ask(client))

    @unittest.skipUnless(shutil.which("nc"), "no nc here")
    def test_netcat(self):
        data = pattern(200_000)
        with tempfile.TemporaryDirectory() as folder, Server() as tcp, \
                Server("--unix", os.path.join(folder, "echo"), port=None):
            for target in (["127.0.0.1", str(tcp.port)], ["-U", os.path.join(folder, "echo")]):
                answer = subprocess.run(["nc", "-N", *target], input=data, capture_output=True,
                                        timeout=PATIENCE, check=True)
                self.assertEqual(answer.stdout, data)

    def test_two_threads_share_the_port(self):
        with Server("--threads", 2) as server:
            self.assertTrue(eventually(lambda: len(server.wake_ups_of_threads()) >= 2))
            clients = [server.connect() for _ in range(100)]
            self.assertTrue(all(ask(client, pattern(5000)) for client in clients))
            awake = server.wake_ups_of_threads()
            self.assertGreaterEqual(sum(n > 10 for n in awake), 2, awake)  # both have served
            for client in clients:
                client.close()

    def test_many_talkers_on_two_threads(self):
        def talk(server, failures):
            with server.connect() as client:
                if not all(ask(client, pattern(n)) for n in range(1, 3000, 37)):
                    failures.append(1)

        with Server("--threads", 2) as server:
            failures = []
            talkers = [threading.Thread(target=talk, args=(server, failures)) for _ in range(20)]
            for t in talkers:
                t.start()
            for t in talkers:
                t.join()
            self.assertEqual(failures, [])
            code, out, err = server.stop()
            self.assertEqual((code, err), (0, ""))
            self.assertIn("cut connections: 0", out)


if __name__ == "__main__":
    main()
