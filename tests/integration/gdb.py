#!/usr/bin/env python3
"""tools/wire_gdb.py: wires and their frames, of a live process and of core files."""

import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

from harness import PATIENCE, Server, ask, main

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = SOURCE / "tools" / "wire_gdb.py"
WAITS = {"timer": ("sleep", "wait_for_timer"), "locker": ("mutex", "wait_for_mutex"),
         "receiver": ("receive from a channel", "wait_for_channel"),
         "reader": ("a readable descriptor", "wait_for_descriptor"),
         "joiner": ("join", "wait_for_join")}
CORE_MAX = 200_000_000
STRIPPED = "libwire is here without its debug information"
NO_LIBWIRE = "this program has no libwire, or a stripped copy"


def gdb(*arguments, commands=(), source=SCRIPT, before=()):
    """What it prints. It must neither hang nor show a traceback of ours (those of the C++ library's
    printers are not)."""
    options = ["set debuginfod enabled off", "set python print-stack full", *before]
    words = ["gdb", "-nx", "-batch"]
    for option in options:
        words += ["-iex", option]
    words += map(str, arguments)
    for command in ([f"source {source}"] if source else []) + list(commands):
        words += ["-ex", command]
    said = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, timeout=3 * PATIENCE, check=False,
                          errors="replace").stdout
    assert not re.search(r'File ".*wire_gdb|Error occurred in Python', said), said
    return said


def part(said, title):
    """The backtrace below a title in what `wire apply all bt` prints."""
    found = re.search(rf'^Wire [\d.]+ "{title}" .*:\n((?:.+\n)+)', said, re.M)
    assert found, f"no wire {title}: {said}"
    return found[1]


class Target(unittest.TestCase):
    program = "gdb_target"

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.scratch = pathlib.Path(folder.name).resolve()

    @property
    def path(self):
        return Server.folder.parent / "tests" / "integration" / self.program

    def hung(self, *args, path=None, runtimes=1, libraries=None):
        """A program of which all wires wait."""
        def allow_core():
            resource.setrlimit(resource.RLIMIT_CORE, (CORE_MAX, CORE_MAX))
        environment = dict(os.environ, LD_LIBRARY_PATH=str(libraries)) if libraries else None
        target = subprocess.Popen([path or self.path, *map(str, args)], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, cwd=self.scratch, env=environment,
                                  preexec_fn=allow_core, text=True)
        guard = threading.Timer(5 * PATIENCE, target.kill)
        guard.start()
        for end in (target.stdout.close, target.wait, target.kill, guard.cancel):
            self.addCleanup(end)
        for _ in range(runtimes):
            self.assertEqual(target.stdout.readline(), "hung\n")
        return target

    def core_of(self, target, end_it=True):
        """The core file that the kernel writes."""
        if end_it:
            target.send_signal(signal.SIGABRT)
        target.wait(PATIENCE)
        cores = list(self.scratch.glob("core*"))
        if not cores:
            print("\nskipped: no core file is written here (core_pattern, or ulimit -c)")
            self.skipTest("no core file")
        return cores[0]

    def check_all(self, said):
        for name, (reason, function) in WAITS.items():
            self.assertRegex(said, rf" waiting +{name} +{reason} +\d+\.\d{{3}} s\n")
            if name != "timer":
                self.assertIn(f"{function} ", part(said, name))
        self.assertRegex(said, r" running +main\n")
        self.assertRegex(said, r" ready +newborn\n")
        self.assertIn("block_the_thread ", part(said, "main"))
        self.assertIn("has not started yet", part(said, "newborn"))
        self.assertRegex(said, r"\n11 wires: sleeper, timer \([\d, .]+\):\n(#.*\n)*"
                               r"#.*wait_for_timer ")

    both = ("info wires", "wire apply all bt")


