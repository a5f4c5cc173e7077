#!/usr/bin/env python3
"""curl_get fetches from nginx, from s_server, and from servers that stall, refuse or break off."""

import contextlib
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from harness import (PATIENCE, Program, Server, closed_port, eventually, free_port, main,
                     pattern, receive_until)

CURL_GET = "third_party/curl/curl_get"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")

CONFIGURATION = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port}; root {folder};
        location /moved {{ return 302 /small; }}
        location /closing {{ keepalive_timeout 0; alias {folder}/small; }}
    }}
}}
"""


def accepts_tcp(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


class Nginx:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.port = free_port()
        where = pathlib.Path(self.folder.name)
        where.chmod(0o755)
        (where / "small").write_bytes(b"hello")
        (where / "large").write_bytes(pattern(10_000_000))
        (where / "middling").write_bytes(pattern(500_000))
        (where / "nginx.conf").write_text(CONFIGURATION.format(folder=where, port=self.port))
        self.process = subprocess.Popen([NGINX, "-p", where, "-c", where / "nginx.conf"],
                                        stderr=subprocess.DEVNULL)

    def __enter__(self):
        if not eventually(lambda: accepts_tcp(self.port)):
            raise AssertionError("nginx did not start")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"


class Scripted:
    """Answers each connection with talk(peer), in a thread of its own."""

    def __init__(self, talk):
        self.door = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}/"
        self.talk = talk
        self.threads = [threading.Thread(target=self.accept)]

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *_):
        self.door.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        self.door.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.door.accept()
                peer.settimeout(PATIENCE)
                self.threads.append(threading.Thread(target=self.serve, args=(peer,)))
                self.threads[-1].start()

    def serve(self, peer):
        with peer, contextlib.suppress(OSError):
            if receive_until(peer, b"\r\n\r\n"):  # not if the client was cancelled before it asked
                self.talk(peer)


def answer(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def wait_for_end(peer):
    peer.recv(1)


def curl_get(*args):
    """Returns exit code, lines of standard output, in order of text, and standard error."""
    done = subprocess.run([Server.folder / CURL_GET, *map(str, args)], capture_output=True,
                          text=True, timeout=PATIENCE, check=False)
    return done.returncode, sorted(done.stdout.splitlines()), done.stderr


@unittest.skipUnless(NGINX, "nginx is not installed (nginx-light)")
class FromNginx(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.nginx = cls.enterClassContext(Nginx())

    def test_what_is_there_and_what_is_not(self):
        small, large, none = map(self.nginx.url, ("/small", "/large", "/none"))
        code, out, err = curl_get(small, large, none)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out[:2], [f"200, 10000000 bytes: {large}", f"200, 5 bytes: {small}"])
        self.assertRegex(out[2], "^404, .* bytes: " + none)

    def test_redirects_are_followed(self):
        code, out, _ = curl_get("--body", self.nginx.url("/moved"))
        self.assertEqual((code, out), (0, [f"200, 5 bytes: {self.nginx.url('/moved')}", "hello"]))

    def test_fifty_at_once(self):
        url = self.nginx.url("/middling")
        code, out, err = curl_get(*[url] * 50)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out, [f"200, 500000 bytes: {url}"] * 50)

    def test_sockets_that_are_closed_and_opened_again_under_the_same_numbers(self):
        urls = [self.nginx.url(path) for _ in range(50) for path in ("/closing", "/moved")]
        code, out, err = curl_get(*urls)
        self.assertEqual((code, err, len(out)), (0, "", 100))


class FromOthers(unittest.TestCase):
    def test_https_from_s_server(self):
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = f"{folder}/cert.pem", f"{folder}/key.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                            "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                            key, "-out", certificate], check=True, capture_output=True)
            port = free_port()
            with subprocess.Popen(["openssl", "s_server", "-www", "-accept", f"127.0.0.1:{port}",
                                   "-cert", certificate, "-key", key], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
                try:
                    self.assertTrue(eventually(lambda: accepts_tcp(port)))
                    url = f"https://localhost:{port}/"
                    code, out, err = curl_get("--ca", certificate, url)
                    self.assertEqual((code, err), (0, ""))
                    self.assertRegex(out[0], "^200, [0-9]+ bytes: " + url)
                    code, _, err = curl_get(url)
                    self.assertEqual(code, 1)
                    self.assertIn("SSL certificate problem", err)
                finally:
                    server.kill()

    def test_a_port_where_nobody_listens(self):
        with closed_port() as port:
            url = f"http://127.0.0.1:{port}/"
            code, out, err = curl_get(url)
        self.assertEqual((code, out), (1, []))
        self.assertRegex(err, f"curl_get: {url}: Failed to connect to .*: Couldn't connect")

    def test_what_is_no_url_for_it(self):
        code, _, err = curl_get("file:///etc/passwd")
        self.assertEqual(code, 1)
        self.assertIn('Protocol "file" not supported', err)

    def test_a_host_that_is_none(self):
        code, _, err = curl_get("http://nowhere.invalid/")
        self.assertEqual(code, 1)
        self.assertIn("Could not resolve host: nowhere.invalid", err)

    def test_a_server_that_says_nothing_meets_the_deadline(self):
        with Scripted(wait_for_end) as silent, Scripted(lambda p: p.sendall(answer(b"ok"))) as fine:
            code, out, err = curl_get("--timeout", 3, silent.url, fine.url)
            self.assertEqual((code, out), (1, [f"200, 2 bytes: {fine.url}"]))
            self.assertIn(f"{silent.url}: Connection timed out", err)

    def test_a_server_that_breaks_off(self):
        with Scripted(lambda p: p.sendall(answer(b"x" * 1000)[:500])) as server:
            code, _, err = curl_get(server.url)
            self.assertEqual(code, 1)
            self.assertIn("bytes remaining to read", err)

    def test_the_first_answer_cancels_the_wires_of_the_others(self):
        with Scripted(wait_for_end) as silent, Scripted(lambda p: p.sendall(answer(b"ok"))) as fine:
            code, out, err = curl_get("--first", *[silent.url] * 20, fine.url)
            self.assertEqual((code, out, err), (0, [f"200, 2 bytes: {fine.url}"], ""))

    def test_another_wire_ticks_while_a_server_takes_its_time(self):
        may_go = threading.Event()

        def hesitate(peer):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
            may_go.wait(PATIENCE)
            peer.sendall(b"k")

        with Scripted(hesitate) as server:
            program = Program(self, CURL_GET, "--ticks", server.url)
            for _ in range(10):
                program.line(lambda text: text == "tick\n")
            may_go.set()
            program.line(lambda text: text == f"200, 2 bytes: {server.url}\n")
            code, _, err = program.end()
            self.assertEqual((code, err), (0, ""))


if __name__ == "__main__":
    if len(sys.argv) > 1 and not (pathlib.Path(sys.argv[1]) / CURL_GET).exists():
        print("curl_get was not built (libcurl4-openssl-dev, libcli11-dev): skipped")
        sys.exit(77)
    Program.folder = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    main()
