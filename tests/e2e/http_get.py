#!/usr/bin/env python3
"""http_get downloads from http_server, and from servers that stall, lie or break off."""

import pathlib
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from harness import PATIENCE, Server, closed_port, main, pattern, receive_until


class HttpServer(Server):
    program = "http_server"


class Scripted:
    """A server that answers each path with the bytes it was given, then closes, or stalls."""

    def __init__(self, answers, stalls=()):
        self.answers, self.stalls, self.held = answers, stalls, []
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.door.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.door.close()
        for peer in self.held:
            peer.close()

    def serve(self):
        while True:
            try:
                peer, _ = self.door.accept()
            except OSError:
                return
            request = receive_until(peer, b"\r\n\r\n")
            if not request:
                peer.close()
                continue
            path = request.split()[1].decode()
            peer.sendall(self.answers[path])
            if path in self.stalls:
                self.held.append(peer)
            else:
                peer.close()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"


class HttpGet(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name) / "got"
        self.folder.mkdir()
        self.root = pathlib.Path(folder.name) / "root"
        self.root.mkdir()

    def http_get(self, *args, stdout=subprocess.PIPE):
        done = subprocess.run([Server.folder / "http_get", *map(str, args)], stdout=stdout,
                              stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
        return done.returncode, done.stdout, done.stderr.decode()

    def into_folder(self, *args):
        code, out, err = self.http_get("--folder", self.folder, *args)
        self.assertEqual(out, b"")
        return code, err, {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def test_many_files_at_once(self):
        files = {f"file{i}": pattern(i * 50_000) for i in range(20)}
        for name, content in files.items():
            (self.root / name).write_bytes(content)
        with HttpServer("--root", self.root) as server:
            urls = [f"http://127.0.0.1:{server.port}/{name}" for name in files]
            code, err, got = self.into_folder("--parallel", 4, *urls)
        self.assertEqual((code, err), (0, ""))
        self.assertTrue(got == files)

    def test_names(self):
        with HttpServer() as server:
            url = f"http://localhost:{server.port}/hello"
            code, err, got = self.into_folder(url, url + "?x", url + "#y",
                                              f"http://[::1]:{server.port_v6}?z")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(sorted(got), ["hello", "hello.2", "hello.3", "index.html"])

    def test_standard_output_and_progress(self):
        with HttpServer() as server:
            url = f"http://127.0.0.1:{server.port}/hello"
            self.assertEqual(self.http_get("--stdout", url), (0, b"Hello, world\n", ""))
            code, out, err = self.http_get("--progress", "--stdout", url)
            self.assertEqual((code, out), (0, b"Hello, world\n"))
            self.assertIn("1 of 1 done, 0 failed, 0 of 0 KiB\n", err)
            with open("/dev/full", "wb") as full:
                code, _, err = self.http_get("--stdout", url, stdout=full)
            self.assertEqual(code, 1)
            self.assertIn("cannot write: No space left on device", err)

    def test_a_server_that_stalls_costs_only_its_own_download(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 100
        (self.root / "good").write_bytes(b"good")
        answers = {"/half": head, "/head": head[:20], "/silent": b""}
        with Scripted(answers, stalls=answers) as stalled, \
                HttpServer("--root", self.root) as server:
            good = f"http://127.0.0.1:{server.port}/good"
            begin = time.monotonic()
            code, err, got = self.into_folder("--timeout", 2, *map(stalled.url, answers), good)
            self.assertLess(time.monotonic() - begin, PATIENCE / 2)
        self.assertEqual((code, got), (1, {"good": b"good"}))
        for path, so_far in {"/half": ", after 100 bytes", "/head": "", "/silent": ""}.items():
            self.assertIn(f"http_get: {stalled.url(path)}: Connection timed out{so_far}\n", err)

    def test_places_that_stalled_downloads_had_go_to_others(self):
        with Scripted({"/silent": b""}, stalls=["/silent"]) as stalled, HttpServer() as server:
            hello = f"http://127.0.0.1:{server.port}/hello"
            code, _, got = self.into_folder("--timeout", 1.5, "--parallel", 1,
                                            stalled.url("/silent"), stalled.url("/silent"), hello)
        self.assertEqual((code, got), (1, {"hello": b"Hello, world\n"}))

    def test_bodies(self):
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        ok = b"HTTP/1.1 200 OK\r\n"
        big = pattern(300_000)
        pieces = b"".join(b"%x;a=b\r\n%s\r\n" % (len(p), p)
                          for p in (big[i:i + 7001] for i in range(0, len(big), 7001)))
        answers = {"/chunked": chunked + pieces + b"0\r\nT: t\r\n\r\n",
                   "/no-chunk": chunked + b"0\r\n\r\n",
                   "/until-the-end": b"HTTP/1.0 200 OK\r\n\r\n" + big,
                   "/nothing": ok + b"Content-Length: 0\r\n\r\n",
                   "/interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok +
                               b"Content-Length: 2\r\n\r\nhi and more"}
        with Scripted(answers) as server:
            code, err, got = self.into_folder(*map(server.url, answers))
        self.assertEqual((code, err), (0, ""))
        self.assertTrue(got == {"chunked": big, "no-chunk": b"", "until-the-end": big,
                                "nothing": b"", "interim": b"hi"})

    def test_answers_that_are_no_success(self):
        ok = b"HTTP/1.1 200 OK\r\n"
        answers = {"/moved": b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
                   "/none": b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
                   "/cut": ok + b"Content-Length: 10\r\n\r\nabc",
                   "/cut-chunk": ok + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
                   "/bad-chunk": ok + b"Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
                   "/other": b"220 ready\r\n", "/mute": b"",
                   "/long": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 20_000}
        said = {"/moved": "the server answers 301: redirects are not followed",
                "/none": "the server answers 404", "/cut": "the connection has ended too early",
                "/cut-chunk": "the connection has ended too early", "/bad-chunk": "bad chunk",
                "/other": "no answer of HTTP", "/mute": "the connection has ended too early",
                "/long": "header limit exceeded"}
        with Scripted(answers) as server:
            code, err, got = self.into_folder(*map(server.url, answers))
        self.assertEqual((code, got), (1, {}))
        for path, sentence in said.items():
            self.assertRegex(err, rf"(?m)^http_get: {server.url(path)}: .*{sentence}.*$")

    def test_what_cannot_be_asked_is_said(self):
        no_name = "x" * 64  # too long for a label: no server of names is asked
        with closed_port() as port:
            cases = {f"http://127.0.0.1:{port}/": "cannot connect: Connection refused",
                     f"http://{no_name}/": f"cannot look up '{no_name}': ",
                     "https://localhost/": "only http:// is spoken here",
                     "http:///x": "there is no host in it",
                     "http://localhost:1/a b": "there is a blank in it"}
            for url, sentence in cases.items():
                with self.subTest(url=url):
                    code, out, err = self.http_get("--stdout", url)
                    self.assertEqual((code, out), (1, b""))
                    self.assertIn(f"http_get: {url}: {sentence}", err)
                    self.assertEqual(err.count("\n"), 1)
        nowhere = ("--folder", "/no/such", "http://a")
        for args in ((), nowhere, ("--stdout", "http://a", "http://b")):
            code, out, err = self.http_get(*args)
            self.assertEqual((code, out), (1, b""))
            self.assertRegex(err, "^http_get: ")


if __name__ == "__main__":
    main()
