#!/usr/bin/env python3
"""shm_workers: whoever is killed, each range is counted once, and nobody stays behind."""

import os
import pathlib
import re
import signal
import sys
import unittest

from harness import Program, eventually, stat_of

Program.folder = pathlib.Path(sys.argv.pop(1)).resolve()
LAST = re.compile(r"(\d+) primes below (\d+); (\d+) ranges, (\d+) killed, (\d+) repeated\n")


def has_ended(pid):
    """Also if nobody has reaped it."""
    try:
        return stat_of(pid)[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Workers(Program):
    def __init__(self, test, *args):
        super().__init__(test, "shm_workers", *args)

    def pid_of_the_next(self):
        return int(self.line(lambda text: text.endswith(": started\n")).split()[1].rstrip(":"))

    def kill_worker(self, pid):
        """Kills it, and not who has got its number after it has ended."""
        with open(os.pidfd_open(pid), "rb") as process:
            if stat_of(pid)[1] == str(self.pid):
                signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)

    def rings(self):
        return sorted(pathlib.Path("/dev/shm").glob(f"shm_workers-{self.pid}*"))

    def figures(self, code, out, err):
        """Primes, below which number, ranges, killed, repeated, as the last line has them."""
        last = LAST.fullmatch(out.splitlines(keepends=True)[-1])
        if (code, err) != (0, "") or not last:
            raise AssertionError(f"{code}, {out}, {err}")
        return [int(n) for n in last.groups()]


class ShmWorkers(unittest.TestCase):
    def test_primes_are_counted(self):
        for workers, below, primes, ranges in ((1, 1, 0, 1), (1, 2_000, 303, 1),
                                               (3, 10_001, 1229, 6), (4, 1_000_000, 78498, 500)):
            with self.subTest(workers=workers, below=below):
                team = Workers(self, workers, below)
                self.assertEqual(team.figures(*team.end()), [primes, below, ranges, 0, 0])
                self.assertEqual(team.rings(), [])

    def test_whoever_is_killed_nothing_is_lost_or_counted_twice(self):
        # Where this process gets no time they may be done before one is killed.
        self.assertTrue(any(self.count_while_workers_are_killed() for _ in range(5)))

    def count_while_workers_are_killed(self):
        """Returns how many were killed."""
        team = Workers(self, 3, 3_000_000)
        for _ in range(10):  # most of them while they start; those that come then do the work
            try:
                team.kill_worker(team.pid_of_the_next())
            except (AssertionError, OSError):  # there is nothing left to be done
                break
        code, out, err = team.end()
        said = "".join(team.lines) + out
        primes, _, ranges, killed, repeated = team.figures(code, said, err)
        self.assertEqual((primes, ranges), (216816, 1500))
        self.assertEqual(killed, said.count(": killed by signal 9\n"))
        self.assertLessEqual(repeated, killed)
        self.assertEqual(team.rings(), [])
        return killed

    def test_workers_end_after_their_parent(self):
        team = Workers(self, 3, 1_000_000_000)
        pids = [team.pid_of_the_next() for _ in range(3)]
        answers = pathlib.Path(f"/dev/shm/shm_workers-{team.pid}")
        self.addCleanup(answers.unlink)
        team.kill()
        self.assertTrue(eventually(lambda: all(map(has_ended, pids))))
        self.assertIn(answers, team.rings())  # nobody is left who would remove it

    def test_control_c_ends_them_all(self):
        team = Workers(self, 2, 1_000_000_000)
        pids = [team.pid_of_the_next() for _ in range(2)]
        team.send(signal.SIGINT)
        code, out, err = team.end()
        self.assertEqual((code, err), (1, "shm_workers: interrupted\n"))
        self.assertRegex(out, LAST)
        self.assertTrue(all(map(has_ended, pids)))
        self.assertEqual(team.rings(), [])

    def test_wrong_use(self):
        for args in ([], ["2"], ["0", "10"], ["65", "10"], ["x", "10"], ["2", "0"], ["2", "1x"],
                     ["2", "1000000001"], ["2", "10", "1"]):
            self.assertEqual(Program(self, "shm_workers", *args).end(), (
                1, "", "shm_workers: takes how many workers, 1 to 64, and below which number, "
                       "at most 1000000000\n"))
        code, out, err = Program(self, "shm_workers", "worker", "/no-such-ring", "/none").end()
        self.assertEqual((code, out), (1, ""))
        self.assertIn("shm_workers: /no-such-ring: shm_open: is there a ring of that name", err)


if __name__ == "__main__":
    unittest.main()
