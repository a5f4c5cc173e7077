#!/usr/bin/env python3
"""The PostgreSQL adapter in examples/third_party/postgres, with a real server."""

import atexit
import ctypes
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from harness import PATIENCE, Server, eventually, free_port, main

SCALE = 10_000_000  # characters of a big result
PASSWORD = "let me in"


def programs_of_server():
    """The folder of initdb and postgres; None if they are not installed."""
    found = shutil.which("postgres")
    places = [pathlib.Path(found).parent] if found else []
    places += sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((p for p in places if (p / "initdb").exists()), None)


def end_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGQUIT)


class Database:
    """A server of our own, in a temporary folder; not root's, since it refuses that."""

    def __init__(self, programs):
        self.programs = programs
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="wire-pg-"))
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        self.port = free_port()
        (self.folder / "password").write_text(PASSWORD, encoding="ascii")
        subprocess.run(
            [self.programs / "initdb", "-D", self.folder / "data", "-U", "tester", "--no-sync",
             "--auth=scram-sha-256", f"--pwfile={self.folder / 'password'}", "--locale=C",
             "--encoding=UTF8"], check=True, stdout=subprocess.DEVNULL, timeout=3 * PATIENCE,
            **self.identity())
        self.start()

    def identity(self):
        if not self.user:
            return {"cwd": self.folder}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": [],
                "cwd": self.folder}

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data", "-k", self.folder,
                 "-p", str(self.port), "-h", "127.0.0.1", "-c", "fsync=off",
                 "-c", "max_connections=30", "-c", "shared_buffers=8MB"],
                stdout=log, stderr=log, start_new_session=True, preexec_fn=end_with_parent,
                **self.identity())
        if not eventually(lambda: ask(self.info(), "select 1").returncode == 0):
            raise AssertionError((self.folder / "log").read_text(encoding="utf-8"))

    def stop(self, how=signal.SIGQUIT):
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(how)
        self.process.wait(PATIENCE)

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def info(self, host=None, **more):
        words = {"host": host or str(self.folder), "port": self.port, "user": "tester",
                 "dbname": "postgres", "password": PASSWORD} | more
        return " ".join(f"{key}='{value}'" for key, value in words.items())

    def count(self, what):
        """How many sessions do that; of those that ask this the last one does not count."""
        asked = ask(self.info(), "select count(*) from pg_stat_activity where query like $1 and "
                    "state = 'active' and pid <> pg_backend_pid()", "--with", what)
        return int(asked.stdout)


def command(*args):
    return [Server.folder / "third_party" / "postgres" / "pg_query", *map(str, args)]


def ask(*args):
    return subprocess.run(command(*args), text=True, capture_output=True, timeout=2 * PATIENCE,
                          check=False)


def begin(test, *args):
    program = subprocess.Popen(command(*args), text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)

    def end():
        program.kill()
        program.communicate()
    test.addCleanup(end)
    return program


