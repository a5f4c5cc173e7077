#!/usr/bin/env python3
"""wired: settings, wiredctl, what systemd is told, drain; wired_successor.py has the rest."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

from harness import (PATIENCE, eventually, free_port, little_memory, main, receive,
                     receive_all)
from wired_daemon import SOURCE, Daemon, Folder, Notifications, ctl, request, wired

WRONG = [  # a file of settings, and what is said of it
    ("listen = 3", "1:10: this must be a text in quotes"),
    ('\n\n  listen = "localhost:80"', "3:12: this must be a numeric address and a port"),
    ('listen = "127.0.0.1:99999"', "1:10: this must be a numeric address and a port"),
    ('listen = "127.0.0.1:7379', "1:25: "),
    ('control = ""', "1:11: this must not be empty"),
    (f'control = "/{"x" * 107}"', "1:11: this path has more than 107 bytes"),
    ("connections_max = 0", "1:19: this must be 1 to 1,000,000"),
    ("connections_max = 1.5", "1:19: this must be a whole number"),
    ("idle_seconds = -1", "1:16: this must be up to 1,000,000 seconds, not 0"),
    ("# two lines\ndrain_seconds = nan", "2:17: this must be up to 1,000,000 seconds, not 0"),
    ('log_level = "loud"', "1:13: this must be debug, info, notice, warning, err, critical or"),
    ("allow_hold = 1", "1:14: this must be true or false"),
    ("idle_secondz = 5", '1:1: there is no setting "idle_secondz"'),
    ("idle_seconds = 5\nidle_seconds = 6", "2:16: "),
    ("[listen]", "1:1: this must be a text in quotes"),
]


class Settings(Folder):
    def test_a_wrong_file_is_refused_with_its_line(self):
        for text, wanted in WRONG:
            with self.subTest(text=text):
                self.write(text)
                done = self.refused("--config", self.config)
                self.assertIn(f"<CRITICAL> {self.config}:{wanted}", done)

    def test_a_missing_file_is_named(self):
        self.assertIn(f"{self.path}/none: No such file or directory",
                      self.refused("--config", f"{self.path}/none"))

    def test_a_file_that_cannot_be_read_is_no_empty_one(self):
        self.assertIn(f"{self.path}: Is a directory", self.refused("--config", str(self.path)))
        with Daemon(self) as daemon:
            os.unlink(self.config)
            os.mkdir(self.config)
            self.assertEqual(ctl(self, "reload", code=1), f"error: {self.config}: Is a directory\n")
            self.assertEqual(daemon.ask("PING"), b"+PONG")

    def test_check_reads_the_settings_and_no_more(self):
        self.write('listen = "127.0.0.1:1"')
        done = subprocess.run([wired(), "--config", self.config, "--check"], check=False,
                              capture_output=True, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_the_example_is_what_the_defaults_are(self):
        shutil.copy(SOURCE / "wired.toml", self.config)
        done = subprocess.run([wired(), "--config", self.config, "--check"], check=False,
                              capture_output=True, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stderr), (0, b""))


class Start(Folder):
    def test_a_port_in_use_is_told(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.settings(listen=f"127.0.0.1:{port}")
            said = self.refused("--config", self.config)
        self.assertIn(f"cannot listen on 127.0.0.1:{port}: Address already in use; choose", said)
        self.assertFalse(os.path.exists(self.control))

    def test_a_second_instance_by_mistake_is_told(self):
        with Daemon(self) as first:
            said = self.refused("--config", self.config)
            self.assertIn(f"cannot open the control socket {self.control}: Address already in use; "
                          "another instance runs: stop it, replace it with --take-over", said)
            self.assertEqual(first.ask("PING"), b"+PONG")

    def test_the_socket_of_a_killed_instance_is_no_obstacle(self):
        with Daemon(self) as first:
            first.process.kill()
            first.process.wait()
            self.assertTrue(os.path.exists(self.control))
            with Daemon(self) as second:
                self.assertEqual(second.ask("PING"), b"+PONG")
                self.assertIn(f"pid           {second.process.pid}\n", ctl(self, "status"))

    def test_a_missing_folder_of_the_control_socket_is_told(self):
        self.settings(control=f"{self.path}/none/control")
        self.assertIn("No such file or directory; make its folder, or let systemd make it",
                      self.refused("--config", self.config))

    def test_a_file_in_the_way_of_the_control_socket_is_told(self):
        self.settings(control=self.config)
        self.assertIn("there is a file that is no socket",
                      self.refused("--config", self.config))

    def test_a_full_disk_is_told(self):
        full = self.path / "full"
        full.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=1", "none", full],
                                 check=False, capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("may not mount a tmpfs")
        self.addCleanup(subprocess.run, ["umount", full], check=False)
        self.settings(control=f"{full}/control")
        self.assertIn(f"cannot open the control socket {full}/control: No space left on device",
                      self.refused("--config", self.config))

    def test_the_control_socket_is_for_its_user_only_and_goes_at_the_end(self):
        with Daemon(self) as daemon:
            self.assertEqual(os.stat(self.control).st_mode & 0o777, 0o600)
            self.assertEqual(daemon.stop(), 0)
        self.assertFalse(os.path.exists(self.control))

    def test_for_the_journal_lines_begin_with_their_priority(self):
        with Daemon(self, "--journal") as daemon:
            self.assertEqual(daemon.stop(), 0)
            # On a machine that is too busy it may be held up, and say so.
            lines = [s for s in daemon.log().splitlines() if not s.startswith("<4>wire: ")]
        self.assertTrue(lines[0].startswith("<5>ready: listens on 127.0.0.1:"), lines)
        self.assertEqual(lines[-1], "<5>stopped")
        log = self.path / "journal"
        log.touch()
        at = f"{log.stat().st_dev}:{log.stat().st_ino}"
        for stream, wanted in ((at, "<5>ready"), ("1:1", "<NOTICE> ready")):
            with Daemon(self, log=log, JOURNAL_STREAM=stream) as daemon:
                self.assertIn(wanted, daemon.log())

    def test_systemd_hands_over_the_sockets(self):
        activate = shutil.which("systemd-socket-activate")
        if not activate:
            self.skipTest("no systemd-socket-activate (Debian: systemd)")
        port = free_port()
        handed = str(self.path / "handed")
        command = [activate, "-l", f"127.0.0.1:{port}", "-l", handed, "--fdname=kv:control"]
        with Daemon(self, before=command, ready=False) as daemon:
            def reached():
                try:
                    return request(port, "PING") == b"+PONG"
                except ConnectionRefusedError:
                    return False
            self.assertTrue(eventually(reached))
            self.assertIn(f"listen        127.0.0.1:{port}\n", ctl(self, "status", at=handed))
            ctl(self, "reload", at=handed)
            self.assertEqual(request(port, "PING"), b"+PONG")
            self.assertEqual(daemon.stop(), 0)
            self.assertTrue(os.path.exists(handed))  # it is systemd's

    def test_systemd_accepts_the_units(self):
        analyze = shutil.which("systemd-analyze")
        if not analyze:
            self.skipTest("no systemd-analyze (Debian: systemd)")
        for name in ("wired.service", "wired.socket"):
            text = (SOURCE / name).read_text().replace("/usr/bin", str(wired().parent))
            (self.path / name).write_text(text)
        done = subprocess.run([analyze, "verify", "./wired.service", "./wired.socket"],
                              cwd=self.path, capture_output=True, text=True, timeout=PATIENCE,
                              check=False)
        said = [line for line in done.stderr.splitlines() if "wired" in line]
        self.assertEqual((done.returncode, said), (0, []))


class Memory(Folder):
    def test_without_memory_connections_are_refused_and_those_that_are_there_go_on(self):
        with Daemon(self) as daemon, daemon.connect() as stays, contextlib.ExitStack() as opened:
            with little_memory(self, daemon.process.pid, 4 << 20):
                for _ in range(400):
                    opened.enter_context(daemon.connect())
                daemon.says("a connection is refused: ")
                stays.sendall(b"PING\r\n")
                self.assertEqual(receive(stays, 7), b"+PONG\r\n")
            self.assertEqual(daemon.ask("PING"), b"+PONG")
            opened.close()
            self.assertEqual(daemon.stop(), 0)


class Reload(Folder):
    def check_reloads(self, reload):
        self.settings(listen=f"127.0.0.1:{free_port()}")  # nobody gets it when it is free again
        with Daemon(self) as daemon, daemon.connect() as stays:
            stays.sendall(b"SET k v\r\nGET")
            self.assertEqual(receive(stays, 5), b"+OK\r\n")
            port = free_port()
            self.settings(listen=f"127.0.0.1:{port}", connections_max=1)
            reload(daemon)
            self.assertTrue(eventually(lambda: "reloads       1" in ctl(self, "status")))
            stays.sendall(b" k\r\n")
            self.assertEqual(receive(stays, 7), b"$1\r\nv\r\n")
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as one_too_many:
                self.assertEqual(receive_all(one_too_many),
                                 b"-ERR max number of clients reached\r\n")
            self.assertRaises(ConnectionRefusedError, daemon.connect)

    def test_sighup_takes_new_settings_over_and_keeps_connections(self):
        self.check_reloads(lambda daemon: daemon.process.send_signal(signal.SIGHUP))

    def test_wiredctl_does_the_same(self):
        self.check_reloads(lambda _: self.assertEqual(ctl(self, "reload"), "reloaded\n"))

    def test_a_bad_file_changes_nothing_and_is_told_with_its_line(self):
        for text, wanted in WRONG:
            with self.subTest(text=text):
                with Daemon(self) as daemon, daemon.connect() as stays:
                    self.write(text)
                    said = ctl(self, "reload", code=1)
                    self.assertTrue(said.startswith(f"error: {self.config}:{wanted}"), said)
                    daemon.says(f"reload refused: {self.config}:{wanted}")
                    self.assertIn("reloads       0, the last: refused: ", ctl(self, "status"))
                    stays.sendall(b"PING\r\n")
                    self.assertEqual(receive(stays, 7), b"+PONG\r\n")
                    self.assertEqual(daemon.ask("PING"), b"+PONG")
                self.settings()

    def test_what_cannot_be_done_changes_nothing(self):
        with Daemon(self) as daemon, socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.settings(listen=f"127.0.0.1:{taken.getsockname()[1]}", connections_max=1)
            self.assertIn("Address already in use; choose another port",
                          ctl(self, "reload", code=1))
            self.settings(control=f"{self.path}/other")
            self.assertIn("control: its change needs a restart", ctl(self, "reload", code=1))
            self.assertIn("of at most 10000", ctl(self, "status"))
            self.assertEqual(daemon.ask("PING"), b"+PONG")


class Wiredctl(Folder):
    def test_status_and_wires(self):
        with Daemon(self) as daemon, daemon.connect() as client:
            client.sendall(b"SET k v\r\n")
            receive(client, 5)
            status = ctl(self, "status")
            for line in (f"pid           {daemon.process.pid}", "phase         serving",
                         f"listen        127.0.0.1:{daemon.port}",
                         "connections   1 of at most 10000, 1 so far", "requests      1",
                         "keys          1", "reloads       0, the last: none"):
                self.assertIn(line + "\n", status)
            wires = ctl(self, "wires")
            self.assertRegex(wires, r'"connection" waits for a readable descriptor for \d+ ms\n')
            self.assertRegex(wires, r'"wiredctl" is running\n')

    def test_what_is_no_command_is_told(self):
        with Daemon(self):
            self.assertIn("error: the commands are status, ", ctl(self, "nonsense", code=1))
            self.assertIn("error: `allow_hold` is not set", ctl(self, "hold", "1", code=1))

    def test_without_a_daemon_it_says_so(self):
        said = ctl(self, "status", code=1)
        self.assertIn(f"nobody answers at {self.control}: No such file or directory", said)
        self.assertIn("does wired run", said)

    def test_who_says_nothing_holds_up_nobody(self):
        with Daemon(self) as daemon, socket.socket(socket.AF_UNIX) as silent:
            silent.connect(self.control)
            self.assertIn("serving", ctl(self, "status"))
            self.assertEqual(daemon.stop(), 0)

    def test_a_name_in_the_abstract_namespace(self):
        name = f"@wired-test-{os.getpid()}"
        self.settings(control=name)
        with Daemon(self) as daemon:
            self.assertIn("serving", ctl(self, "status", at=name))
            self.assertEqual(daemon.stop(), 0)

    def test_drain_says_how_it_went(self):
        with Daemon(self) as daemon, daemon.connect() as idle:
            idle.sendall(b"PING\r\n")
            receive(idle, 7)
            self.assertEqual(ctl(self, "drain"), "drains 1 connection\ndrained\n")
            self.assertEqual(receive_all(idle), b"")
            self.assertEqual(daemon.end(), 0)


class Drain(Folder):
    def test_a_request_that_has_begun_is_answered(self):
        with Daemon(self) as daemon, daemon.connect() as busy:
            busy.sendall(b"SET k v\r\nGET")
            receive(busy, 5)
            daemon.process.terminate()
            daemon.says("a signal ends it")
            busy.sendall(b" k\r\n")
            self.assertEqual(receive_all(busy), b"$1\r\nv\r\n")
            self.assertEqual(daemon.end(), 0)
            self.assertNotIn("; cuts", daemon.log())

    def test_its_limit_names_who_is_left(self):
        self.settings(drain_seconds=0.2)
        with Daemon(self) as daemon, daemon.connect() as half, daemon.connect() as rude:
            half.sendall(b"PING\r\nGET")
            receive(half, 7)
            rude.sendall(b"SET k %s\r\n" % (b"x" * 60000) + b"GET k\r\n" * 400)
            self.assertTrue(eventually(lambda: "waits for a writable" in ctl(self, "wires")))
            daemon.process.terminate()
            self.assertEqual(daemon.end(), 0)
            self.assertRegex(daemon.log(), "<WARNING> drain: the time is over; cuts 2 connections")
            self.assertIn("127.0.0.1:%d has sent 3 bytes of a request" % half.getsockname()[1],
                          daemon.log())
            self.assertRegex(daemon.log(), r"127.0.0.1:%d has not read \d+ bytes of answers"
                             % rude.getsockname()[1])

    def test_a_second_signal_waits_no_longer(self):
        self.settings(drain_seconds=1000)
        with Daemon(self) as daemon, daemon.connect() as half:
            half.sendall(b"PING\r\nGET")
            receive(half, 7)
            daemon.process.terminate()
            self.assertTrue(eventually(lambda: "phase         draining" in ctl(self, "status")))
            daemon.process.send_signal(signal.SIGINT)
            self.assertEqual(daemon.end(), 0)
            self.assertIn("drain: waits no longer; cuts 1 connection", daemon.log())


class Systemd(Folder):
    def test_it_is_told_of_start_reload_and_end_in_order(self):
        for name in (str(self.path / "notify"), f"@wired-notify-{os.getpid()}"):
            with self.subTest(name=name), Notifications(name) as told, \
                    Daemon(self, NOTIFY_SOCKET=name) as daemon:
                self.assertEqual(told.next(), "READY=1\nSTATUS=serving")
                before = time.monotonic_ns() // 1000
                ctl(self, "reload")
                reloading = told.next()
                self.assertRegex(reloading, r"^RELOADING=1\nMONOTONIC_USEC=\d+$")
                self.assertTrue(before <= int(reloading.rsplit("=")[-1])
                                <= time.monotonic_ns() // 1000)
                self.assertEqual(told.next(), "READY=1\nSTATUS=serving")
                self.write("bad")
                ctl(self, "reload", code=1)
                self.assertRegex(told.next(), "^RELOADING=1\n")
                self.assertRegex(told.next(), "^READY=1\nSTATUS=serving; reload refused: .*:1:")
                self.assertEqual(daemon.stop(), 0)
                self.assertEqual(told.next(), "STOPPING=1\nSTATUS=drains 0 connections")
                self.settings()

    def test_a_scheduler_that_does_not_turn_says_nothing(self):
        self.settings(allow_hold="true")
        name = str(self.path / "notify")
        with Notifications(name) as told, \
                Daemon(self, NOTIFY_SOCKET=name, WATCHDOG_USEC="30000") as daemon:
            self.assertEqual(told.next(), "READY=1\nSTATUS=serving")
            for _ in range(10):
                self.assertEqual(told.next(), "WATCHDOG=1")
            with socket.socket(socket.AF_UNIX) as ctl_socket:
                ctl_socket.connect(self.control)
                ctl_socket.sendall(b"hold 4\n")
                daemon.says("holds the thread")
                told.all()
                self.assertEqual(receive(ctl_socket, 5), b"held\n")
            # 400 are due in that time; some may have come before and behind.
            self.assertLessEqual(len(told.all()), 100)
            daemon.says("wired::daemon::hold")
            self.assertIn('"wiredctl" has held thread', daemon.log())
            for _ in range(10):
                self.assertEqual(told.next(), "WATCHDOG=1")

    def test_the_watchdog_may_be_meant_for_another_process(self):
        name = str(self.path / "notify")
        for pid, wanted in (("$$", {"WATCHDOG=1"}), ("1", set())):
            command = ["sh", "-c", f'WATCHDOG_PID={pid} exec "$@"', "sh"]
            with self.subTest(pid=pid), Notifications(name) as told, \
                    Daemon(self, before=command, NOTIFY_SOCKET=name, WATCHDOG_USEC="3000"):
                self.assertEqual(told.next(), "READY=1\nSTATUS=serving")
                for _ in range(20):
                    ctl(self, "status")
                self.assertEqual(set(told.all()), wanted)

    def test_who_is_not_there_to_be_told_is_named_once(self):
        with Daemon(self, NOTIFY_SOCKET=f"{self.path}/none") as daemon:
            ctl(self, "reload")
            self.assertEqual(daemon.stop(), 0)
            self.assertEqual(daemon.log().count(
                f"NOTIFY_SOCKET={self.path}/none takes no notification: No such file"), 1)


if __name__ == "__main__":
    main()
