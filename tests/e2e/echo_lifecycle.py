#!/usr/bin/env python3
"""echo_server: starting, refusing to start, and stopping."""

import ctypes
import fcntl
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from harness import (PATIENCE, Server, accepts, ask, eventually, free_port, main, receive_all,
                     refused)


def drop_override():
    """Root, too, must then have the permission to write into a folder."""
    pr_capbset_drop, cap_dac_override = 24, 1
    ctypes.CDLL(None).prctl(pr_capbset_drop, cap_dac_override, 0, 0, 0)


def somebody_listens(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class EchoStart(unittest.TestCase):
    def test_help_names_every_option(self):
        code, text = refused("--help")
        self.assertEqual(code, 0)
        for option in ("--host", "--unix", "--port", "--threads", "--idle-timeout",
                       "--max-connections", "--drain", "--help", "7000"):
            self.assertIn(option, text)

    def test_one_line_says_where_it_listens(self):
        with Server() as server:
            self.assertRegex(server.said,
                             r"^listening on 127\.0\.0\.1:\d+( and \[::1\]:\d+)?\n$")
            code, out, err = server.stop()
            self.assertEqual((code, err), (0, ""))
            self.assertEqual(out.count("listening"), 1)

    def test_a_port_in_use_is_one_sentence_and_exit_code_1(self):
        for mine, other in ((1, 1), (2, 1), (1, 2), (2, 2)):
            with self.subTest(mine=mine, other=other), Server("--threads", other) as server:
                code, text = refused("--threads", mine, "--port", server.port)
                self.assertEqual(code, 1)
                self.assertEqual(text, f"echo_server: port {server.port} is already in use "
                                       f"(127.0.0.1:{server.port}): choose another with --port\n")
                with server.connect() as client:
                    self.assertTrue(ask(client))

    def test_a_bad_host_is_one_sentence_and_exit_code_1(self):
        code, text = refused("--host", "localhost", "--port", 0)
        self.assertEqual(code, 1)
        self.assertEqual(text, "echo_server: --host takes a numeric IPv4 or IPv6 address, "
                               "not 'localhost'\n")
        code, text = refused("--host", "192.0.2.1", "--port", 0)
        self.assertEqual(code, 1)
        self.assertEqual(text, "echo_server: cannot listen on 192.0.2.1:0: "
                               "Cannot assign requested address\n")

    def test_a_unix_path_that_cannot_be_made_is_one_sentence_and_exit_code_1(self):
        code, text = refused("--unix", "/nonexistent/echo")
        self.assertEqual(code, 1)
        self.assertEqual(text, "echo_server: cannot listen on /nonexistent/echo: "
                               "No such file or directory\n")
        code, text = refused("--unix", "x" * 200)
        self.assertEqual(code, 1)
        self.assertIn("File name too long", text)

    def test_a_file_at_the_unix_path_is_left_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "notes")
            path.write_text("precious")
            for taken in (path, folder):
                code, text = refused("--unix", taken)
                self.assertEqual(code, 1)
                self.assertEqual(text, f"echo_server: cannot listen on {taken}: "
                                       "there is a file that is no socket\n")
            self.assertEqual(path.read_text(), "precious")

    def test_no_permission_is_one_sentence_and_exit_code_1(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o500)
            code, text = refused("--unix", f"{folder}/echo", preexec_fn=drop_override)
            self.assertEqual(code, 1)
            self.assertEqual(text, f"echo_server: cannot listen on {folder}/echo: "
                                   "Permission denied\n")

    def test_options_that_make_no_sense_are_refused(self):
        for args in (["--threads", "0"], ["--nonsense"], ["--idle-timeout", "0"],
                     ["--idle-timeout", "nan"], ["--drain", "-1"], ["--max-connections", "0"],
                     ["--unix", ""], ["--host", ""], ["--unix", "@x", "--host", "::1"]):
            with self.subTest(args=args):
                code, text = refused(*args)
                self.assertEqual(code, 1)
                self.assertRegex(text, "^echo_server: .*\nTry echo_server --help\n$")

    def test_a_port_that_is_none_is_named_in_one_sentence(self):
        for port in ("70000", "-1", "x", "", "80.5"):
            with self.subTest(port=port):
                code, text = refused("--port", port)
                self.assertEqual(code, 1)
                self.assertIn("echo_server: --port: takes a number from 0 to 65535, "
                              f"not '{port}'\n", text)

    def serve_once(self, **streams):
        """A server that nobody can read from serves a client and ends. Returns its exit code."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "echo")
            server = subprocess.Popen([Server.folder / "echo_server", "--unix", path], **streams)
            try:
                self.assertTrue(eventually(lambda: accepts(path)))
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(PATIENCE)
                    client.connect(path)
                    self.assertTrue(ask(client))
                server.send_signal(signal.SIGTERM)
                return server.wait(PATIENCE)
            finally:
                server.kill()
                server.communicate()

    def test_it_serves_with_the_standard_descriptors_closed(self):
        def close_all():
            for fd in range(3):
                os.close(fd)

        self.assertEqual(self.serve_once(preexec_fn=close_all), 0)

    def test_it_serves_with_a_full_disk_below_its_output(self):
        with open("/dev/full", "w", encoding="ascii") as full, tempfile.TemporaryFile("w+") as err:
            self.assertEqual(self.serve_once(stdout=full, stderr=err), 1)
            err.seek(0)
            self.assertEqual(err.read(), "echo_server: could not write everything to standard "
                                         "output\n")


class EchoActivated(unittest.TestCase):
    """Started as systemd does it: the socket is there, as descriptor 3."""

    def start(self, door, *args, **variables):
        copy = fcntl.fcntl(door, fcntl.F_DUPFD, 10)

        def hand_over():
            os.dup2(copy, 3)
            os.environ.update({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", **variables})

        with open("/dev/null", "rb"):  # is number 3, unless that is open: else Popen might use it
            server = Server(*args, port=None, before_exec=hand_over, pass_fds=(3,))
        os.close(copy)
        return server

    def test_it_serves_on_the_socket_that_it_was_given(self):
        for threads in (1, 2):
            with self.subTest(threads=threads), \
                    socket.create_server(("127.0.0.1", 0)) as door, \
                    self.start(door, "--threads", threads) as server:
                self.assertEqual(server.port, door.getsockname()[1])
                for _ in range(5):
                    with server.connect() as client:
                        self.assertTrue(ask(client))
                self.assertEqual(server.stop()[0], 0)

    def test_what_makes_no_sense_is_one_sentence(self):
        for variables, reason in (({"LISTEN_FDS": "x"}, "Invalid argument"),
                                  ({"LISTEN_FDS": "2"}, "Bad file descriptor")):
            with socket.create_server(("127.0.0.1", 0)) as door:
                server = self.start(door, **variables)
                code, _, err = server.end()
                self.assertEqual(code, 1)
                self.assertEqual(err, "echo_server: what LISTEN_FDS hands over makes no sense: "
                                      f"{reason}\n")
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            code, _, err = self.start(udp, LISTEN_FDNAMES="echo").end()
            self.assertEqual(code, 1)
            self.assertEqual(err, "echo_server: cannot listen on echo: "
                                  "Protocol wrong type for socket\n")


class EchoStop(unittest.TestCase):
    def test_sigterm_and_sigint_end_an_idle_server_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number=number), Server("--drain", 10 * PATIENCE) as server:
                server.signal(number)
                code, out, err = server.end()  # within PATIENCE
                self.assertEqual((code, err), (0, ""))
                self.assertIn("cut connections: 0", out)

    def test_open_connections_may_finish(self):
        for threads in (1, 2):
            with self.subTest(threads=threads), Server("--threads", threads) as server:
                clients = [server.connect() for _ in range(4)]
                self.assertTrue(all(ask(client) for client in clients))
                server.signal()
                self.assertEqual(server.process.stdout.readline(),
                                 "signal 15, open connections: 4\n")
                self.assertTrue(eventually(lambda: not self.accepts(server)))
                self.assertTrue(all(ask(client, b"still here") for client in clients))
                for client in clients:
                    client.close()
                code, out, _ = server.end()
                self.assertEqual(code, 0)
                self.assertIn("cut connections: 0", out)

    @staticmethod
    def accepts(server):
        try:
            with server.connect() as client:
                return ask(client)
        except OSError:
            return False

    def test_open_connections_may_finish_although_nobody_reads_what_it_says(self):
        with Server() as server, server.connect() as client:
            self.assertTrue(ask(client))
            server.process.stdout.close()
            server.signal()
            self.assertTrue(eventually(lambda: not self.accepts(server)))
            self.assertTrue(ask(client, b"still here"))
            client.close()
            self.assertEqual(server.process.wait(PATIENCE), 1)
            self.assertEqual(server.process.stderr.read(), "echo_server: could not write "
                                                           "everything to standard output\n")

    def test_after_the_drain_time_the_rest_is_cut(self):
        with Server("--drain", 0.3) as server, server.connect() as a, server.connect() as b:
            self.assertTrue(ask(a) and ask(b))
            begin = time.monotonic()
            code, out, err = server.stop()
            self.assertGreater(time.monotonic() - begin, 0.25)
            self.assertEqual((code, err), (0, ""))
            self.assertIn("cut connections: 2", out)
            self.assertEqual(receive_all(a), b"")

    def test_a_second_signal_ends_it_at_once(self):
        for threads in (1, 2):
            with self.subTest(threads=threads), \
                    Server("--drain", 60, "--threads", threads) as server:
                with server.connect() as client:
                    self.assertTrue(ask(client))
                    server.signal()
                    self.assertIn("signal 15", server.process.stdout.readline())
                    server.signal()
                    self.assertEqual(server.end()[0], -signal.SIGTERM)

    def test_it_can_be_started_again_on_the_same_port(self):
        port = free_port()
        with Server("--host", "127.0.0.1", "--drain", 0, port=port) as server, \
                server.connect() as client:
            self.assertTrue(ask(client))
            self.assertEqual(server.stop()[0], 0)  # the server closes first: its side lingers
            self.assertEqual(receive_all(client), b"")
        with Server("--host", "127.0.0.1", port=port) as server, server.connect() as client:
            self.assertTrue(ask(client))

    def test_a_unix_path_is_removed_at_the_end_and_replaced_after_a_crash(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "echo")
            with Server("--unix", path, port=None) as server:
                self.assertTrue(path.is_socket())
                code, text = refused("--unix", path)
                self.assertEqual(code, 1)
                self.assertEqual(text, f"echo_server: another server listens on {path} already: "
                                       "choose another with --unix\n")
                server.signal(signal.SIGKILL)
                server.end()
            self.assertTrue(path.is_socket())
            # The kernel takes a killed process' io_uring apart, and its listener, in its own time.
            self.assertTrue(eventually(lambda: not somebody_listens(path)))
            with Server("--unix", path, port=None) as server:
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
                    self.assertTrue(ask(client))
                self.assertEqual(server.stop()[0], 0)
            self.assertFalse(path.exists())


if __name__ == "__main__":
    main()
