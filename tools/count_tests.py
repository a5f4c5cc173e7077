#!/usr/bin/env python3
"""Prints "PASSED FAILED", summed over the testlog.json files of Meson given as arguments.

A doctest or unittest program counts with its test cases, any other program as one test. Skipped
tests count as neither.
"""
import json
import re
import sys

DOCTEST = re.compile(r"^\[doctest\] test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed", re.M)
UNITTEST = re.compile(r"^Ran (\d+) tests? in ", re.M)
UNITTEST_SIDE = re.compile(r"\b(failures|errors|skipped)=(\d+)")
GOOD = {"OK", "EXPECTEDFAIL"}


def count(record):
    """(passed, failed) of one test program."""
    good = record["result"] in GOOD
    output = record.get("stdout", "") + record.get("stderr", "")
    if record["result"] == "SKIP":
        return 0, 0
    passed = failed = 0
    for ok, bad in DOCTEST.findall(output):
        passed, failed = passed + int(ok), failed + int(bad)
    if ran := UNITTEST.search(output):
        side = {what: int(n) for what, n in UNITTEST_SIDE.findall(output[ran.end():])}
        failed += side.get("failures", 0) + side.get("errors", 0)
        passed += int(ran[1]) - failed - side.get("skipped", 0)
    if not good and failed == 0:
        failed = 1  # died or ran out of time
    if good and passed == 0:
        passed = 1
    return (passed, 0) if good else (passed, failed)


def main(logs):
    passed = failed = 0
    for log in logs:
        with open(log, encoding="utf-8") as lines:
            for line in lines:
                more_passed, more_failed = count(json.loads(line))
                passed, failed = passed + more_passed, failed + more_failed
    print(passed, failed)


if __name__ == "__main__":
    main(sys.argv[1:])
