#!/usr/bin/env python3
"""shm_rpc_server and shm_rpc_client: answers, and who notices what when somebody is killed."""

import os
import pathlib
import random
import re
import signal
import sys
import unittest

from harness import Program, eventually

Program.folder = pathlib.Path(sys.argv.pop(1)).resolve()
MIB = 1 << 20
LOCK = 128  # its place in an arena: docs/arena-format.md
GONE = re.compile(r"client (\d+) is gone, after (\d+) answers\n")


class Rpc(unittest.TestCase):
    def setUp(self):
        self.arena = f"/wire-rpc-{os.getpid()}-{self.id().rsplit('.', maxsplit=1)[-1]}"
        self.file = pathlib.Path("/dev/shm" + self.arena)
        self.addCleanup(self.file.unlink, missing_ok=True)

    def server(self, *args):
        s = Program(self, "shm_rpc_server", self.arena, *args)
        s.line(f"serving at {self.arena}\n".__eq__)
        return s

    def lock_is_free(self):
        with self.file.open("rb") as arena:
            arena.seek(LOCK)
            return arena.read(8) == bytes(8)

    def stopped(self, program):
        """Not while it has the arena's lock: everybody else would wait for it."""
        while True:
            program.send(signal.SIGSTOP)
            os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
            if eventually(self.lock_is_free, 0.2):
                return program
            program.send(signal.SIGCONT)

    def client(self, *args):
        return Program(self, "shm_rpc_client", self.arena, *args)

    def echoing(self, size, times=10_000_000):
        """A client that has had its first answer."""
        c = self.client("echo", size, times)
        self.hear_answer(c, size)
        return c

    def hear_answer(self, client, size):
        client.line(f"{size} bytes came back, in the same place\n".__eq__)

    def check_answer(self, answer, *args):
        self.assertEqual(self.client(*args).end(), (0, answer + "\n", ""))

    def check_told(self, client, hint):
        code, _, err = client.end()
        self.assertEqual((code, err), (1, f"shm_rpc_client: {self.arena}: {hint}\n"))

    def check_told_of_its_death(self, client):
        self.check_told(client, "the server has ended or died: start it again, and ask again")

    def finish(self, server):
        """The server ends as asked to, and leaves nothing behind."""
        server.send(signal.SIGINT)
        code, _, err = server.end()
        self.assertEqual((code, err), (0, ""))


class Answers(Rpc):
    def test_each_operation(self):
        server = self.server()
        self.check_answer("42", "sum", 1, 2, 39)
        self.check_answer("-3", "sum", -1, -2)
        self.check_answer("0", "sum")  # longer than its question
        self.check_answer("NOT SO LOUD, 7", "upper", "not so loud, 7")
        self.check_answer("", "upper", "")
        self.check_answer("ha ha ha ", "repeat", 3, "ha ")
        self.check_answer("ha", "repeat", 1, "ha")
        self.check_answer("", "repeat", 0, "ha")
        self.check_answer("later", "wait", 1, "later")
        self.finish(server)
        self.assertFalse(self.file.exists())

    def test_what_is_echoed_comes_back_in_its_place_whatever_its_size(self):
        server = self.server()
        for size in (0, 1, 15, 4096, 32_000, MIB, 12 * MIB):
            self.check_answer("\n".join([f"{size} bytes came back, in the same place"] * 5),
                              "echo", size, 5)
        self.finish(server)

    def test_what_there_is_no_room_for_is_told_and_the_next_question_answered(self):
        server = self.server(1)
        hint = "the arena has no room for that: give shm_rpc_server more MiB"
        self.check_told(self.client("echo", 2 * MIB), hint)
        self.check_told(self.client("repeat", 2 * MIB, "x"), hint)
        self.check_told(self.client("repeat", 2**64 - 1, "xx"), hint)
        self.check_answer("1", "sum", 1)
        self.finish(server)

    def test_one_that_waits_does_not_hold_up_the_others(self):
        server = self.server()
        late = self.client("wait", 600_000, "late")
        server.line("client 0 has come\n".__eq__)
        self.check_answer("42", "sum", 42)
        self.finish(server)
        self.check_told_of_its_death(late)

    def test_sixteen_clients_at_once_and_no_more(self):
        server = self.server()
        clients = [self.echoing(100_000) for _ in range(16)]
        self.check_told(self.client("sum"),
                        "the server has as many clients as it can have: try again")
        for c in clients:
            self.hear_answer(c, 100_000)
        clients[7].kill()
        server.line(lambda text: GONE.fullmatch(text))
        self.check_answer("1", "sum", 1)
        self.finish(server)
        for c in clients[:7] + clients[8:]:
            self.check_told_of_its_death(c)
        self.assertFalse(self.file.exists())


