"""What wire is to reach, and whether it does: ratios of medians in one run."""

import fnmatch

import report

OURS = ("wire", "wire-epoll", "wire-io_uring")
BACKENDS = ("wire-epoll", "wire-io_uring")
PEERS = ("libuv", "asio", "state_threads", "go")

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
    ("fstat-offload", OURS, LIMIT, 1.3),
    ("fstat-offload-1core", OURS, LIMIT, 1.3),
    ("pread-4k-cached", ("wire-io_uring",), LIMIT, 1.15),
    ("slowloris-*c", OURS, LIMIT, 2),
]
# (case, at most)
ABSOLUTE = [("idle-10000c", 9 * 1024), ("idle-10000c-cpu", 0)]


def table(records):
    """A row for each figure that has a goal; nothing if there is none."""
    medians = {}
    for r in records:
        medians.setdefault(r["case"], {})[r["system"]] = r["median"]
    rows = [*compared(records, medians), *means(medians), *absolute(records)]
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
            if others is LIMIT:
                other = r["limit"]
            else:
                there = [s for s in others if s in medians[r["case"]]]
                other = min(there, key=medians[r["case"]].get, default=None)
            value = report.ratio(r["median"], medians[r["case"]].get(other))
            if value is not None:
                yield row(r["case"], r["system"], other, value, most, value <= most)


def means(medians):
    """Of echo: wire is ahead of every peer."""
    cells = [m for case, m in medians.items() if fnmatch.fnmatch(case, "echo-*b") and "wire" in m]
    for peer in PEERS:
        ratios = [m["wire"] / m[peer] for m in cells if peer in m]
        if ratios:
            mean = report.geometric_mean(ratios)
            yield row(f"echo, mean of {len(ratios)}", "wire", peer, mean, 1, mean < 1)


def absolute(records):
    for case, most in ABSOLUTE:
        for r in records:
            if r["case"] == case and r["system"] in OURS:
                yield row(case, r["system"], r["unit"], r["median"], most, r["median"] <= most)
