"""Cases, records and tables."""

import dataclasses
import math
import statistics


@dataclasses.dataclass
class Case:
    slug: str
    systems: list  # in the order in which they run
    metrics: dict  # name -> unit; the first is what the case is about, its name is ""
    limit: str = "limit"  # the system that ratio_to_limit refers to; "": there is none
    limits: dict = dataclasses.field(default_factory=dict)  # system -> those of which the best is
    group: str = ""  # of cases that share a summary
    peers: tuple = ()  # the systems of which the best is what ratio_to_peer refers to

    def limit_of(self, system, medians):
        """What this system is compared with, by the medians of the first metric; None: nothing."""
        return best_of(self.limits.get(system, [self.limit]), medians)


def records_of(suite, case, values):
    """A record per system and metric, with ratios of medians."""
    records = []
    limits = {s: case.limit_of(s, medians_of("", values)) for s in values}
    peer = best_of(case.peers, medians_of("", values))
    for metric, unit in case.metrics.items():
        medians = medians_of(metric, values)
        for system, median in medians.items():
            runs = values[system][metric]
            records.append({
                "suite": suite,
                "case": f"{case.slug}-{metric}" if metric else case.slug,
                "system": system,
                "unit": unit,
                "median": median,
                "min": min(runs),
                "runs": len(runs),
                "limit": limits[system],
                "ratio_to_limit": ratio(median, medians.get(limits[system])),
                "ratio_to_wire": ratio(median, medians.get("wire")),
                "peer": peer,
                "ratio_to_peer": ratio(median, medians.get(peer)),
                "values": runs,
            })
    return records


def best_of(systems, medians):
    """The system with the least of these medians of one case; None if there is none of them."""
    return min((s for s in systems if s in medians), key=medians.get, default=None)


def medians_of(metric, values):
    return {s: statistics.median(v[metric]) for s, v in values.items() if v.get(metric)}


def ratio(value, base):
    return round(value / base, 4) if base else None


def number(value):
    if value is None:
        return "-"
    digits = 2 if value < 100 else 1 if value < 10_000 else 0
    return f"{value:,.{digits}f}"


def ratios_shown(peers):
    """Keys of records and what a table calls them."""
    against_peer = {"ratio_to_peer": "x peer"} if peers else {}
    return {"ratio_to_limit": "x limit", **against_peer, "ratio_to_wire": "x wire"}


def table(case, records):
    """The table of one case: a row per system, the ratios of its first metric."""
    extra = [m for m in case.metrics if m]
    shown = ratios_shown(case.peers)
    head = ["system", "median", "min", *shown.values()]
    head += [f"{m} ({case.metrics[m]})" if case.metrics[m] else m for m in extra]
    head += ["limit"] if case.limits else []
    value = {(r["case"], r["system"]): r for r in records}
    rows = []
    for r in (r for r in records if r["case"] == case.slug):
        others = [value.get((f"{case.slug}-{m}", r["system"]), {}).get("median") for m in extra]
        numbers = [r["median"], r["min"], *(r[key] for key in shown), *others]
        rows.append([r["system"]] + [number(n) for n in numbers])
        if case.limits:
            rows[-1].append(r["limit"] or "-")
    title = f"{case.slug} ({case.metrics['']}"
    title += ")" if case.limit in ("", "limit") else f"; the limit is {case.limit})"
    return title + "\n" + aligned([head] + rows) + "\n"


def aligned(rows):
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(
        cell.ljust(w) if i == 0 else cell.rjust(w)
        for i, (cell, w) in enumerate(zip(r, widths))) for r in rows)


def geometric_mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def summaries(suite, cases, records):
    """A summary of each group that has more than one case."""
    groups = {}
    for case in cases:
        groups.setdefault(f"{suite} {case.group}".strip(), set()).add(case.slug)
    return "\n".join(summary(name, slugs, records) for name, slugs in groups.items()
                     if len(slugs) > 1 and any(r["case"] in slugs for r in records))


def summary(name, slugs, records):
    """Geometric means over some cases; each ratio over the cases that both have."""
    of_system = {}
    for r in records:
        if r["case"] in slugs:
            of_system.setdefault(r["system"], []).append(r)
    shown = ratios_shown(any(r["peer"] for its in of_system.values() for r in its))
    rows = [["system", *(word for name in shown.values() for word in (name, "cases"))]]
    for system, its_records in of_system.items():
        row = [system]
        for key in shown:
            ratios = [r[key] for r in its_records if r[key]]
            row += [number(geometric_mean(ratios)), str(len(ratios))]
        rows.append(row)
    return f"{name}: geometric means\n" + aligned(rows) + "\n"