class Deaths(Rpc):
    def test_clients_that_are_killed_in_the_middle_leave_nothing_and_disturb_nobody(self):
        chance = random.Random(1)
        server = self.server()
        steady = self.echoing(1000)
        for _ in range(12):
            doomed = self.echoing(4 * MIB)
            for _ in range(chance.randrange(4)):
                self.hear_answer(doomed, 4 * MIB)
            doomed.kill()
            server.line(lambda text: GONE.fullmatch(text))
            self.hear_answer(steady, 1000)
        # There is room for so much once, if all of theirs is free again.
        self.check_answer(f"{12 * MIB} bytes came back, in the same place", "echo", 12 * MIB)
        self.finish(server)
        self.check_told_of_its_death(steady)

    def test_a_client_that_is_killed_while_the_server_works_for_it(self):
        server = self.server()
        doomed = self.client("wait", 300, "nobody")
        server.line("client 0 has come\n".__eq__)
        doomed.kill()
        self.assertEqual(GONE.fullmatch(server.line(GONE.fullmatch))[1], "0")
        self.check_answer("1", "sum", 1)
        self.finish(server)

    def test_a_client_that_is_stopped_goes_on_later(self):
        server = self.server()
        asleep = self.echoing(MIB)
        self.stopped(asleep)
        other = self.echoing(MIB)
        other.kill()
        asleep.send(signal.SIGCONT)
        for _ in range(200):  # more than its pipe has held meanwhile
            self.hear_answer(asleep, MIB)
        asleep.kill()
        self.finish(server)

    def test_clients_are_told_when_the_server_is_killed(self):
        server = self.server()
        waits, asks = self.client("wait", 600_000, "late"), self.echoing(1000)
        for n in (0, 1):
            server.line(lambda text, n=n: text.startswith("client ") and "has come" in text)
        server.kill()
        self.check_told_of_its_death(waits)
        self.check_told_of_its_death(asks)
        self.assertFalse(self.file.exists())

    def test_one_that_is_started_again_goes_on_in_the_same_arena(self):
        server = self.server()
        earlier = self.echoing(MIB)
        inode = self.file.stat().st_ino
        for _ in range(3):
            self.stopped(earlier)  # so that the arena has a user
            server.kill()
            self.check_told(self.client("sum"), "there is no server: start shm_rpc_server")
            server = self.server()
            self.assertEqual(self.file.stat().st_ino, inode)
            self.check_answer("1", "sum", 1)
            later = self.echoing(MIB)
            earlier.send(signal.SIGCONT)
            self.check_told_of_its_death(earlier)
            self.hear_answer(later, MIB)
            earlier = later
        self.finish(server)
        self.check_told_of_its_death(earlier)
        self.assertFalse(self.file.exists())

    def test_whoever_is_killed_the_arena_is_gone_with_the_last(self):
        server = self.server()
        one, two = self.echoing(1000), self.echoing(1000)
        for p in (one, two, server):
            p.kill()
        server = self.server(2)
        self.check_told(self.client("echo", 3 * MIB),
                        "the arena has no room for that: give shm_rpc_server more MiB")
        self.finish(server)
        self.assertFalse(self.file.exists())


class Refusals(Rpc):
    def run_one(self, name, *args):
        return Program(self, name, *args).end()

    def check_refused(self, program, *args, why):
        self.assertEqual(self.run_one(program, self.arena, *args),
                         (1, "", f"{program}: {self.arena}: {why}\n"))

    def test_a_second_server(self):
        server = self.server()
        for _ in range(2):
            self.check_refused("shm_rpc_server", why="there is a server, which lives: end it first")
        self.check_answer("1", "sum", 1)
        self.finish(server)

    def test_a_server_that_is_stopped(self):
        server = self.stopped(self.server())
        self.check_refused("shm_rpc_client", "sum",
                           why="the server does not answer: is it stopped?")
        server.send(signal.SIGCONT)
        self.check_answer("1", "sum", 1)
        self.finish(server)

    def test_a_name_that_is_not_there(self):
        self.check_refused("shm_rpc_client", "sum",
                           why="shm_open: is there an arena of that name, and is it yours?: "
                               "No such file or directory")

    def test_names_that_cannot_be(self):
        for name in ("/a/b", "/", "", "/" + "x" * 300):
            for program, *args in (("shm_rpc_server",), ("shm_rpc_client", "sum")):
                code, out, err = self.run_one(program, name, *args)
                self.assertEqual((code, out), (1, ""))
                self.assertTrue(err.startswith(f"{program}: {name}: "), err)

    def test_a_file_that_is_no_arena_stays_as_it_is(self):
        self.file.write_bytes(b"x" * 8192)
        self.file.chmod(0o600)
        for program, *args in (("shm_rpc_server",), ("shm_rpc_client", "sum")):
            self.check_refused(program, *args,
                               why="there is something else than an arena: Protocol error")
        self.assertEqual(self.file.read_bytes(), b"x" * 8192)

    def test_wrong_use(self):
        for args in ([], ["/a", "0"], ["/a", "x"], ["/a", "1", "2"]):
            self.assertEqual(self.run_one("shm_rpc_server", *args), (
                1, "", "shm_rpc_server: takes the name of an arena, for instance /calc, and a "
                       "number of MiB\n"))
        for args in ([], ["/a"], ["/a", "shout", "x"], ["/a", "sum", "x"], ["/a", "echo"],
                     ["/a", "echo", "1", "0"], ["/a", "upper"], ["/a", "repeat", "x"],
                     ["/a", "wait", "1", "x", "y"]):
            code, out, err = self.run_one("shm_rpc_client", *args)
            self.assertEqual((code, out), (1, ""))
            self.assertTrue(err.startswith("shm_rpc_client: takes an arena's name and "), err)


if __name__ == "__main__":
    unittest.main()
