"""Suite `core`: switching, starting, waiting, waking and timers. One program per system."""

import machine
import report

# In the order in which they run; the package that a peer needs.
SYSTEMS = {
    "wire": None,
    "wire_shared": None,
    "limit": None,
    "coloured": None,
    "jump_fcontext": None,
    "inline_asm": None,
    "fresh_fcontext": None,
    "line_and_switch": None,
    "multimap": None,
    "boost_fiber": "libboost-fiber1.81-dev",
    "state_threads": "libst-dev",
    "go": "golang-go",
}
TWO_CORES = {"wake-busy", "wake-sleeping", "threads-2-yield"}
LIMITS = {"timers-100000": "multimap"}
# What has no limit of its own is compared with another case of ours.
STAND_INS = {
    ("yield-1000-fd-armed", "limit"): ("wire", "yield-1000-depth0"),
    ("threads-2-yield", "limit"): ("wire", "yield-100-depth0"),
    ("threads-64-idle", "limit"): ("wire", "yield-100-depth0"),
}


def metrics(slug):
    return {"": "ns", "rss": "bytes"} if slug.startswith("live-") else {"": "ns"}


class Suite:
    def __init__(self, settings):
        self.settings = settings
        self.programs = {s: settings.program(f"core_{s}") for s in SYSTEMS}
        self.lists = {s: self._list(p) for s, p in self.programs.items() if p}

    def _list(self, program):
        return machine.output_of([program, "--list"], self.settings.cores, 20).split()

    def notes(self):
        return machine.notes_of_missing(self.programs, "core", SYSTEMS)

    def cases(self):
        slugs = dict.fromkeys(slug for listed in self.lists.values() for slug in listed)
        return [report.Case(slug, self._systems(slug), metrics(slug), LIMITS.get(slug, "limit"))
                for slug in slugs if len(self.settings.cores) > 1 or slug not in TWO_CORES]

    def _systems(self, slug):
        return [s for s in SYSTEMS if slug in self.lists.get(STAND_INS.get((slug, s), (s,))[0], [])
                and (s in self.lists)]

    def measure(self, case, system, _):
        program, slug = STAND_INS.get((case.slug, system), (system, case.slug))
        cores = self.settings.cores[:2 if slug in TWO_CORES else 1]
        printed = machine.output_of([self.programs[program], slug], cores, 120,
                                    {"BENCH_MS": "60" if self.settings.quick else "300"})
        words = printed.split()[1:]  # the figure, then name and value of each further one
        return {name: float(value) for name, value in zip(["", *words[1::2]], words[::2])}
