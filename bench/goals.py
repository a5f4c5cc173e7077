"""What wire is to reach, and whether it does: ratios of medians in one run."""

import fnmatch

import report

OURS = ("wire", "wire-epoll", "wire-io_uring")
BACKENDS = ("wire-epoll", "wire-io_uring")

# Peers of the suite `pool`: those that sleep, all that anybody may use without a token, those that
# promise the order of all messages. And ours that sleep.
BLOCKING = ("concurrentqueue_blocking", "tbb", "condvar", "go")
MANY_TO_MANY = (*BLOCKING, "concurrentqueue", "xenium_vyukov", "xenium_kfifo", "boost_lockfree")
IN_ORDER = ("tbb", "condvar", "go", "xenium_vyukov", "boost_lockfree")
ASLEEP = ("wire", "wire_bridge", "wire_pool_wires", "wire_bridge_wires")
RINGS_ASLEEP = ("wire", "wire_sleeping", "wire_wires", "wire_wires_epoll")

# (cases, our systems, compared with the best of, at most so many times its figure). LIMIT stands
# for the limit of each record.
LIMIT = ("the limit",)
GOALS = [
    ("rendezvous", ("wire",), LIMIT, 2),
    ("rendezvous", ("wire",), ("state_threads",), 0.6),
    ("rendezvous-stream", ("wire",), LIMIT, 2),
    ("buffered-128", ("wire",), LIMIT, 0.6),
    ("buffered-128", ("wire",), ("state_threads",), 0.4),
    ("select-8-ready", ("wire",), ("go",), 0.5),
    ("select-8-woken", ("wire",), LIMIT, 6),
    ("echo-*b", BACKENDS, LIMIT, 1.05),
    ("echo-*b", ("wire",), BACKENDS, 1.03),
    ("resp-*-p16", ("wire",), ("redis",), 0.8),
    ("resp-*-p16", ("limit",), ("redis",), 0.65),
    ("resp-*-p1", ("wire",), ("redis",), 0.95),
    ("resp-*-syscalls", OURS, LIMIT, 1.2),
    ("http-64c", ("wire",), ("nginx",), 0.92),
    ("http-1000c", ("wire",), ("nginx",), 0.92),
    ("http-64c-p16", ("wire",), ("nginx",), 0.25),
    ("tls-64c-1024b", OURS, LIMIT, 1.05),
    ("fstat-offload", OURS, LIMIT, 1.3),
    ("fstat-offload-1core", OURS, LIMIT, 1.3),
    ("pread-4k-cached", ("wire-io_uring",), LIMIT, 1.15),
    ("slowloris-*c", OURS, LIMIT, 2),
    ("?p?c-8b-1000", ("wire",), MANY_TO_MANY, 1),
    ("?p?c-8b-1000", ("wire",), BLOCKING, 1 / 4),
    ("?p?c-8b-65536", ("wire",), BLOCKING, 1 / 4),
    ("?p?c-8b-64", ("wire",), BLOCKING, 1),
    ("?p?c-8b-1", ("wire",), ("condvar",), 1),
    ("?p?c-8b-1000", ("wire_swap",), ("wire",), 1),
    ("buffers-64k", ("wire_swap",), ("wire",), 1),
    ("bridge-1p1c-busy", ("wire_bridge",), IN_ORDER, 1 / 0.8),
    ("pool-idle-wake", ("wire",), LIMIT, 1.2),
    ("ring-64b-1p", ("wire",), LIMIT, 1 / 0.7),
    ("ring-64b-1p-batch16", ("wire",), LIMIT, 1 / 1.5),
    ("ring-1k-1p", ("wire",), LIMIT, 1 / 0.7),
    ("ring-1m-1p", ("wire_copied",), LIMIT, 1 / 0.8),
    ("ring-rtt-busy-64b", ("wire",), LIMIT, 1.75),
    ("ring-rtt-sleep-2core", ("wire",), LIMIT, 1.25),
    ("ring-rtt-sleep-1core", ("wire",), LIMIT, 1.4),
    ("ring-rtt-sleep-?core", ("wire_wires",), LIMIT, 1.5),
    *((f"embed-{n}c-{backend}", ("epoll", "glib", "libuv"), LIMIT, 1.05)
      for n in (16, 64, 256) for backend in ("epoll", "io_uring")),
    ("arena-64b", ("wire_arena",), LIMIT, 1 / 4),
    ("arena-64b", ("wire_arena",), ("iceoryx",), 1),
    ("arena-rtt-busy-64b", ("wire_arena",), ("iceoryx",), 1),
    ("get-p*[0-9]", ("wire", "wire_pipeline"), ("libuv",), 1 / 0.9),
    ("get-p*-cpu", ("wire", "wire_pipeline"), ("libuv",), 1 / 0.9),
]
# (case, system, compared with the same system in this case, at most so many times its figure)
ACROSS = [
    ("4p4c-8b-1000", "wire", "2p2c-8b-1000", 1 / 0.7),
    ("1p1c-8b-1000-bulk16", "wire", "1p1c-8b-1000", 1),
    ("2p2c-8b-1000-bulk16", "wire", "2p2c-8b-1000", 1),
    ("ring-64b-4p", "wire", "ring-64b-1p", 1 / 0.8),
    ("ring-64b-8p", "wire", "ring-64b-1p", 1 / 0.8),
]
# (name, cases, system, compared with the best of these in each case, the geometric mean is below)
MEANS = [
    ("echo", "echo-*b", "wire", ("libuv",), 1),
    ("echo", "echo-*b", "wire", ("asio",), 1),
    ("echo", "echo-*b", "wire", ("state_threads",), 1),
    ("echo", "echo-*b", "wire", ("go",), 1),
    ("?p?c-8b-1000", "?p?c-8b-1000", "wire", MANY_TO_MANY, 1 / 1.5),
]
# (case, systems, at most)
ABSOLUTE = [
    ("idle-10000c", OURS, 9 * 1024),
    ("idle-10000c-cpu", OURS, 0),
    ("pool-idle-cpu", ASLEEP, 0),
    ("idle", RINGS_ASLEEP, 0),
]


