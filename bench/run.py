#!/usr/bin/env python3
"""Runs benchmark suites and compares wire with the machine's limits and with its peers.

    meson setup build -Dbench=enabled --buildtype=release && meson compile -C build
    bench/run.py core net

The systems of a case run in turn (A B C A B C ...), each as a process of its own on fixed cores, so
that whatever else the machine does hits all of them. Prints a table per case and writes
<build>/bench/results.json. README.md says what the suites measure.
"""

import argparse
import importlib.util
import json
import pathlib
import signal
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import goals  # noqa: E402
import machine  # noqa: E402
import report  # noqa: E402


def suite_names():
    return sorted(p.parent.name for p in HERE.glob("*/suite.py"))


def load_suite(name, settings):
    spec = importlib.util.spec_from_file_location(f"suite_{name}", HERE / name / "suite.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Suite(settings)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="+", metavar="SUITE", choices=suite_names(),
                        help="one of: " + ", ".join(suite_names()))
    parser.add_argument("--rounds", type=int, help="runs of each system (default 5; quick: 2)")
    parser.add_argument("--quick", action="store_true", help="short runs, for a first look")
    parser.add_argument("--build", type=pathlib.Path, default=HERE.parent / "build",
                        help="the build directory (default: build)")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases with TEXT in their name")
    parser.add_argument("--systems", help="only these, separated by commas")
    parser.add_argument("--cores", help="two cores to use, such as 0,1 (default: the first two)")
    return parser.parse_args()


def wanted(case, arguments):
    if arguments.only not in case.slug:
        return []
    chosen = arguments.systems.split(",") if arguments.systems else case.systems
    return [s for s in case.systems if s in chosen]


def measure_case(suite, case, systems, rounds):
    """The values of every system and metric: {system: {metric: [value of each round]}}."""
    values = {s: {} for s in systems}
    for round_number in range(rounds):
        for system in list(values):
            try:
                measured = suite.measure(case, system, round_number)
            except machine.Failed as problem:
                print(f"  FAILED {system} {case.slug}: {problem}", flush=True)
                del values[system]
                continue
            for metric, value in measured.items():
                values[system].setdefault(metric, []).append(value)
    return values


def run_suite(name, settings, arguments):
    suite = load_suite(name, settings)
    for line in suite.notes():
        print(line)
    records, complete = [], True
    for case in suite.cases():
        systems = wanted(case, arguments)
        if not systems:
            continue
        values = measure_case(suite, case, systems, settings.rounds)
        complete = complete and len(values) == len(systems)
        new = report.records_of(name, case, values)
        print(report.table(case, new), flush=True)
        records += new
    print(report.summaries(name, suite.cases(), records), flush=True)
    return records, complete


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and what was started is stopped
    arguments = parse_arguments()
    settings = machine.Settings(arguments)
    print(machine.describe(settings))
    records, complete = [], True
    for name in arguments.suites:
        new, fine = run_suite(name, settings, arguments)
        records += new
        complete = complete and fine
    print(goals.table(records))
    output = settings.programs / "results.json"
    output.write_text(json.dumps(records, indent=1) + "\n")
    print(f"{len(records)} records in {output}")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
