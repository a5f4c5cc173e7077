#!/usr/bin/env python3
"""A producer that is written from docs/shm-format.md alone, without the library, in Python.

It is the only one to attach at its time, since Python has no compare-and-swap.
"""

import ctypes
import mmap
import os
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

from harness import PATIENCE, run_tests

TOOL = pathlib.Path(sys.argv.pop(1)).resolve().parent / "tools" / "wire-ring"
SYS_FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine())
FUTEX_WAKE = 1
LANES, LANE_BYTES = 3, 4096
FENCE = threading.Lock()


class Producer:
    def __init__(self, path):
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.map = mmap.mmap(fd, os.fstat(fd).st_size)
        assert self.map[0:8] == b"wirering" and self.u32(8).value == 1
        lanes, self.lane_bytes = self.u32(12).value, self.u64(16).value
        records = 4096 + (384 * lanes + 4095) // 4096 * 4096
        assert self.u64(24).value == records + lanes * self.lane_bytes == len(self.map)
        assert self.u64(32).value == os.stat("/proc/self/ns/pid").st_ino
        assert self.u64(40).value == os.stat("/proc/self/ns/time").st_ino
        self.lane = next(n for n in range(lanes) if self.word(n, 0).value == 0)
        self.word(self.lane, 0).value = self.identity() | 1 << 41
        self.records = records + self.lane * self.lane_bytes
        os.posix_fallocate(fd, self.records, self.lane_bytes)
        os.close(fd)
        self.head, self.tail = self.word(self.lane, 128), self.word(self.lane, 256)
        self.word(self.lane, 8).value = self.head.value
        self.u64(136).value += 1
        self.ring_bell()
        self.word(self.lane, 0).value = self.identity()

    def u32(self, at):
        return ctypes.c_uint32.from_buffer(self.map, at)

    def u64(self, at):
        return ctypes.c_uint64.from_buffer(self.map, at)

    def word(self, lane, at):
        return self.u64(4096 + 384 * lane + at)

    @staticmethod
    def identity():
        text = pathlib.Path("/proc/self/stat").read_text(encoding="ascii")
        started = int(text.rsplit(")", 1)[1].split()[22 - 3])
        return os.getpid() << 42 | started

    def ring_bell(self):
        """It has not registered for barriers, so it makes a full fence: whatever lock does that."""
        with FENCE:
            pass
        state, bell = self.u32(256), self.u32(260)
        slept = state.value
        if slept & 1:
            bell.value += 1
            ctypes.CDLL(None).syscall(SYS_FUTEX, ctypes.byref(bell), FUTEX_WAKE, 1, None, None, 0)
            if state.value == slept:
                state.value = slept & 2

    def send(self, record):
        """Says whether there was room."""
        at = self.head.value
        need = (8 + len(record) + 7) // 8 * 8
        rest = self.lane_bytes - at % self.lane_bytes
        filler = rest if rest < need else 0
        if at + filler + need - self.tail.value > self.lane_bytes:
            return False
        if filler:
            self.u64(self.records + at % self.lane_bytes).value = 1 << 63 | filler
        place = self.records + (at + filler) % self.lane_bytes
        self.u64(place).value = len(record)
        self.map[place + 8:place + 8 + len(record)] = record
        self.head.value = at + filler + need
        self.ring_bell()
        return True

    def leave(self):
        self.word(self.lane, 0).value = 0
        self.ring_bell()


@unittest.skipUnless(TOOL.exists(), "wire-ring was not built (no CLI11)")
@unittest.skipUnless(SYS_FUTEX, "the number of the system call is not known here")
class Foreign(unittest.TestCase):
    def setUp(self):
        self.ring = f"/wire-foreign-{os.getpid()}"
        self.path = "/dev/shm" + self.ring
        self.run_tool("create", "--producers", LANES, "--lane-bytes", LANE_BYTES)
        self.addCleanup(os.unlink, self.path)

    def run_tool(self, command, *args):
        return subprocess.run([TOOL, command, self.ring, *map(str, args)], check=True, text=True,
                              stdout=subprocess.PIPE, timeout=PATIENCE).stdout

    def start_tail(self, *args, stdout=subprocess.PIPE):
        tail = subprocess.Popen([TOOL, "tail", self.ring, *map(str, args)], text=True,
                                stdout=stdout)
        self.addCleanup(tail.communicate)
        self.addCleanup(tail.kill)
        return tail

    def test_what_it_sends_arrives_round_and_round(self):
        shown = tempfile.TemporaryFile("w+")
        self.addCleanup(shown.close)
        tail = self.start_tail("--count", 1000, stdout=shown)
        producer = Producer(self.path)
        expected = []
        for i in range(1000):
            record = f"{i} ".encode() + b"x" * (i * 37 % 2000)
            expected.append(f"{os.getpid()}: {record.decode()}\n")
            while not producer.send(record):
                self.assertIsNone(tail.poll())
        tail.wait(PATIENCE)
        shown.seek(0)
        self.assertEqual(shown.read(), "".join(expected))
        producer.leave()
        self.assertIn(f"0 of {LANES} lanes in use", self.run_tool("stat"))

    def test_a_full_lane_holds_what_is_documented(self):
        producer = Producer(self.path)
        sent = 0
        while producer.send(b"x" * 100):
            sent += 1
        self.assertEqual(sent, LANE_BYTES // 112)
        self.assertIn(f"lane 0    process {os.getpid()}, alive; {sent * 112} bytes to be received",
                      self.run_tool("stat"))

    def test_its_death_is_told_after_what_it_had_sent(self):
        tail = self.start_tail()
        child = os.fork()
        if child == 0:
            producer = Producer(self.path)
            producer.send(b"first")
            producer.send(b"last")
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        self.assertEqual([tail.stdout.readline() for _ in range(3)],
                         [f"{child}: first\n", f"{child}: last\n", f"{child} died\n"])


if __name__ == "__main__":
    run_tests()