class Live(Target):
    def test_all_wires_are_listed_and_unwound(self):
        target = self.hung("hang", 1, 10)
        self.check_all(gdb("-p", target.pid, commands=self.both))

    def test_of_several_runtimes(self):
        target = self.hung("hang", 3, runtimes=3)
        said = gdb("-p", target.pid, commands=["info wires", "wire 2.3 bt", "wire 3.1 bt",
                                               "wire 3 bt", "wire apply 1.3-4 2.5 frame"])
        runtimes = re.findall(r"^Runtime \d, thread \d \(LWP \d+\): 7 wires", said, re.M)
        self.assertEqual(len(runtimes), 3)
        self.assertIn("wait_for_mutex ", said)
        self.assertIn("block_the_thread ", said)
        self.assertIn("There is no wire 3; see `info wires`.", said)
        self.assertEqual(len(re.findall(r'^Wire [12]\.[345] "', said, re.M)), 3)

    def test_a_selected_wire_is_looked_at_frame_by_frame_until_the_program_goes_on(self):
        target = self.hung()
        said = gdb("-p", target.pid, commands=[
            "wire 3", "python gdb.selected_frame().older().select()", "info wires locker", "bt",
            "wire", "wire off", "echo OFF\\n", "bt", "wire"])
        selected, off = said.split("OFF\n")
        self.assertRegex(selected, r'\[Wire 3 "locker" waits for mutex\]\n#\d+ .*wire::mutex::lock')
        self.assertRegex(selected, r"\* 3 +waiting +locker")
        self.assertRegex(selected, r'#0 +\(wire 3 "locker" waits for mutex\)')
        self.assertIn("wait_for_mutex ", selected)
        self.assertNotIn("block_the_thread", selected)
        self.assertIn("block_the_thread", off)
        self.assertNotIn("wait_for_mutex", off)
        self.assertIn("No wire is selected.", off)

    def test_filters_completion_and_mistakes(self):
        target = self.hung()
        said = gdb("-p", target.pid, commands=[
            "info wires -s waiting ^lock", "echo 1\\n", "info wires -s sleepy", "info wires [",
            "info wires a b", "echo 2\\n", "complete wire ap", "complete wire 3",
            "complete wire apply a", "complete info wires -s f", "echo 3\\n", "wire 77",
            "wire 77 bt", "wire x", "wire 7", "wire apply", "wire apply 3", "wire apply 5- bt",
            "wire 3 nonsense", "echo 4\\n", "help info wires", "help wire"])
        listed, wrong, completed, refused, helped = re.split(r"^\d\n", said, flags=re.M)
        self.assertIn("7 wires, 1 of them shown", listed)
        self.assertIn("-s is followed by a state: ready, running, waiting, finished.", wrong)
        self.assertIn("'[' is no regular expression", wrong)
        self.assertIn("Usage: info wires", wrong)
        self.assertEqual(completed.split("\n")[:-1], ["wire apply", "wire 3", "wire apply all",
                                                      "info wires -s finished"])
        for sentence in ("There is no wire 77", "There is no wire x", "it has not started yet",
                         "Usage: wire apply", "5- is no range", 'Undefined command: "nonsense"'):
            self.assertIn(sentence, refused)
        self.assertIn("STATE is one of ready", helped)
        self.assertIn("wire apply all COMMAND", helped)

    def test_a_server_that_waits_for_clients(self):
        with Server("--host", "127.0.0.1") as server, server.connect() as client:
            self.assertTrue(ask(client))  # it has accepted one, and waits for the next
            said = gdb("-p", server.process.pid, commands=self.both)
        self.assertRegex(said, r"waiting +accept +a readable descriptor")
        self.assertIn("wire::io::listener::accept", part(said, "accept"))

    def test_without_a_process_or_without_the_library(self):
        self.assertIn("there is no process", gdb(self.path, commands=self.both))
        with subprocess.Popen(["sleep", "60"]) as other:
            try:
                self.assertIn(NO_LIBWIRE, gdb("-p", other.pid, commands=self.both))
            finally:
                other.kill()


class Static(Target):
    program = "gdb_target_static"

    def test_all_wires_are_listed_and_unwound(self):
        self.check_all(gdb("-p", self.hung("hang", 1, 10).pid, commands=self.both))


class Stripped(Target):
    def strip(self, source, name):
        if not shutil.which("strip"):
            self.skipTest("strip is not installed")
        subprocess.run(["strip", source, "-o", self.scratch / name], check=True, timeout=PATIENCE)
        return self.scratch / name

    def test_a_stripped_shared_library_is_a_sentence(self):
        library = shared_library()
        if not library:
            self.skipTest("there is no shared library in this build")
        self.strip(library, library.name.rsplit(".", 2)[0])
        target = self.hung(libraries=self.scratch)
        self.assertEqual(gdb("-p", target.pid, commands=self.both).count(STRIPPED), 2)

    def test_a_stripped_static_one_too(self):
        self.program = "gdb_target_static"
        target = self.hung(path=self.strip(self.path, "stripped"))
        self.assertEqual(gdb("-p", target.pid, commands=self.both).count(NO_LIBWIRE), 2)


class Installed(Target):
    def test_gdb_loads_it_by_itself(self):
        """From where `meson install` has put it, under another root."""
        library = shared_library()
        if not library or not shutil.which("meson"):
            self.skipTest("meson is not installed, or there is no shared library in this build")
        root = self.scratch / "root"
        subprocess.run(["meson", "install", "-C", Server.folder.parent, "--no-rebuild", "--destdir",
                        root, "--quiet"], check=True, timeout=PATIENCE)
        script = next(root.rglob("libwire.so.*-gdb.py"))
        installed = next(root.rglob(library.name))
        scripts = script.parent
        while scripts.name != "auto-load":
            scripts = scripts.parent
        self.assertEqual(script.relative_to(scripts),
                         (installed.parent / script.name).relative_to(root))
        # gdb looks below the scripts' folder for the whole path of the library.
        (scripts / installed.relative_to("/")).parent.mkdir(parents=True)
        script.rename(scripts / f"{installed.relative_to('/')}-gdb.py")
        target = self.hung("hang", 1, 10, libraries=installed.parent)
        self.check_all(gdb("-p", target.pid, commands=self.both, source=None, before=[
            f"add-auto-load-safe-path {root}", f"add-auto-load-scripts-directory {scripts}"]))


