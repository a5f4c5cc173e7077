"""Suite `file`: reads and offloaded calls. One program per system."""

import os
import tempfile

import machine
import report

# The package that a system needs. Ours read on the backend that machine.REACTORS names.
SYSTEMS = {**dict.fromkeys(machine.REACTORS), "limit": "liburing-dev", "blocking": None}
CASES = ["pread-4k-cached", "pread-4k-direct", "fstat-offload", "fstat-offload-1core"]
METRICS = {
    "pread": {"": "ns CPU/read", "rate": "1/s"},
    "fstat": {"": "ns/call", "cpu": "ns CPU/call"},
}
FILE_SIZE = 64 << 20


class Suite:
    def __init__(self, settings):
        self.settings = settings
        self.names = {s: "file_wire" if s in machine.REACTORS else f"file_{s}" for s in SYSTEMS}
        self.programs = {s: settings.program(name) for s, name in self.names.items()}
        self.file = tempfile.NamedTemporaryFile(dir=settings.programs, prefix="pages-")
        self.file.write(os.urandom(FILE_SIZE))
        self.file.flush()
        os.fsync(self.file.fileno())
        self.skipped = self._skipped_systems()
        self.no_direct = why_not_direct(self.file.name)

    def _skipped_systems(self):
        skipped = {}
        for system, program in self.programs.items():
            if not program:
                skipped[system] = machine.not_built(self.names[system], SYSTEMS[system])
            elif system in machine.REACTORS:
                try:
                    self._run(system, "fstat-offload", self.settings.cores[:2], 10)
                except machine.Failed as reason:
                    skipped[system] = str(reason)
        return skipped

    def notes(self):
        for system, reason in self.skipped.items():
            yield f"SKIPPED {system}: {reason}"
        if self.no_direct:
            yield f"SKIPPED pread-4k-direct: {self.settings.programs} does not allow O_DIRECT: " + (
                self.no_direct)
        if len(self.settings.cores) < 2:
            yield "SKIPPED fstat-offload: it needs two cores"

    def cases(self):
        usable = [s for s in SYSTEMS if s not in self.skipped]
        for slug in CASES:
            possible = not (slug == "pread-4k-direct" and self.no_direct
                            or slug == "fstat-offload" and len(self.settings.cores) < 2)
            yield report.Case(slug, usable if possible else [], METRICS[slug.split("-")[0]],
                              group=slug.split("-")[0])

    def measure(self, case, system, _):
        one_core = case.slug.endswith("-1core")
        cores = self.settings.cores[:1 if one_core else 2]
        printed = self._run(system, case.slug.removesuffix("-1core"), cores,
                            100 if self.settings.quick else 1000)
        cpu, wall = float(printed["cpu_ns"]), float(printed["wall_ns"])
        if case.slug.startswith("pread-"):
            return {"": cpu, "rate": 1e9 / wall}
        return {"": wall, "cpu": cpu}

    def _run(self, system, slug, cores, milliseconds):
        reactor = machine.REACTORS.get(system, "auto")
        words = machine.output_of([self.programs[system], slug, self.file.name], cores, 120,
                                  {"BENCH_MS": str(milliseconds),
                                   "WIRE_REACTOR": reactor}).split()
        printed = dict(zip(words[::2], words[1::2]))
        if reactor not in ("auto", printed["backend"]):
            raise machine.Failed(f"with WIRE_REACTOR={reactor} it runs on {printed['backend']}")
        return printed


def why_not_direct(path):
    """Why the file cannot be read without the page cache; None if it can."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError as problem:
        return problem.strerror
    os.close(fd)
    # tmpfs lets one open a file so, and has nothing but the page cache.
    return "it lies in memory" if filesystem(path) == "tmpfs" else None


def filesystem(path):
    return machine.output_of(["stat", "-f", "-c", "%T", path], sorted(os.sched_getaffinity(0)),
                             10).strip()
