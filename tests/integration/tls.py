#!/usr/bin/env python3
"""tls_echo_server and tls_echo_client talk to OpenSSL's s_client and s_server, curl and Python."""

import contextlib
import pathlib
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

from harness import (PATIENCE, Server, closed_port, eventually, main, pattern, receive_all,
                     refused)

FOLDER = "third_party/tls/"


def make_certificate(folder, name):
    certificate, key = folder / f"{name}.pem", folder / f"{name}_key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", key,
                    "-out", certificate], check=True, capture_output=True)
    return certificate, key


class TlsServer(Server):
    program = FOLDER + "tls_echo_server"
    certificate = key = stranger = None

    def __init__(self, *args, **more):
        super().__init__("--cert", self.certificate, "--key", self.key, *args, **more)

    def connect(self, host="127.0.0.1"):
        return context().wrap_socket(super().connect(host), server_hostname="localhost")

    def connect_plain(self):
        return super().connect()


def context(version=None):
    made = ssl.create_default_context(cafile=str(TlsServer.certificate))
    if version:
        made.minimum_version = made.maximum_version = version
    return made


class OwnServer:
    """A thread that accepts one connection and does with it what it is told."""

    def __init__(self, talk):
        self.door = socket.create_server(("127.0.0.1", 0))
        self.door.settimeout(PATIENCE)
        self.port = self.door.getsockname()[1]
        self.talk = talk
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join()
        self.door.close()

    def serve(self):
        with contextlib.suppress(OSError), self.door.accept()[0] as peer:
            peer.settimeout(PATIENCE)
            self.talk(peer)

    @staticmethod
    def wrap(peer):
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        made.load_cert_chain(TlsServer.certificate, TlsServer.key)
        return made.wrap_socket(peer, server_side=True)


