"""Suite `ipc`: records between two processes. One program per system."""

import re

import machine
import report

# In the order in which they run; the package that each needs.
OURS = dict.fromkeys(["wire", "wire_sleeping", "wire_copied", "wire_wires", "wire_wires_epoll",
                      "wire_arena"])
LIMITS = {"spsc_bytes": None, "spsc_ahead": None, "copy": None, "bare_trips": None,
          "boost_allocator": "libboost1.81-dev"}
SPSC = ["spsc_bytes", "spsc_ahead"]
PEERS = {
    "iceoryx": "iceoryx libiceoryx-posh-dev",
    "zeromq": "libzmq3-dev cppzmq-dev",
    "boost_mq": "libboost1.81-dev",
    "posix_mq": None,
    "socketpair": None,
    "pipe": None,
}
SYSTEMS = {**OURS, **LIMITS, **PEERS}
EPOLL = "wire_wires_epoll"
CARRIED = re.compile(r"ring-(\d+[bkm])-(\d+)p(-batch\d+)?$")
THROUGHPUT = {"": "ns/record", "rate": "M/s", "cpu": "CPU ms/M records"}
ROUND_TRIP = {"": "ns", "p50": "ns", "p99": "ns", "p999": "ns", "cpu": "CPU ns"}
IDLE = "idle"


def metrics_of(slug):
    if slug == IDLE:
        return {"": "CPU us/s"}
    return ROUND_TRIP if "-rtt-" in slug else THROUGHPUT


def limits_of(slug):
    """The systems of which the best is the limit."""
    carried = CARRIED.match(slug)
    if not carried:
        other = {"ring": ["bare_trips"], "arena": ["boost_allocator"]}
        return other.get(slug.split("-")[0], [])
    if carried[3]:
        return ["spsc_bytes"]
    return SPSC if carried[2] == "1" else []


def program_case(system, slug):
    """The case of the system's program that stands for this one: the limit has no batches."""
    return slug.split("-batch")[0] if system == "spsc_bytes" else slug


class Suite:
    def __init__(self, settings):
        self.settings = settings
        self.programs = {s: settings.program(f"ipc_{s}") for s in SYSTEMS}
        self.programs[EPOLL] = self.programs["wire_wires"]
        self.lists = {s: machine.output_of([p, "--list"], settings.cores, 20).split()
                      for s, p in self.programs.items() if p}

    def notes(self):
        yield from machine.notes_of_missing(self.programs, "ipc", SYSTEMS)
        if len(self.settings.cores) < 2:
            yield "SKIPPED everything: it needs two cores"

    def cases(self):
        if len(self.settings.cores) < 2:
            return
        for slug in dict.fromkeys(s for listed in self.lists.values() for s in listed):
            systems = [s for s in self.lists if program_case(s, slug) in self.lists[s]]
            carried = CARRIED.match(slug)
            limits = limits_of(slug)
            of_system = dict.fromkeys(systems, limits) if len(limits) > 1 else {}
            if "copy" in systems:  # what is received by a copy is compared with a copy
                of_system["wire_copied"] = ["copy"]
            yield report.Case(slug, systems, metrics_of(slug),
                              "" if len(limits) != 1 else limits[0], of_system,
                              group=carried[1] if carried else slug,
                              peers=tuple(s for s in systems if s in PEERS))

    def measure(self, case, system, _):
        environment = {"BENCH_MS": "60" if self.settings.quick else "300"}
        if system == EPOLL:
            environment["WIRE_REACTOR"] = "epoll"
        command = [self.programs[system], program_case(system, case.slug)]
        words = machine.output_of(command, self.settings.cores[:2], 120, environment).split()[1:]
        printed = {name: float(value) for name, value in zip(words[::2], words[1::2])}
        if case.slug == IDLE:
            return {"": printed["cpu"] / 1e3}
        values = {"": printed.pop("wall"), **printed}
        return values | {"rate": 1e3 / values[""]} if "rate" in case.metrics else values
