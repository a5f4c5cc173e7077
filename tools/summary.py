#!/usr/bin/env python3
"""Says what came of the stages of test.sh; the last line is "N passed, N failed".

    summary.py FOLDER

FOLDER/stages has a line "SECONDS VERDICT KIND NAME" for each stage. Of these kinds, a `build`
counts if it failed, a `check` as one test, and `tests` as FOLDER/NAME.json tells, a log of Meson: a
doctest or unittest program counts with its test cases, any other program as one test. A stage that
failed without a failed test counts as one. What was skipped is listed and counts as neither.

The exit status is 0 if something passed and nothing failed.
"""
import json
import pathlib
import re
import sys

DOCTEST = re.compile(r"^\[doctest\] test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed", re.M)
DOCTEST_CASE = re.compile(r"^TEST CASE:  (.*?)\n(.*?)^={79}$", re.M | re.S)
DOCTEST_ERROR = re.compile(r": (?:FATAL )?ERROR: ")
UNITTEST = re.compile(r"^Ran (\d+) tests? in ", re.M)
UNITTEST_SIDE = re.compile(r"\b(failures|errors|skipped)=(\d+)")
UNITTEST_ERROR = re.compile(r"^(?:FAIL|ERROR): (\w+)", re.M)
LEFT_OUT = re.compile(r"MESSAGE: left out: (.*)")


def count_cases(output):
    """(passed, failed, skipped) of a doctest or unittest program."""
    passed = failed = skipped = 0
    for good, bad in DOCTEST.findall(output):
        passed, failed = passed + int(good), failed + int(bad)
    if ran := UNITTEST.search(output):
        side = {what: int(n) for what, n in UNITTEST_SIDE.findall(output[ran.end():])}
        failed += side.get("failures", 0) + side.get("errors", 0)
        skipped += side.get("skipped", 0)
        passed += int(ran[1]) - failed - skipped
    return passed, failed, skipped


def failed_cases(output):
    cases = [name for name, said in DOCTEST_CASE.findall(output) if DOCTEST_ERROR.search(said)]
    return cases + UNITTEST_ERROR.findall(output)


def read_program(record):
    """(how many tests passed, names of the failed, what was skipped) of one test program."""
    name, result = record["name"].rpartition(" / ")[2], record["result"]
    output = record.get("stdout", "") + record.get("stderr", "")
    if result == "SKIP":
        return 0, [], [f"{name}: {(output.splitlines() or ['all of it'])[-1]}"]
    passed, failed, skipped = count_cases(output)
    left_out = [f"{name}: {why}" for why in sorted(set(LEFT_OUT.findall(output)))]
    if skipped:
        left_out.append(f"{name}: {skipped} of its tests")
    if result in {"OK", "EXPECTEDFAIL"}:
        return max(passed, 1), [], left_out
    names = failed_cases(output)
    unnamed = max(failed, 1) - len(names)  # one if it died or ran out of time
    names += [f"{result}, exit status {record.get('returncode')}"] * unnamed
    return passed, [f"{name}: {case}" for case in names], left_out


def read_stage(folder, verdict, kind, name):
    """The same of a stage."""
    passed, failed, skipped = int(kind == "check" and verdict == "ok"), [], []
    log = folder / f"{name}.json"
    if kind == "tests" and log.exists():
        for line in log.read_text(encoding="utf-8").splitlines():
            more = read_program(json.loads(line))
            passed, failed, skipped = passed + more[0], failed + more[1], skipped + more[2]
    if verdict != "ok" and not failed:
        failed = [f"see {folder / name}.log"]
    return passed, [f"{name}: {what}" for what in failed], [f"{name}: {what}" for what in skipped]


def main(folder):
    passed, failed, skipped = 0, [], []
    for line in (folder / "stages").read_text(encoding="utf-8").splitlines():
        seconds, verdict, kind, name = line.split(" ", 3)
        print(f"{seconds:>5} s  {verdict:<6}  {name}")
        more = read_stage(folder, verdict, kind, name)
        passed, failed, skipped = passed + more[0], failed + more[1], skipped + more[2]
    print(*[f"FAILED   {what}" for what in failed], sep="\n", end="\n" if failed else "")
    print(*[f"skipped  {what}" for what in skipped], sep="\n", end="\n" if skipped else "")
    print(f"{passed} passed, {len(failed)} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
