#!/usr/bin/env python3
"""Checks that a fuzz target crashes: by an access that it must not make.

    crashes.py PROGRAM ARGUMENT...
"""
import os
import signal
import subprocess
import sys
import tempfile

FAULTS = (-signal.SIGSEGV, -signal.SIGBUS)
REPORTS = ("SEGV", "stack-buffer-overflow", "heap-buffer-overflow", "unknown-crash")


def main():
    command = [os.path.abspath(sys.argv[1]), *sys.argv[2:]]
    with tempfile.TemporaryDirectory() as folder:  # for the input that it was
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True,
                             errors="replace")
    if run.returncode in FAULTS or any(text in run.stderr for text in REPORTS):
        return
    sys.exit(f"it ended with {run.returncode}, without a fault\n{run.stdout}{run.stderr}")


main()
