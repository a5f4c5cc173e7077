#!/usr/bin/env python3
"""file_copy: copies exactly, says what fails and where, and leaves nothing half done."""

import ctypes
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import unittest

from harness import PATIENCE, eventually, pattern, run_tests

PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve() / "file_copy"


def file_copy(*args, before_exec=None, **options):
    done = subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True,
                          timeout=PATIENCE, check=False, preexec_fn=before_exec, **options)
    return done.returncode, done.stdout, done.stderr


def mount_small_disk(at):
    """For the child: a file system of 1 MiB at a folder, in a mount namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    newns, private = 0x20000, 0x40000 | 0x4000
    if (libc.unshare(newns) != 0 or libc.mount(None, b"/", None, private, None) != 0
            or libc.mount(b"tmpfs", os.fsencode(at), b"tmpfs", 0, b"size=1m") != 0):
        os.write(2, b"no small disk\n")
        os._exit(77)


class FileCopy(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.source, self.target = self.folder / "source", self.folder / "target"

    def names(self):
        return sorted(p.name for p in self.folder.iterdir())

    def test_copies_exactly(self):
        for size in (0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 5_000_000):
            with self.subTest(size=size):
                self.source.write_bytes(pattern(size))
                self.source.chmod(0o751)
                self.assertEqual(file_copy(self.source, self.target),
                                 (0, f"copied {size} bytes\n", ""))
                self.assertEqual(self.target.read_bytes(), self.source.read_bytes())
                self.assertEqual(self.target.stat().st_mode & 0o7777, 0o751)
        self.assertEqual(self.names(), ["source", "target"])

    def test_a_name_without_a_folder_is_in_the_current_one(self):
        self.source.write_bytes(b"here")
        self.assertEqual(file_copy("source", "target", cwd=self.folder)[0], 0)
        self.assertEqual(self.target.read_bytes(), b"here")

    def test_progress(self):
        self.source.write_bytes(pattern(3_000_000))
        code, out, err = file_copy("--progress", self.source, self.target)
        self.assertEqual((code, out), (0, "copied 3000000 bytes\n"))
        # A carriage return each time, which text mode shows as a newline.
        self.assertRegex(err, r"^(\n\d+ of 3000000 bytes)*\n3000000 of 3000000 bytes\n$")

    def test_failures_name_the_call_and_the_file(self):
        self.source.write_bytes(b"x")
        missing = self.folder / "missing"
        nowhere = missing / "target"
        for args, said in (
                ((missing, self.target), f"open {missing}: No such file or directory"),
                ((self.folder, self.target), f"read {self.folder}: Is a directory"),
                ((self.source, nowhere),
                 f"create a file in the folder of {nowhere}: No such file or directory"),
                ((self.source, "/dev/full"), "write /dev/full: No space left on device"),
                ((self.source, self.folder), f"open {self.folder}: Is a directory")):
            with self.subTest(said=said):
                self.assertEqual(file_copy(*args), (1, "", f"file_copy: {said}\n"))
                self.assertEqual(self.names(), ["source"])

    def test_a_failed_copy_leaves_the_old_target(self):
        self.source.write_bytes(pattern(3_000_000))
        self.target.write_bytes(b"old")

        def one_megabyte():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

        code, out, err = file_copy(self.source, self.target, before_exec=one_megabyte)
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, rf"^file_copy: write {re.escape(str(self.folder))}/wire-\w+: "
                         r"File too large\n$")
        self.assertEqual(self.target.read_bytes(), b"old")
        self.assertEqual(self.names(), ["source", "target"])

    def test_a_full_disk_is_told(self):
        self.source.write_bytes(pattern(3_000_000))
        disk = self.folder / "disk"
        disk.mkdir()
        code, out, err = file_copy(self.source, disk / "target",
                                   before_exec=lambda: mount_small_disk(disk))
        if code == 77:
            self.skipTest("mounting a tmpfs is not permitted here")
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, rf"^file_copy: write {re.escape(str(disk))}/wire-\w+: "
                         r"No space left on device\n$")

    def test_a_signal_ends_it_and_removes_what_is_not_complete(self):
        self.target.write_bytes(b"old")
        # Never ends by itself, within the limit of this test: for what is random it takes seconds.
        child = subprocess.Popen([PROGRAM, "/dev/urandom", self.target], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True,
                                 preexec_fn=lambda: resource.setrlimit(
                                     resource.RLIMIT_FSIZE, (1 << 32, 1 << 32)))
        try:
            self.assertTrue(eventually(
                lambda: any(p.stat().st_size > 0 for p in self.folder.glob("wire-*"))))
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=PATIENCE)
        finally:
            child.kill()
            child.communicate()
        self.assertEqual((child.returncode, out, err), (1, "", ""))
        self.assertEqual(self.names(), ["target"])
        self.assertEqual(self.target.read_bytes(), b"old")

    def test_wrong_use_is_refused_with_one_sentence(self):
        code, out, err = file_copy(self.source)
        self.assertEqual((code, out), (1, ""))
        self.assertEqual(err, "file_copy: target is required\nTry file_copy --help\n")
        code, out, _ = file_copy("--help")
        self.assertEqual(code, 0)
        self.assertIn("--progress", out)


if __name__ == "__main__":
    if not PROGRAM.exists():
        print("file_copy was not built (no CLI11): skipped")
        sys.exit(77)
    run_tests()