def client(port, *args, ca=None):
    """Runs tls_echo_client. Returns its exit code, standard output and standard error."""
    command = [Server.folder / FOLDER / "tls_echo_client", "--port", str(port), "--ca",
               ca or TlsServer.certificate, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout, done.stderr


def exchange(peer, data):
    """Sends and receives at once; in one thread, since an SSL object is not for two. Returns as
    much as it has sent, or what came before the end."""
    got, unsent = bytearray(), memoryview(data)
    wants = ssl.SSLWantReadError, ssl.SSLWantWriteError
    peer.setblocking(False)
    while len(got) < len(data):
        ready = select.select([peer], [peer] if unsent else [], [], PATIENCE)
        if ready == ([], [], []):
            raise AssertionError(f"nothing came after {len(got)} bytes, {len(unsent)} unsent")
        with contextlib.suppress(*wants):
            while unsent:
                unsent = unsent[peer.send(unsent[:65536]):]
        with contextlib.suppress(*wants):
            while len(got) < len(data):
                part = peer.recv(65536)
                if not part:
                    return bytes(got)
                got += part
    peer.settimeout(PATIENCE)
    return bytes(got)


class EchoServer(unittest.TestCase):
    def complaint(self, server):
        code, _, err = server.stop()
        self.assertEqual(code, 0)
        return err

    def test_python_client_sends_10_mb_and_gets_them_back(self):
        data = pattern(10_000_000)
        with TlsServer() as server, server.connect() as peer:
            self.assertTrue(exchange(peer, data) == data)
            peer.unwrap()  # both ends have said goodbye
            self.assertEqual(self.complaint(server), "")

    def test_tls_1_2_client(self):
        with TlsServer() as server:
            with context(ssl.TLSVersion.TLSv1_2).wrap_socket(
                    server.connect_plain(), server_hostname="localhost") as peer:
                peer.sendall(b"hello")
                self.assertEqual(peer.recv(5), b"hello")

    def test_session_is_resumed(self):
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
            with self.subTest(version), TlsServer() as server:
                shared, session = context(version), None
                for expected in False, True:
                    with shared.wrap_socket(server.connect_plain(), server_hostname="localhost",
                                            session=session) as peer:
                        peer.sendall(b"x")
                        peer.recv(1)
                        self.assertEqual(peer.session_reused, expected)
                        session = peer.session
                        peer.unwrap()

    def test_s_client_updates_keys_and_says_goodbye(self):
        with TlsServer() as server:
            command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile",
                       TlsServer.certificate, "-verify_return_error"]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT) as s_client:
                said = b""
                for line, answer in ((b"one", b"one\n"), (b"K", b"KEYUPDATE\n"),
                                     (b"two", b"two\n"), (b"k", b"KEYUPDATE\n"),
                                     (b"three", b"three\n")):
                    s_client.stdin.write(line + b"\n")
                    s_client.stdin.flush()
                    part = b""
                    while answer not in part:
                        byte = s_client.stdout.read(1)
                        self.assertTrue(byte, said + part)
                        part += byte
                    said += part
                s_client.communicate(b"Q\n", timeout=PATIENCE)
            self.assertEqual(s_client.returncode, 0)
            self.assertIn(b"Verify return code: 0 (ok)", said)
            self.assertEqual(self.complaint(server), "")

    def test_curl_gets_its_own_request_back(self):
        with TlsServer() as server:
            done = subprocess.run(["curl", "--silent", "--http0.9", "--cacert",
                                   TlsServer.certificate, "--max-time", "2",
                                   f"https://localhost:{server.port}/hello"],
                                  capture_output=True, text=True, check=False, timeout=PATIENCE)
            self.assertIn("GET /hello HTTP/1.1", done.stdout)

    def test_many_clients_at_once(self):
        with TlsServer() as server, contextlib.ExitStack() as opened:
            peers = [opened.enter_context(server.connect()) for _ in range(50)]
            for i, peer in enumerate(peers):
                peer.sendall(b"%d" % i)
            for i, peer in enumerate(peers):
                self.assertEqual(peer.recv(10), b"%d" % i)

    def test_a_slow_handshake_ends_at_its_deadline_and_delays_nobody(self):
        with TlsServer("--handshake-timeout", 2) as server:
            slow = server.connect_plain()
            self.addCleanup(slow.close)
            slow.sendall(b"\x16\x03\x01\x02")  # the head of a hello, and never the rest
            with server.connect() as peer:
                peer.sendall(b"hello")
                self.assertEqual(peer.recv(5), b"hello")
                peer.unwrap()
            slow.settimeout(PATIENCE)
            self.assertEqual(slow.recv(100), b"")
            self.assertIn("TLS handshake: Connection timed out", self.complaint(server))

    def test_a_plain_text_client_is_refused(self):
        with TlsServer() as server:
            with server.connect_plain() as peer:
                peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
                with contextlib.suppress(ConnectionResetError):
                    receive_all(peer)
            self.assertIn("http request", self.complaint(server))

    def test_a_client_that_goes_in_the_middle_of_the_handshake(self):
        with TlsServer() as server:
            with server.connect_plain() as peer:
                peer.sendall(b"\x16\x03\x01\x02")
                peer.shutdown(socket.SHUT_WR)
                self.assertEqual(receive_all(peer), b"")
            self.assertIn("TLS handshake: the peer has closed", self.complaint(server))

    def test_a_client_that_does_not_believe_the_certificate(self):
        with TlsServer() as server:
            before = server.settled_descriptors()
            with self.assertRaisesRegex(ssl.SSLError, "certificate verify failed"):
                ssl.create_default_context().wrap_socket(server.connect_plain(),
                                                         server_hostname="localhost")
            self.assertTrue(eventually(lambda: server.descriptors() <= before))
            self.assertIn("alert unknown ca", self.complaint(server))

    def test_a_cut_connection_is_told_from_an_end(self):
        with TlsServer() as server:
            peer = server.connect()
            peer.sendall(b"x")
            peer.recv(1)
            peer.shutdown(socket.SHUT_WR)  # of TCP; close_notify is never sent
            with contextlib.suppress(ssl.SSLError):
                peer.recv(1)
            peer.close()
            self.assertIn("no close_notify", self.complaint(server))

    def test_sigterm_ends_idle_connections_with_a_goodbye(self):
        with TlsServer() as server, server.connect() as peer:
            peer.sendall(b"x")
            self.assertEqual(peer.recv(1), b"x")
            server.signal()
            self.assertEqual(peer.recv(1), b"")  # Python raises if there is no close_notify
            code, out, err = server.end()
            self.assertEqual((code, err), (0, ""))
            self.assertLess(int(re.search(r"deepest stack of a connection: (\d+)", out)[1]), 60_000)

    def test_what_cannot_be_used_is_named(self):
        none = "/nowhere/key.pem"
        code, said = refused("--cert", TlsServer.certificate, "--key", none,
                             program=TlsServer.program)
        self.assertEqual(code, 1)
        self.assertIn(f"cannot use the key {none}: ", said)
        self.assertIn("No such file or directory", said)


