#!/usr/bin/env python3
"""Prints what ninja must build for some suites of tests, a target a line.

    targets.py BUILD_FOLDER SUITE...
"""
import json
import os
import subprocess
import sys


def described(folder, what):
    said = subprocess.run(["meson", "introspect", f"--{what}", folder], check=True,
                          stdout=subprocess.PIPE).stdout
    return json.loads(said)


def main():
    folder, suites = sys.argv[1], {f"wire:{name}" for name in sys.argv[2:]}
    files = {t["id"]: t["filename"] for t in described(folder, "targets")}
    needed = {name for t in described(folder, "tests") if suites & set(t["suite"])
              for target in t["depends"] for name in files[target]}
    for name in sorted(needed):
        print(os.path.relpath(name, folder))


if __name__ == "__main__":
    main()
