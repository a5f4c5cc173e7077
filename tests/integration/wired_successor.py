#!/usr/bin/env python3
"""wired: a second instance takes everything over, and no client notices; and if one of the two
ends in the middle of that."""

import array
import fcntl
import os
import pathlib
import re
import signal
import socket
import struct
import termios
import threading

from harness import PATIENCE, eventually, free_port, main, open_files, receive, receive_all
from wired_daemon import Daemon, Folder, Notifications, ctl, request


def encode(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Counters:
    """64 clients, each with a key that it increments again and again, in a new connection each
    time; 16 more stay connected. An answer must be one more than the one before: nothing is lost,
    nothing done twice."""

    reconnecting, staying = 64, 16

    def __init__(self, port):
        self.port = port
        self.over = False
        self.counts = [0] * (self.reconnecting + self.staying)
        self.failed_connects, self.broken, self.wrong = [], [], []
        self.threads = [threading.Thread(target=self.run, args=(i,))
                        for i in range(len(self.counts))]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        for thread in self.threads:
            thread.join()

    def run(self, i):
        client = None
        while not self.over:
            try:
                if not client:
                    client = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            except OSError as e:
                self.failed_connects.append(repr(e))
                return
            try:
                client.sendall(encode("INCR", f"counter:{i}"))
                answer = client.recv(64)
                self.counts[i] += 1
                if answer != b":%d\r\n" % self.counts[i]:
                    self.wrong.append((self.counts[i], answer))
                    return
            except OSError as e:
                self.broken.append(repr(e))
                return
            if i < self.reconnecting:
                client.close()
                client = None
        if client:
            client.close()

    def progress(self, rounds):
        """Waits until each client has had so many more answers."""
        wanted = [n + rounds for n in self.counts]
        done = eventually(lambda: all(n >= w for n, w in zip(self.counts, wanted))
                          or self.failed_connects or self.broken or self.wrong)
        if not done:
            raise AssertionError(f"no progress: {wanted} {self.counts}")

    def faults(self):
        return self.failed_connects, self.broken, self.wrong


class Successor(Folder):
    def test_under_load_no_client_notices(self):
        with Daemon(self) as first, Counters(first.port) as clients:
            clients.progress(2)
            old = first
            for _ in range(3):
                new = Daemon(self, "--take-over")
                self.addCleanup(new.__exit__)
                self.assertEqual(old.end(), 0)
                self.assertEqual(new.port, first.port)
                clients.progress(2)
                old = new
            clients.__exit__()
            self.assertEqual(clients.faults(), ([], [], []))
            self.assertIn("has taken over", new.log())
            for i, n in enumerate(clients.counts):
                self.assertEqual(request(first.port, f"GET counter:{i}"),
                                 b"$%d\r\n%d" % (len(str(n)), n))
            self.assertEqual(new.stop(), 0)
            self.assertFalse(os.path.exists(self.control))

    def test_a_client_in_the_middle_of_anything_goes_on(self):
        value = bytes(range(256)) * 4096 * 8
        with Daemon(self) as old, old.connect() as half, old.connect() as slow, \
                old.connect() as leaves:
            half.sendall(encode("SET", "k", value) + encode("LPUSH", "l", "c", "b", "a"))
            self.assertEqual(receive(half, 9), b"+OK\r\n:3\r\n")
            half.sendall(encode("SET", "e", "\r\n", "EX", 1000) + encode("GET", "e")[:9])
            self.assertEqual(receive(half, 5), b"+OK\r\n")
            slow.sendall(encode("GET", "k") + encode("PING"))  # 8 MiB, which it does not read yet
            leaves.sendall(encode("GET", "k") + encode("QUIT"))
            self.assertTrue(eventually(
                lambda: ctl(self, "wires").count("waits for a writable") == 2))
            with Daemon(self, "--take-over") as new:
                self.assertEqual(old.end(), 0)
                self.assertIn("has taken over 3 connections and 3 keys", new.log())
                half.sendall(encode("GET", "e")[9:])
                self.assertEqual(receive(half, 8), b"$2\r\n\r\n\r\n")
                whole = b"$%d\r\n%s\r\n" % (len(value), value)
                self.assertEqual(receive(slow, len(whole) + 7), whole + b"+PONG\r\n")
                self.assertEqual(receive_all(leaves), whole + b"+OK\r\n")
                self.assertEqual(new.ask("LRANGE l 0 -1"), b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc")
                self.assertRegex(new.ask("TTL e"), rb"^:(9\d\d|1000)$")

    def test_without_an_instance_that_runs_it_says_so(self):
        self.assertIn(f"--take-over: no instance answers at {self.control}: No such file or "
                      "directory; start without --take-over",
                      self.refused("--config", self.config, "--take-over"))

    def test_one_that_drains_refuses(self):
        with Daemon(self) as old, old.connect() as half:
            half.sendall(b"PING\r\nGET")
            receive(half, 7)
            old.process.terminate()
            self.assertTrue(eventually(lambda: "draining" in ctl(self, "status")))
            self.assertIn("refuses to be replaced: this instance ends already",
                          self.refused("--config", self.config, "--take-over"))

    def test_the_successor_listens_where_its_settings_say(self):
        with Daemon(self) as old, old.connect() as stays:
            stays.sendall(b"PING\r\n")
            receive(stays, 7)
            port = free_port()
            self.settings(listen=f"127.0.0.1:{port}")
            with Daemon(self, "--take-over") as new:
                self.assertEqual(new.port, port)
                self.assertEqual(new.ask("PING"), b"+PONG")
                stays.sendall(b"PING\r\n")
                self.assertEqual(receive(stays, 7), b"+PONG\r\n")

    def test_one_that_cannot_listen_there_leaves_the_old_one_as_it_was(self):
        with Daemon(self) as old, socket.create_server(("127.0.0.1", 0)) as taken:
            self.assertEqual(old.ask("SET k v"), b"+OK")
            self.settings(listen=f"127.0.0.1:{taken.getsockname()[1]}")
            self.assertIn("error: the successor has ended", ctl(self, "upgrade", code=1))
            old.says("Address already in use; choose another port")
            old.says("has not taken over")
            self.assertEqual(old.ask("GET k"), b"$1\r\nv")
            self.assertIn("serving", ctl(self, "status"))

    def test_upgrade_starts_the_successor_and_systemd_hears_of_it(self):
        name = str(self.path / "notify")
        with Notifications(name) as told, \
                Daemon(self, NOTIFY_SOCKET=name, WATCHDOG_USEC="60000000") as old:
            self.assertIn("READY=1", told.next())
            self.write("bad")
            self.assertIn("error: the successor has ended", ctl(self, "upgrade", code=1))
            old.says(f"{self.config}:1:")
            self.settings()
            self.assertEqual(old.ask("SET k v"), b"+OK")
            self.assertEqual(ctl(self, "upgrade"), "replaced\n")
            self.assertEqual(old.end(), 0)
            pid = int(re.search(r"pid +(\d+)", ctl(self, "status"))[1])
            self.addCleanup(self.kill, pid)
            self.assertNotEqual(pid, old.process.pid)
            messages = {told.next(), told.next()}  # of two processes, in either order
            self.assertEqual(messages, {f"MAINPID={pid}", "READY=1\nSTATUS=serving"})
            self.assertEqual(old.ask("GET k"), b"$1\r\nv")
            self.assertIn('"watchdog"', ctl(self, "wires"))
            self.assertEqual(ctl(self, "drain"), "drains 0 connections\ndrained\n")

    def test_upgrade_passes_on_how_to_log(self):
        with Daemon(self, "--journal") as old:
            self.assertEqual(ctl(self, "upgrade"), "replaced\n")
            pid = int(re.search(r"pid +(\d+)", ctl(self, "status"))[1])
            self.addCleanup(self.kill, pid)
            old.says("<5>has taken over")  # they have one log

    @staticmethod
    def kill(pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def unread(peer):
    """How much memory that takes which the other end of a Unix socket has not received."""
    return struct.unpack("i", fcntl.ioctl(peer, termios.TIOCOUTQ, bytes(4)))[0]


class Broken(Folder):
    """One of the two is a process that ends, or the test itself in its place."""

    def test_a_successor_that_is_killed_changes_nothing(self):
        with Daemon(self) as old, old.connect() as half:
            half.sendall(encode("SET", "k", b"x" * (4 << 20)) + encode("GET", "n")[:9])
            self.assertEqual(receive(half, 5), b"+OK\r\n")
            for taken in (0, 1, 10_000, 1 << 20):  # bytes of what the old instance sends
                with self.subTest(taken=taken), socket.socket(socket.AF_UNIX) as fake:
                    fake.connect(self.control)
                    fake.sendall(b"take-over\n")
                    old.says("takes over")
                    self.drop(fake, taken)
                    fake.close()
                    self.assertTrue(eventually(lambda: "serving" in ctl(self, "status")))
                    self.assertEqual(old.ask("SET n 5"), b"+OK")
            half.sendall(encode("GET", "n")[9:])
            self.assertEqual(receive(half, 7), b"$1\r\n5\r\n")
            with Daemon(self, "--take-over"):
                self.assertEqual(old.end(), 0)

    def test_who_has_asked_for_something_is_answered_before_the_end(self):
        with Daemon(self) as old, old.connect() as client, \
                socket.socket(socket.AF_UNIX) as asks, socket.socket(socket.AF_UNIX) as fake:
            client.sendall(encode("SET", "k", b"x" * (4 << 20)))
            self.assertEqual(receive(client, 5), b"+OK\r\n")
            asks.connect(self.control)
            self.assertTrue(eventually(lambda: ctl(self, "wires").count('"wiredctl"') == 2))
            fake.connect(self.control)
            fake.sendall(b"take-over\n")
            old.says("takes over")
            asks.sendall(b"reload\n")
            self.assertTrue(eventually(lambda: unread(asks) == 0))
            end = b""
            while not end.endswith(b"end\n"):
                got, fds, _, _ = socket.recv_fds(fake, 4096, 4)
                self.assertTrue(got, "the old instance has given up")
                end = (end + got)[-4:]
                for fd in fds:
                    os.close(fd)
            fake.sendall(b"ready\n")
            self.assertEqual(receive_all(asks), b"error: this instance ends\n")
            self.assertEqual(old.end(), 0)

    @staticmethod
    def drop(fake, size):
        while size > 0:
            got, fds, _, _ = socket.recv_fds(fake, min(size, 4096), 4)
            assert got, "the old instance has given up"
            size -= len(got)
            for fd in fds:
                os.close(fd)

    def fake_old(self, messages):
        """A successor of an old instance that sends these, and is gone. self.client is the end of
        the connection that is among them."""
        self.client, given_client = socket.socketpair()
        self.addCleanup(self.client.close)
        door = socket.create_server(("127.0.0.1", 0))
        control = socket.socket(socket.AF_UNIX)
        control.bind(self.control)
        control.listen()
        new = Daemon(self, "--take-over", ready=False)
        self.addCleanup(new.__exit__)
        with control.accept()[0] as peer:
            self.assertEqual(receive(peer, 10), b"take-over\n")
            for text, given in messages:
                ends = {"door": door, "control": control, "client": given_client}
                fds = array.array("i", [ends[given].fileno()] if given else [])
                peer.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else [])
            control.close()  # before the new one misses the rest, and opens its own
        given_client.close()
        port = door.getsockname()[1]
        waiting = socket.create_connection(("127.0.0.1", port), PATIENCE)  # before the new accepts
        door.close()
        self.addCleanup(waiting.close)
        return new, port, waiting

    def test_if_the_old_one_is_killed_its_successor_goes_on_with_what_it_has(self):
        listen = (b"listen 127.0.0.1:0\n", "door")
        control = (b"control 1\n", "control")
        client = (b"connection 5 7 0\nGET k+PONG\r\n", "client")
        values = (b"values %d\n" % len(encode("SET", "k", "v")) + encode("SET", "k", "v"), None)
        for sent, connections, keys in (
                ([listen], 0, 0), ([listen, control], 0, 0),
                ([listen, control, (b"connection 5 7 0\nGET", "client")], 0, 0),
                ([listen, control, client], 1, 0),
                ([listen, control, client, (b"values 1000\n*3", None)], 1, 0),
                ([listen, control, client, values], 1, 1),
                ([listen, control, client, values, (b"end\n", None)], 1, 1)):
            with self.subTest(sent=sent):
                new, port, waiting = self.fake_old(sent)
                new.wait_until_ready()
                self.assertIn(f"has taken over {connections} connection", new.log())
                self.assertIn(f"{keys} key", new.log())
                self.assertEqual("before it had sent everything" in new.log(),
                                 sent[-1][0] != b"end\n")
                waiting.sendall(b"PING\r\n")
                self.assertEqual(receive(waiting, 7), b"+PONG\r\n")
                if connections:
                    self.client.sendall(b"\r\n")  # the end of its request
                    wanted = b"+PONG\r\n" + (b"$1\r\nv\r\n" if keys else b"$-1\r\n")
                    self.assertEqual(receive(self.client, len(wanted)), wanted)
                self.assertEqual(request(port, "SET new 1"), b"+OK")
                self.assertIn("serving", ctl(self, "status"))
                self.assertEqual(new.stop(), 0)

    def test_what_is_no_old_instance_is_refused(self):
        for sent, wanted in (([(b"listen x\n", None)], "is not all there: Protocol error"),
                             ([(b"nonsense\n", None)], "is not all there: Protocol error"),
                             ([(b"error: not now\n", None)], "refuses to be replaced: not now"),
                             ([], "is not all there: No data available")):
            with self.subTest(sent=sent):
                new, _, _ = self.fake_old(sent)
                self.assertEqual(new.end(), 1)
                self.assertIn(wanted, new.log())
                os.unlink(self.control)

    def test_kill_9_of_the_old_one_under_load_refuses_no_client(self):
        with Daemon(self) as old, old.connect() as client:
            for i in range(8):  # so that giving them takes a while
                client.sendall(encode("SET", f"big:{i}", b"x" * (4 << 20)))
                self.assertEqual(receive(client, 5), b"+OK\r\n")
            inode = self.listening_inode(old.port)
            new = Daemon(self, "--take-over", ready=False)
            self.addCleanup(new.__exit__)
            self.assertTrue(eventually(
                lambda: f"socket:[{inode}]" in open_files(new.process.pid)))
            old.process.kill()
            replies = [request(old.port, "PING") for _ in range(64)]
            self.assertEqual(replies, [b"+PONG"] * 64)
            new.wait_until_ready()

    @staticmethod
    def listening_inode(port):
        rows = pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        return next(row.split()[9] for row in rows
                    if row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A")



if __name__ == "__main__":
    main()