def table(records):
    """A row for each figure that has a goal; nothing if there is none."""
    medians = {}
    for r in records:
        medians.setdefault(r["case"], {})[r["system"]] = r["median"]
    rows = [*compared(records, medians), *across(medians), *means(medians), *absolute(records)]
    if not rows:
        return ""
    head = ["case", "system", "compared with", "is", "goal", ""]
    return "goals\n" + report.aligned([head, *rows]) + "\n"


def row(case, system, other, value, most, fine):
    verdict = "" if fine else "MISSED"
    return [case, system, other, report.number(value), report.number(most), verdict]


def compared(records, medians):
    for pattern, systems, others, most in GOALS:
        for r in records:
            if r["system"] not in systems or not fnmatch.fnmatch(r["case"], pattern):
                continue
            there = medians[r["case"]]
            other = r["limit"] if others is LIMIT else report.best_of(others, there)
            value = report.ratio(r["median"], there.get(other))
            if value is not None:
                yield row(r["case"], r["system"], other, value, most, value <= most)


def across(medians):
    for case, system, other, most in ACROSS:
        base = medians.get(other, {}).get(system)
        if base and system in medians.get(case, {}):
            value = report.ratio(medians[case][system], base)
            yield row(case, system, other, value, most, value <= most)


def means(medians):
    for name, pattern, system, others, below in MEANS:
        cells = [m for case, m in medians.items() if fnmatch.fnmatch(case, pattern) and system in m]
        ratios = [m[system] / m[best] for m in cells if (best := report.best_of(others, m))]
        if ratios:
            mean = report.geometric_mean(ratios)
            other = others[0] if len(others) == 1 else "best of each"
            yield row(f"{name}, mean of {len(ratios)}", system, other, mean, below, mean < below)


def absolute(records):
    for case, systems, most in ABSOLUTE:
        for r in records:
            if r["case"] == case and r["system"] in systems:
                yield row(case, r["system"], r["unit"], r["median"], most, r["median"] <= most)