class EchoClient(unittest.TestCase):
    def test_10_mb_both_ways_from_our_server_twice(self):
        with TlsServer() as server:
            code, out, err = client(server.port, "--bytes", 10_000_000, "--rounds", 2)
            self.assertEqual((code, err), (0, ""))
            self.assertEqual(out, "10000000 bytes and back, TLSv1.3, new session\n"
                                  "10000000 bytes and back, TLSv1.3, resumed session\n")
            code, _, err = server.stop()
            self.assertEqual((code, err), (0, ""))

    def test_new_keys_for_each_part(self):
        with TlsServer() as server:
            code, _, err = client(server.port, "--bytes", 1_000_000, "--update-keys")
            self.assertEqual((code, err), (0, ""))

    def test_s_server_that_does_not_echo(self):
        command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", TlsServer.certificate,
                   "-key", TlsServer.key]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True) as s_server:
            try:
                for line in s_server.stdout:
                    if found := re.match(r"ACCEPT .*:(\d+)", line):
                        break
                code, _, err = client(found[1], "--bytes", 10)
            finally:
                s_server.kill()
            self.assertEqual(code, 1)
            self.assertIn("0 bytes came back", err)

    def test_wrong_name_and_unknown_authority(self):
        with TlsServer() as server:
            code, _, err = client(server.port, "--name", "example.org")
            self.assertEqual(code, 1)
            self.assertIn("certificate verify failed (hostname mismatch); --name says whose", err)
            code, _, err = client(server.port, ca=TlsServer.stranger)
            self.assertEqual(code, 1)
            self.assertIn("verify failed (self-signed certificate); --ca says whom", err)

    def test_a_server_that_speaks_no_tls(self):
        with OwnServer(lambda peer: peer.sendall(b"220 welcome\r\n")) as server:
            code, _, err = client(server.port)
            self.assertEqual(code, 1)
            self.assertIn("wrong version number", err)

    def test_a_server_that_goes_in_the_middle_of_the_handshake(self):
        with OwnServer(lambda peer: peer.recv(65536)) as server:
            code, _, err = client(server.port)
            self.assertEqual(code, 1)
            self.assertIn("TLS handshake: the peer has closed", err)

    def test_a_server_that_never_answers(self):
        with OwnServer(lambda peer: [peer.recv(65536), peer.recv(1)]) as server:
            code, _, err = client(server.port, "--timeout", 2)
            self.assertEqual(code, 1)
            self.assertIn("TLS handshake: Connection timed out", err)

    def test_an_answer_that_is_cut_short(self):
        def cut(peer):
            with OwnServer.wrap(peer) as tls:
                tls.sendall(tls.recv(3))
                while tls.recv(65536):
                    pass
                tls.shutdown(socket.SHUT_WR)

        with OwnServer(cut) as server:
            code, _, err = client(server.port, "--bytes", 1000)
            self.assertEqual(code, 1)
            self.assertIn("no close_notify), after 3 bytes", err)

    def test_nobody_listens(self):
        with closed_port() as port:
            code, _, err = client(port)
        self.assertEqual(code, 1)
        self.assertIn(f"cannot connect to 127.0.0.1, port {port}: Connection refused; does it", err)


if __name__ == "__main__":
    for needed in "openssl", "curl":
        if not shutil.which(needed):
            print(f"{needed} is not installed: skipped")
            sys.exit(77)
    if len(sys.argv) > 1 and not (pathlib.Path(sys.argv[1]) / TlsServer.program).exists():
        print("tls_echo_server was not built (libssl-dev, libcli11-dev): skipped")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as where:
        TlsServer.certificate, TlsServer.key = make_certificate(pathlib.Path(where), "localhost")
        TlsServer.stranger = make_certificate(pathlib.Path(where), "stranger")[0]
        main()
