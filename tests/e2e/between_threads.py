#!/usr/bin/env python3
"""The examples of bridges and pools: what they compute is right, and broken use is told."""

import os
import pathlib
import pty
import random
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from harness import PATIENCE, pattern, run_tests

FOLDER = pathlib.Path(sys.argv.pop(1)).resolve()
NO_TYPES = FOLDER.parent / "tests" / "libno_types.so"


def run(name, *args, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    if "input" in options:
        del options["stdin"]
    options.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run([FOLDER / name, *map(str, args)], stderr=subprocess.PIPE, check=False,
                          timeout=PATIENCE, **options)
    return done.returncode, done.stdout, done.stderr.decode()


def without_threads():
    """For the child: its threads would need stacks for which there is no room."""
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 47, resource.RLIM_INFINITY))


def without_heap():
    """For the child: its memory is enough to start, but not for buffers."""
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 20, 1 << 20))


needs_any_stack = unittest.skipUnless(
    resource.getrlimit(resource.RLIMIT_STACK)[1] == resource.RLIM_INFINITY,
    "the size of stacks is limited here")


def closed(number):
    """For the child: it starts without this descriptor."""
    return lambda: os.close(number)


def read_terminal(terminal, until=None):
    """What a program shows, up to a text or to the end of the program, while patience lasts."""
    shown = b""
    end = time.monotonic() + PATIENCE
    while until is None or until not in shown:
        if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
            break
        try:
            part = os.read(terminal, 1000)
        except OSError:  # nobody has its other side open any more
            break
        if not part:
            break
        shown += part
    return shown


class WithFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def check_lost_output(self, name, *args, **options):
        with open("/dev/full", "wb") as full:
            self.assertEqual(run(name, *args, stdout=full, **options), (
                1, None, f"{name}: write standard output: No space left on device\n"))
        self.assertEqual(run(name, *args, preexec_fn=closed(1), **options), (
            1, b"", f"{name}: write standard output: Bad file descriptor\n"))


