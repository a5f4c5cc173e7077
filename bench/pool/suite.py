"""Suite `pool`: messages between threads. One program per system."""

import re

import machine
import report

# In the order in which they run; the package that each needs.
LIMITS = dict.fromkeys(["fetch_add", "handover", "spsc_flags", "spsc_indices", "futex"])
PEERS = {
    "condvar": None,
    "concurrentqueue": "libconcurrentqueue-dev",
    "concurrentqueue_tokens": "libconcurrentqueue-dev",
    "concurrentqueue_blocking": "libconcurrentqueue-dev",
    "xenium_vyukov": "libxenium-dev",
    "xenium_kfifo": "libxenium-dev",
    "boost_lockfree": "libboost1.81-dev",
    "tbb": "libtbb-dev",
    "go": "golang-go",
}
OURS = dict.fromkeys([
    "wire", "wire_swap", "wire_pool_wires", "wire_pool_to_wire", "wire_pool_from_wire",
    "wire_bridge", "wire_bridge_wires", "wire_bridge_to_wire", "wire_bridge_from_wire"])
SPSC = ["spsc_flags", "spsc_indices"]
SYSTEMS = {**OURS, **LIMITS, **PEERS}
CARRIED = re.compile(r"(\d+p\d+c)-\d+b-(\d+)(-bulk\d+)?$")
# A line that goes there and back is what room for one costs, however many threads take turns.
ROOM_FOR_ONE = "1p1c-8b-1"
THROUGHPUT = {"": "ns/message", "rate": "M/s", "cpu": "CPU ms/M messages"}
LATENCY = {"": "ns", "cpu": "CPU ns"}
IDLE_CPU = "pool-idle-cpu"


def limits_of(slug):
    """The systems of which the best is the limit."""
    carried = CARRIED.match(slug)
    if not carried:
        return {"bridge": SPSC, "pool": ["futex"]}.get(slug.split("-")[0], [])
    threads, capacity, bulk = carried.groups()
    if bulk:
        return []
    return ["handover"] if capacity == "1" else SPSC if threads == "1p1c" else ["fetch_add"]


def metrics_of(slug):
    if slug == IDLE_CPU:
        return {"": "CPU us/s"}
    many = CARRIED.match(slug) or slug.startswith(("bridge-", "buffers-"))
    return THROUGHPUT if many else LATENCY


class Suite:
    def __init__(self, settings):
        self.settings = settings
        self.programs = {s: settings.program(f"pool_{s}") for s in SYSTEMS}
        self.lists = {s: machine.output_of([p, "--list"], settings.cores, 20).split()
                      for s, p in self.programs.items() if p}

    def notes(self):
        yield from machine.notes_of_missing(self.programs, "pool", SYSTEMS)
        if len(self.settings.cores) < 2:
            yield "SKIPPED everything: it needs two cores"

    def cases(self):
        if len(self.settings.cores) < 2:
            return
        for slug in dict.fromkeys(s for listed in self.lists.values() for s in listed):
            carried = CARRIED.match(slug)
            systems = [s for s in self.lists if program_case(s, slug) in self.lists[s]]
            peers = tuple(s for s in systems if s in PEERS)
            limits = limits_of(slug)
            yield report.Case(slug, systems, metrics_of(slug),
                              "" if len(limits) != 1 else limits[0],
                              dict.fromkeys(systems, limits) if len(limits) > 1 else {},
                              group=carried[1] if carried else slug, peers=peers)

    def measure(self, case, system, _):
        command = [self.programs[system], program_case(system, case.slug)]
        printed = machine.output_of(command, self.settings.cores[:2], 120,
                                    {"BENCH_MS": "60" if self.settings.quick else "300"})
        _, wall, _, cpu = printed.split()
        if case.slug == IDLE_CPU:
            return {"": float(cpu) / 1e3}
        values = {"": float(wall), "cpu": float(cpu)}
        return values | {"rate": 1e3 / values[""]} if "rate" in case.metrics else values


def program_case(system, slug):
    """The case of the system's program that stands for this one."""
    carried = CARRIED.match(slug)
    return ROOM_FOR_ONE if system == "handover" and carried and carried[2] == "1" else slug
