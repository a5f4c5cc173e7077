#!/usr/bin/env python3
"""wire-ring: what it shows of a ring is right, it disturbs nobody, and failures are told."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

from harness import PATIENCE, run_tests

EXAMPLES = pathlib.Path(sys.argv.pop(1)).resolve()
TOOL = EXAMPLES.parent / "tools" / "wire-ring"


def run(*args, **options):
    """Its exit code, and what it says."""
    options.setdefault("stdin", subprocess.DEVNULL)
    if "input" in options:
        del options["stdin"]
    options.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run([TOOL, *map(str, args)], stderr=subprocess.PIPE, text=True, check=False,
                          timeout=PATIENCE, **options)
    return done.returncode, done.stdout, done.stderr


@unittest.skipUnless(TOOL.exists(), "wire-ring was not built (no CLI11)")
class WithRing(unittest.TestCase):
    def setUp(self):
        self.ring = f"/wire-tool-{os.getpid()}-{self.id().rsplit('.', maxsplit=1)[-1]}"
        self.file = pathlib.Path("/dev/shm" + self.ring)
        self.addCleanup(self.file.unlink, missing_ok=True)

    def create(self, *args):
        self.assertEqual(run("create", self.ring, *args), (0, "", ""))

    def start(self, program, *args):
        """Killed at the end of the test, or when patience ends."""
        process = subprocess.Popen([program, *map(str, args)], stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        guard = threading.Timer(PATIENCE, process.kill)
        guard.start()
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.addCleanup(guard.cancel)
        return process

    def producer(self, *args):
        process = self.start(EXAMPLES / "shm_producer", self.ring, *args)
        self.assertEqual(process.stdout.readline(),
                         f"process {process.pid} sends to {self.ring}\n")
        return process

    def stat(self):
        """What it says, without the lines about sizes, which are checked here."""
        code, out, err = run("stat", self.ring)
        self.assertEqual((code, err), (0, ""))
        lines = out.splitlines()
        self.assertEqual(lines[0], f"ring      {self.ring}, version 1, {4096 * 2 + 2 * 8192} bytes")
        self.assertEqual(lines[1],
                         "lanes     2 of 8192 bytes; records of up to 4088 bytes")
        return lines[2:]

    def check_failure(self, args, why, code=1, **options):
        self.assertEqual(run(*args, **options), (code, "", f"wire-ring: {why}\n"))


class Rings(WithRing):
    def setUp(self):
        super().setUp()
        self.create("--producers", 2, "--lane-bytes", 8192)

    def test_what_is_sent_is_shown_and_then_received(self):
        self.assertEqual(self.stat(), ["attached  0 times", "consumer  nobody",
                                       "0 of 2 lanes in use"])
        self.assertEqual(run("send", self.ring, input="a line\nanother\n"), (0, "", ""))
        self.assertEqual(run("send", self.ring, "an argument", "\x01\x7f"), (0, "", ""))
        self.assertEqual(self.stat(), [
            "attached  2 times", "consumer  nobody",
            "lane 0    nobody; 72 bytes to be received, of 72 ever", "1 of 2 lanes in use"])
        self.assertEqual(run("tail", self.ring, "--count", 1), (0, "-: a line\n", ""))
        self.assertEqual(run("tail", self.ring, "--hex", "--count", 1),
                         (0, "-: 61 6e 6f 74 68 65 72 (7 bytes)\n", ""))
        self.assertEqual(run("tail", self.ring, "--count", 2),
                         (0, "-: an argument\n-: 01 7f (2 bytes)\n", ""))
        self.assertEqual(self.stat()[1:], ["consumer  nobody", "0 of 2 lanes in use"])

    def test_looking_changes_nothing(self):
        run("send", self.ring, "x")
        before = self.file.read_bytes()
        self.stat()
        self.assertEqual(self.file.read_bytes(), before)
        self.file.chmod(0o400)
        self.stat()

    def test_who_uses_it_is_shown(self):
        tail = self.start(TOOL, "tail", self.ring)
        producer = self.producer(1000)
        self.assertTrue(tail.stdout.readline().startswith(f"{producer.pid}: "))
        self.assertIn(self.stat()[1], {f"consumer  process {tail.pid}, {how}"
                                       for how in ("alive", "asleep")})
        for process in (tail, producer):
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        said = self.stat()
        self.assertEqual(said[1], f"consumer  process {tail.pid}, stopped")
        self.assertTrue(re.fullmatch(
            rf"lane 0    process {producer.pid}, stopped; \d+ bytes to be received, of \d+ ever",
            said[2]), said)
        tail.kill()
        producer.kill()
        tail.wait()
        producer.wait()
        said = self.stat()
        self.assertEqual(said[1], f"consumer  process {tail.pid}, dead")
        self.assertIn(f"process {producer.pid}, dead; ", said[2])

    def test_a_death_is_told_and_control_c_ends_it(self):
        tail = self.start(TOOL, "tail", self.ring)
        producer = self.producer()
        self.assertTrue(tail.stdout.readline().startswith(f"{producer.pid}: "))
        producer.kill()
        producer.wait()
        for line in tail.stdout:
            if line == f"{producer.pid} died\n":
                break
        else:
            self.fail("it did not say so")
        tail.send_signal(signal.SIGINT)
        self.assertEqual(tail.communicate(), ("", ""))
        self.assertEqual(tail.returncode, 0)
        self.assertEqual(self.stat()[1], "consumer  nobody")

    def test_control_c_is_heard_in_a_flood(self):
        tail = self.start(TOOL, "tail", self.ring, "--hex")
        producers = [self.producer() for _ in range(2)]
        for _ in range(500):
            tail.stdout.readline()
        tail.send_signal(signal.SIGTERM)
        tail.communicate()
        self.assertEqual(tail.returncode, 0)
        self.assertTrue(all(p.poll() is None for p in producers))

    def test_a_lane_without_an_owner_is_sent_to_by_no_more_than_there_are(self):
        both = [self.producer(1) for _ in range(2)]
        self.check_failure(("send", self.ring, "x"),
                           f"{self.ring}: each lane of the ring has a producer, or one that died "
                           "and that no consumer has heard of yet: start that, or make the "
                           "ring with more lanes: Too many users")
        self.assertEqual(len(both), 2)

    def test_records_that_cannot_be_are_told(self):
        self.check_failure(("send", self.ring, "x" * 4089),
                           f"{self.ring}: send: a record of this ring has at most 4088 bytes: "
                           "Message too long")
        self.check_failure(("send", self.ring), f"{self.ring}: send: a record has at least one "
                           "byte: Invalid argument", input="\n")
        self.assertEqual(self.stat()[2:], ["0 of 2 lanes in use"])
        folder = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, folder)
        self.check_failure(("send", self.ring), "read standard input: Is a directory",
                           stdin=folder)

    def test_output_that_cannot_be_written_is_told(self):
        run("send", self.ring, "x")
        for command in ("stat", "tail"):
            with open("/dev/full", "w", encoding="ascii") as full:
                self.assertEqual(run(command, self.ring, stdout=full), (
                    1, None, "wire-ring: write standard output: No space left on device\n"))

    def test_a_ring_that_is_used_is_removed_by_force_only(self):
        tail = self.start(TOOL, "tail", self.ring)
        run("send", self.ring, "x")
        tail.stdout.readline()
        self.check_failure(("tail", self.ring), f"{self.ring}: the ring has a consumer, which "
                           "lives: Device or resource busy")
        self.check_failure(("remove", self.ring), f"{self.ring}: its consumer lives: end that "
                           "first, or use --force: Device or resource busy")
        self.assertEqual(run("remove", "--force", self.ring), (0, "", ""))
        self.assertFalse(self.file.exists())

    def test_a_ring_is_not_made_twice(self):
        before = self.file.read_bytes()
        self.check_failure(("create", self.ring),
                           f"{self.ring}: there is one already: open it, or remove it: File exists")
        self.assertEqual(self.file.read_bytes(), before)


class Files(WithRing):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_a_path_is_a_file(self):
        path = self.folder / "ring"
        self.assertEqual(run("create", path), (0, "", ""))
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(run("send", path, "x"), (0, "", ""))
        self.assertEqual(run("tail", path, "--count", 1), (0, "-: x\n", ""))
        self.assertEqual(run("remove", path), (0, "", ""))
        self.assertFalse(path.exists())

    def test_what_is_no_ring_is_told_and_not_removed(self):
        text = self.folder / "text"
        text.write_text("x" * 5000, encoding="ascii")
        short = self.folder / "short"
        short.write_text("a line\n", encoding="ascii")
        zeros = self.folder / "zeros"
        zeros.write_bytes(bytes(4095) + b"1")
        few_zeros = self.folder / "few"
        few_zeros.write_bytes(bytes(100))
        link = self.folder / "link"
        link.symlink_to(text)
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        for path, why in ((text, "there is something else than a ring: Protocol error"),
                          (short, "there is something else than a ring: Protocol error"),
                          (zeros, "there is something else than a ring: Protocol error"),
                          (few_zeros, "there is something else than a ring: Protocol error"),
                          (fifo, "it is not a file with shared memory: Protocol error"),
                          (self.folder, "it is not a file with shared memory: Protocol error"),
                          (link, "open: is there a ring in that file, and is it yours?: Too many "
                                 "levels of symbolic links"),
                          (self.folder / "missing", "open: is there a ring in that file, and is it "
                                                    "yours?: No such file or directory")):
            for command in ("stat", "remove"):
                with self.subTest(path=path, command=command):
                    self.check_failure((command, path), f"{path}: {why}")
        for path in (text, short, zeros, few_zeros, fifo):
            self.assertTrue(path.exists())

    def test_what_is_half_made_or_damaged_is_a_ring_to_be_removed(self):
        for content, why in ((b"", "whoever makes the ring is not done, or died"),
                             (bytes(8) + b"\1" + bytes(4087), "whoever makes the ring is not done"),
                             (b"wirering" + b"\1" + bytes(100), "contradicts itself"),
                             (b"wirering" + b"\1" + bytes(5000), "contradicts itself"),
                             (b"wirering" + b"\2" + bytes(5000), "of another version")):
            path = self.folder / "ring"
            path.write_bytes(content)
            code, out, err = run("stat", path)
            self.assertEqual((code, out), (1, ""))
            self.assertIn(why, err)
            self.assertEqual(run("remove", path), (0, "", ""))
            self.assertFalse(path.exists())

    def test_wrong_use_is_2(self):
        for args, why in (((), "A subcommand is required"), (("stat",), "RING is required"),
                          (("create", "/x", "--producers", "many"),
                           "Could not convert: --producers = many")):
            self.check_failure(args, f"{why}\nTry wire-ring --help", code=2)
        self.assertEqual(run("--help")[0], 0)
        self.check_failure(("create", "/x", "--producers", 0),
                           "/x: 1 to 1,024 producers, and a power of two from 4,096 on for the "
                           "bytes of a lane: Invalid argument")


if __name__ == "__main__":
    run_tests()