class Core(Target):
    def test_all_wires_are_listed_and_unwound(self):
        for program in ("gdb_target", "gdb_target_static"):
            self.program = program
            core = self.core_of(self.hung("hang", 1, 10))
            self.check_all(gdb(self.path, core, commands=self.both))
            core.unlink()

    def test_of_one_that_ended_by_itself(self):
        for way, end in (("abort", "SIGABRT"), ("segv", "SIGSEGV")):
            core = self.core_of(self.hung(way, 1, 10), end_it=False)
            said = gdb(self.path, core, commands=self.both)
            self.assertIn(f"terminated with signal {end}", said)
            self.check_all(said)
            core.unlink()


class Damaged(Target):
    """Garbage in the memory that is read."""

    PREPARE = [
        "python import os, gdb, wire_gdb.reading as r; rt = r.all_runtimes()[0]; at = rt.layout",
        "python ws = {w.name: w for w in r.wires_of(rt)}; here = gdb.selected_inferior()",
        "python poke = lambda a, v: here.write_memory(a, v.to_bytes(8, 'little'))",
        "python get = lambda a: r.word(r.read(a, 8), 0)",
        "python table = rt.shared + at.shared['wires.chunks_']",
    ]
    DAMAGE = (
        ("poke(ws['timer'].address + at.fiber['ctx.at'], 0x1234)",
         "It cannot be unwound: its saved stack pointer 0x1234 is not in its stack"),
        ("poke(ws['locker'].address + at.fiber['waits_for'], 1 << 46)", "(unreadable)"),
        ("w = ws['joiner']; here.write_memory(w.at, os.urandom(w.address - w.at))", "joiner"),
        ("w = ws['receiver']; here.write_memory(w.at + 64, w.at.to_bytes(8, 'little') * 16)",
         "receiver"),
        ("poke(ws['reader'].address + at.fiber['name'], 0xff0a1b0a80414141)", "AAA"),
        ("poke(get(ws['reader'].address + at.fiber['slot']) + at.slot['wire'], 1 << 46)",
         "1 of its wires left out, since their memory cannot be read"),
        ("poke(r.word(r.read(table, 8), 0) + at.slot['wire'], ws['locker'].address)",
         "1 of its wires left out, since their control blocks are damaged"),
        ("poke(table, 1 << 46)", "64 of its wires left out"),
        ("poke(rt.shared + at.shared['wires.chunks_used_'], 99)", "table of wires is damaged"),
        ("poke(rt.address + at.scheduler['shared_'], 8)", "its wires cannot be read"),
        ("table = gdb.lookup_global_symbol('wire::detail::all_runtimes').value().address; "
         "poke(int(table) + 40, 1 << 46)",
         "Runtime 6 cannot be read: there is nothing at 0x400000000000"),
    )

    def test_each_kind_is_a_sentence_and_the_rest_is_shown(self):
        target = self.hung()
        commands = list(self.PREPARE)
        for damage, _ in self.DAMAGE:
            commands += ["echo NEXT\\n", f"python {damage}", *self.both]
        said = gdb("-p", target.pid, commands=commands)
        core = self.core_of(target)
        parts = said.split("NEXT\n")
        self.assertEqual(len(parts), 1 + len(self.DAMAGE), said)
        for (damage, sentence), text in zip(self.DAMAGE, parts[1:]):
            self.assertIn(sentence, text, damage)
        last = gdb(self.path, core, commands=self.both)
        self.assertIn("Runtime 6 cannot be read", last)
        self.assertIn("its wires cannot be read", last)


def shared_library():
    found = [p for p in Server.folder.parent.glob("libwire.so.*") if not p.is_symlink()
             and p.is_file() and p.suffix != ".symbols"]
    return found[0] if found else None


def what_is_missing():
    """Why nothing can be tested here; None if it can."""
    if not shutil.which("gdb"):
        return "gdb is not installed"
    target = pathlib.Path(sys.argv[1]).parent / "tests" / "integration" / "gdb_target_static"
    with subprocess.Popen(["sleep", "60"]) as other:
        said = gdb("-p", other.pid, source=None, commands=[
            "python print(6 * 7)", "detach", f"file {target}", "ptype wire::detail::fiber"])
        other.kill()
    if "42" not in said:
        return "gdb has no Python"
    if "ptrace:" in said:
        return "gdb may not attach to other processes here (ptrace is refused)"
    if "struct wire::detail::fiber" not in said:
        return "this build has no debug information"
    return None


if __name__ == "__main__":
    missing = what_is_missing() if len(sys.argv) > 1 else None
    if missing:
        print(f"skipped: {missing}")
        sys.exit(77)
    main()