class Pipeline(WithFolder):
    def check(self, text):
        lines = text.split(b"\n")
        if not lines[-1]:
            lines.pop()
        expected = b"".join(b"%d %s\n" % (i, line.upper()) for i, line in enumerate(lines, 1))
        self.assertEqual(run("pipeline", input=text), (0, expected, ""))

    def test_lines_come_out_changed_and_in_order(self):
        for text in (b"", b"\n", b"one", b"one\n", b"a\n\nb\n\n", b"no\0t te\xffxt\n",
                     b"x" * 100_000 + b"\ny"):
            with self.subTest(text=text[:20]):
                self.check(text)
        self.check(b"".join(b"line %d %s\n" % (i, b"x" * (i % 100)) for i in range(10_000)))

    def test_input_that_cannot_be_read_is_told(self):
        self.assertEqual(run("pipeline", preexec_fn=closed(0)),
                         (1, b"", "pipeline: read standard input: Bad file descriptor\n"))
        folder = os.open(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        self.assertEqual(run("pipeline", stdin=folder),
                         (1, b"", "pipeline: read standard input: Is a directory\n"))

    def test_what_came_before_an_endless_line_is_printed(self):
        self.assertEqual(run("pipeline", input=b"fine\n" + b"x" * 3_000_000),
                         (1, b"1 FINE\n", "pipeline: read standard input: Message too long\n"))

    def test_output_that_cannot_be_written_ends_it(self):
        self.check_lost_output("pipeline", input=b"line\n" * 100_000)

    def test_it_ends_quietly_when_nobody_reads_any_more(self):
        with subprocess.Popen([FOLDER / "pipeline"], stdin=subprocess.PIPE, bufsize=0,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
            program.stdout.close()
            try:
                for _ in range(1000):
                    program.stdin.write(b"line\n" * 1000)
            except BrokenPipeError:
                pass
            program.stdin.close()
            self.assertEqual(program.wait(PATIENCE), -signal.SIGPIPE)
            self.assertEqual(program.stderr.read(), b"")

    @needs_any_stack
    def test_a_thread_that_cannot_be_started_is_told(self):
        self.assertEqual(run("pipeline", input=b"line\n", preexec_fn=without_threads), (
            1, b"", "pipeline: start a thread: Resource temporarily unavailable\n"))

    def test_arguments_are_refused(self):
        self.assertEqual(run("pipeline", "file"), (
            1, b"", "pipeline: takes no arguments, and reads its standard input\n"))


class BufferRecycling(WithFolder):
    def check(self, text):
        path = self.file("text", text)
        counts = f"{text.count(10)} lines, {len(text.split())} words, {len(text)} bytes\n"
        with open(path, "rb") as stdin:
            for args, options in ([[path], {}], [[], {"stdin": stdin}], [[], {"input": text}]):
                code, out, err = run("buffer_recycling", *args, **options)
                self.assertEqual((code, err), (0, ""))
                self.assertTrue(out.decode().startswith(counts), (out, counts))
                blocks = re.fullmatch(
                    r".*\n(\d+) blocks; buffers allocated: 7 before the first, 0 after it\n",
                    out.decode())
                self.assertTrue(blocks, out)
                self.assertGreaterEqual(int(blocks[1]) * 256 * 1024, len(text))

    def test_counts_as_wc_does_and_allocates_nothing_meanwhile(self):
        dice = random.Random(7)
        for text in (b"", b"word", b" \n", b"two words\n", pattern(256 * 1024),
                     b"a" * (256 * 1024) + b"b c", b"a" * (256 * 1024) + b" b", b"a b\n" * 400_000,
                     bytes(dice.choices(b"ab \t\n\v\f\r\0\xff", k=1_500_000))):
            with self.subTest(text=text[:20], size=len(text)):
                self.check(text)

    def test_failures_name_the_call_and_the_file(self):
        missing = self.folder / "missing"
        for name, said in ((missing, f"open {missing}: No such file or directory"),
                           (self.folder, f"read {self.folder}: Is a directory")):
            self.assertEqual(run("buffer_recycling", name),
                             (1, b"", f"buffer_recycling: {said}\n"))
        self.assertEqual(run("buffer_recycling", preexec_fn=closed(0)), (
            1, b"", "buffer_recycling: read standard input: Bad file descriptor\n"))
        self.check_lost_output("buffer_recycling", self.file("text", b"text"))

    @needs_any_stack
    def test_threads_and_memory_that_are_missing_are_told(self):
        text = self.file("text", b"text")
        for limit, said in ((without_threads, "Resource temporarily unavailable"),
                            (without_heap, "std::bad_alloc")):
            if run("buffer_recycling", "a", "b", preexec_fn=limit)[0] != 1:
                self.skipTest("a sanitizer needs more memory to start")
            self.assertEqual(run("buffer_recycling", text, preexec_fn=limit), (
                1, b"", f"buffer_recycling: prepare to read {text}: {said}\n"))

    def test_two_files_are_refused(self):
        self.assertEqual(run("buffer_recycling", "a", "b"), (
            1, b"", "buffer_recycling: takes one file, or reads its standard input\n"))


def fnv_1a(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


@unittest.skipUnless((FOLDER / "work_pool").exists(), "work_pool was not built (no CLI11)")
class WorkPool(WithFolder):
    def expected(self, *paths):
        return b"".join(b"%016x  %s\n" % (fnv_1a(p.read_bytes()), os.fsencode(p))
                        for p in sorted(paths, key=os.fsencode))

    def run_as_nobody(self, *args, **environment):
        """Permissions mean nothing to root."""
        try:
            somebody = {"user": 65534} if os.geteuid() == 0 else {}
            done = run("work_pool", *args, env={**os.environ, **environment}, **somebody)
        except PermissionError:
            self.skipTest("nobody may run the examples here")
        if done[0] == 127:
            self.skipTest("nobody may read the library here")
        return done

    def test_hashes_files_and_what_is_below_folders(self):
        sizes = [0, 1, 65_535, 65_536, 65_537, *range(2, 300)]
        files = [self.file(f"tree/{i % 7}/{i % 3}/file {i}", pattern(size))
                 for i, size in enumerate(sizes)]
        alone = self.file("alone", b"alone")
        (self.folder / "tree/empty").mkdir()
        (self.folder / "tree/link").symlink_to(alone)
        os.mkfifo(self.folder / "tree/fifo")
        expected = self.expected(alone, *files)
        for threads in (1, 2, 7, 100):
            with self.subTest(threads=threads):
                self.assertEqual(
                    run("work_pool", "--threads", threads, alone, self.folder / "tree"),
                    (0, expected, ""))
        self.assertEqual(run("work_pool", self.folder / "tree/empty"), (0, b"", ""))

    @unittest.skipUnless(NO_TYPES.exists(), "nothing is preloaded under sanitizers")
    def test_folders_that_do_not_tell_types_are_looked_into_all_the_same(self):
        alone = self.file("alone", b"alone")
        files = [self.file(f"tree/{i}/file", b"x" * i) for i in range(3)]
        (self.folder / "tree/link").symlink_to(alone)
        (self.folder / "tree/nowhere").symlink_to(self.folder / "missing")
        (self.folder / "tree/again").symlink_to(self.folder / "tree")
        os.mkfifo(self.folder / "tree/fifo")
        self.assertEqual(run("work_pool", self.folder / "tree",
                             env={**os.environ, "LD_PRELOAD": str(NO_TYPES)}),
                         (0, self.expected(*files), ""))

    @unittest.skipUnless(NO_TYPES.exists(), "nothing is preloaded under sanitizers")
    def test_names_of_which_nothing_is_told_are_named(self):
        hidden = self.file("tree/file", b"x")
        self.folder.chmod(0o755)
        hidden.parent.chmod(0o744)
        self.addCleanup(hidden.parent.chmod, 0o700)
        self.assertEqual(self.run_as_nobody(hidden.parent, LD_PRELOAD=str(NO_TYPES)),
                         (1, b"", f"work_pool: statx {hidden}: Permission denied\n"))

    def test_what_cannot_be_read_is_named_and_the_rest_is_hashed(self):
        fine = self.file("fine", b"fine")
        fifo, missing, loop = (self.folder / name for name in ("fifo", "missing", "loop"))
        os.mkfifo(fifo)
        loop.symlink_to(loop)
        code, out, err = run("work_pool", missing, fifo, fine, loop, "/proc/self/mem", "/dev/zero")
        self.assertEqual((code, out), (1, self.expected(fine)))
        said = {f"open {missing}: No such file or directory", f"{fifo}: is no regular file",
                f"open {loop}: Too many levels of symbolic links",
                "read /proc/self/mem: Input/output error", "/dev/zero: is no regular file"}
        self.assertEqual(set(err.splitlines()), {f"work_pool: {s}" for s in said})

    def test_what_is_forbidden_is_named(self):
        fine = self.file("tree/fine", b"fine")
        secret = self.file("tree/secret", b"secret")
        locked = self.file("tree/locked/file", b"locked").parent
        self.folder.chmod(0o755)
        secret.chmod(0)
        locked.chmod(0)
        self.addCleanup(locked.chmod, 0o700)
        self.assertEqual(self.run_as_nobody(self.folder / "tree"), (
            1, self.expected(fine), f"work_pool: opendir {locked}: Permission denied\n"
                                    f"work_pool: open {secret}: Permission denied\n"))

    def test_control_c_ends_it_with_what_was_done(self):
        files = [self.file(f"file {i}", b"x" * i) for i in range(3)]
        endless = self.folder / "endless"
        with open(endless, "wb") as sparse:
            sparse.truncate(1 << 40)
        ours, theirs = pty.openpty()  # there it shows how far it has come
        with subprocess.Popen([FOLDER / "work_pool", "--threads", "2", endless, *files],
                              stdout=subprocess.PIPE, stderr=theirs) as program:
            os.close(theirs)
            self.addCleanup(os.close, ours)
            try:
                shown = read_terminal(ours, b"\r3 files, 0.0 MB")
                self.assertIn(b"\r3 files, 0.0 MB", shown)
                program.send_signal(signal.SIGINT)
                out = program.communicate(timeout=PATIENCE)[0]
            finally:
                program.kill()
        self.assertEqual((program.returncode, out), (1, self.expected(*files)))
        self.assertTrue(read_terminal(ours).endswith(b"work_pool: interrupted\r\n"))

    def test_threads_that_cannot_be_started_are_told(self):
        if os.geteuid() != 0:
            self.skipTest("the limit counts what else this user runs")
        path = self.file("file", b"x")
        try:
            code, out, err = run(
                "work_pool", "--threads", 1000, path, user=65534,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (50, 50)))
        except (PermissionError, BlockingIOError):
            self.skipTest("nobody may run the examples here")
        if code in (126, 127):
            self.skipTest("nobody may read the library here")
        self.assertEqual((code, out), (1, b""))
        self.assertEqual(err, "work_pool: start a thread: Resource temporarily unavailable\n")

    def test_wrong_use_is_refused_with_one_sentence(self):
        for args, said in (([], "path is required"),
                           *((["--threads", wrong, "x"],
                              f"--threads: takes a number from 1 to 1000, not '{wrong}'")
                             for wrong in ("0", "1001", "abc"))):
            self.assertEqual(run("work_pool", *args),
                             (1, b"", f"work_pool: {said}\nTry work_pool --help\n"))
        self.check_lost_output("work_pool", self.file("file", b"x"))


if __name__ == "__main__":
    run_tests()
