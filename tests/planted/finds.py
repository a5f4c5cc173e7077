#!/usr/bin/env python3
"""Runs a program with a planted bug under the tool that must find it.

    finds.py TEXT PROGRAM [WRAPPER...]

Passes if PROGRAM (after WRAPPER, such as valgrind with its options) fails and says TEXT, and if
PROGRAM --without succeeds and does not: the tool finds the bug and nothing else.
"""
import subprocess
import sys


def main():
    text, program, *wrapper = sys.argv[1:]
    for arguments, bug in (([], True), (['--without'], False)):
        run = subprocess.run(wrapper + [program] + arguments, capture_output=True, text=True)
        found = run.returncode != 0 and text in run.stderr
        silent = run.returncode == 0 and text not in run.stderr
        if not (found if bug else silent):
            print(run.stderr[-4000:])
            return 'exit code %d, and "%s" was %s: expected the bug to be %s' % (
                run.returncode, text, 'said' if text in run.stderr else 'not said',
                'found' if bug else 'left out')
    return 0


sys.exit(main())