class Queries(unittest.TestCase):
    def ask(self, *args, code=0, **more):
        done = ask(DATABASE.info(**more), *args)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_rows_parameters_and_nulls(self):
        self.assertEqual(self.ask("select $1::int * 2, $2, null", "--with", 21, "it's"),
                         "42\tit's\tNULL\n")
        self.assertEqual(self.ask("select * from generate_series(1, 3)"), "1\n2\n3\n")
        self.assertEqual(self.ask("create temp table t (x int)", "insert into t values (7)",
                                  "select x from t", ""), "7\n")

    def test_ten_wires_wait_for_the_server_at_once_and_another_one_runs(self):
        out = self.ask("select pg_sleep(1)", "--wires", 10, "--ticks")
        self.assertEqual(out.count("\n"), 11)
        # 100 where nothing else runs; one that had to wait for all the others would tick once.
        self.assertGreaterEqual(int(re.search(r"(\d+) ticks", out)[1]), 5)

    def test_more_wires_than_connections_share_them(self):
        out = self.ask("select pg_backend_pid()", "select pg_sleep(0.01)", "--wires", 100,
                       "--connections", 3)
        self.assertEqual(out.count("\n"), 200)
        self.assertLessEqual(len(set(re.findall(r"\d+", out))), 3)

    def test_a_big_result_arrives_whole_while_another_wire_runs(self):
        lines = self.ask(f"select md5(i::text) from generate_series(1, {SCALE // 32}) i", "--wires",
                         2, "--ticks").split("\n")
        self.assertEqual(len(lines), 2 * (SCALE // 32) + 2)
        self.assertGreaterEqual(int(lines[-2].split()[0]), 2)
        big = self.ask(f"select repeat('x', {SCALE})")
        self.assertEqual(big, "x" * SCALE + "\n")

    def test_a_big_parameter(self):
        big = "y" * 100_000
        self.assertEqual(self.ask("select length($1), length(repeat($1, 50))", "--with", big),
                         "100000\t5000000\n")

    def test_after_the_deadline_the_query_is_stopped_and_the_connection_usable(self):
        done = ask(DATABASE.info(), "select pg_sleep(60) as long", "select 41 + 1", "--timeout", 1)
        self.assertEqual((done.returncode, done.stdout), (1, "42\n"), done.stderr)
        self.assertEqual(done.stderr, "pg_query: the deadline has passed, and the query was "
                         "stopped\n")
        self.assertEqual(DATABASE.count("%as long"), 0)

    def test_what_the_server_says_is_kept_and_the_connection_usable(self):
        done = ask(DATABASE.info(), "selekt 1", "select 1/0", "select 5")
        self.assertEqual((done.returncode, done.stdout), (1, "5\n"))
        self.assertIn('syntax error at or near "selekt"', done.stderr)
        self.assertIn("division by zero", done.stderr)
        self.assertIn("bind message supplies 0 parameters", self.ask("select $1::int", code=1))

    def test_a_copy_is_refused_and_does_not_hang(self):
        self.ask("create table if not exists copied (x int)")
        for statement in ("copy copied to stdout", "copy copied from stdin"):
            self.assertEqual(self.ask(statement, code=1),
                             "pg_query: COPY is not supported here, and the connection was closed\n"
                             "pg_query: the connection is closed\n")

    def test_a_transaction_that_was_left_open_is_not_handed_on(self):
        self.ask("create table if not exists left_open (x int)")
        self.ask("begin", "insert into left_open values (1)", "--wires", 5, "--connections", 1)
        self.assertEqual(self.ask("select count(*) from left_open"), "0\n")

    def test_a_connection_that_the_server_has_closed_is_not_handed_on(self):
        out = self.ask("select 7", "set idle_session_timeout = '100ms'", "--times", 3, "--pause", 1)
        self.assertEqual(out, "7\n" * 3)

    def test_by_name_and_by_address(self):
        for host in ("localhost", "127.0.0.1"):
            self.assertEqual(self.ask("select 1", host=host), "1\n")

    def test_who_is_not_let_in_is_told_why(self):
        for wrong, said in (({"password": "guess"}, "password authentication failed"),
                            ({"dbname": "nowhere"}, 'database "nowhere" does not exist'),
                            ({"user": "nobody"}, "password authentication failed"),
                            ({"host": "/nonexistent"}, "No such file or directory"),
                            ({"host": "127.0.0.1", "port": 1}, "Connection refused"),
                            ({"host": "no.such.host.invalid"}, "could not translate host name"),
                            ({"nonsense": "x"}, 'invalid connection option "nonsense"')):
            self.assertIn(said, self.ask("select 1", code=1, **wrong), wrong)

    def test_a_server_that_does_not_answer(self):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            said = self.ask("select 1", "--timeout", 0.3, code=1, host="127.0.0.1",
                            port=mute.getsockname()[1])
        self.assertIn("cannot connect: the deadline has passed", said)

    def test_a_pool_without_a_free_connection(self):
        said = self.ask("select pg_sleep(9)", "--wires", 2, "--connections", 1, "--timeout", 1,
                        code=1)
        self.assertIn("no connection became free: the deadline has passed", said)


class Failing(unittest.TestCase):
    def test_a_server_that_is_killed_while_wires_wait_for_it(self):
        self.addCleanup(DATABASE.start)
        program = begin(self, DATABASE.info(), "select pg_sleep(60) as doomed", "select 1",
                        "--wires", 4)
        self.assertTrue(eventually(lambda: DATABASE.count("%as doomed") == 4))
        DATABASE.stop(signal.SIGQUIT)
        out, err = program.communicate(timeout=PATIENCE)
        self.assertEqual((program.returncode, out), (1, ""))
        self.assertEqual(err.count("pg_query: the connection is closed\n"), 4, err)
        self.assertRegex(err, "terminating connection|server closed the connection unexpectedly")

    def test_a_server_that_hangs(self):
        """The query gives up in time; PQcancel() hangs with the server, on a helper thread."""
        program = begin(self, DATABASE.info(), "select pg_sleep(60) as stuck", "select 1",
                        "--timeout", 4)
        self.assertTrue(eventually(lambda: DATABASE.count("%as stuck") == 1))
        DATABASE.process.send_signal(signal.SIGSTOP)
        try:
            self.assertIn("the server did not stop the query", program.stderr.readline())
            self.assertEqual(program.stderr.readline(), "pg_query: the connection is closed\n")
        finally:
            DATABASE.process.send_signal(signal.SIGCONT)
        self.assertEqual(program.wait(PATIENCE), 1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        if not (pathlib.Path(sys.argv[1]) / "third_party" / "postgres" / "pg_query").exists():
            print("skipped: pg_query was not built (Debian: libpq-dev)")
            sys.exit(77)
        if not programs_of_server():
            print("skipped: there is no PostgreSQL server (Debian: postgresql)")
            sys.exit(77)
        if os.geteuid() == 0 and "postgres" not in (u.pw_name for u in pwd.getpwall()):
            print("skipped: PostgreSQL does not run as root, and there is no user postgres")
            sys.exit(77)
        Server.folder = pathlib.Path(sys.argv[1]).resolve()
        DATABASE = Database(programs_of_server())
        atexit.register(DATABASE.remove)
    main()
