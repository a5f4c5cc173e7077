#!/usr/bin/env python3
"""Demands that the compiler refuses what a header refuses, with its sentence.

    refused.py TEXT SOURCE COMPILER [FLAG...]

Passes if SOURCE compiles, and does not with -DREFUSED, and the compiler says TEXT then.
"""
import subprocess
import sys


def main():
    text, source, *compiler = sys.argv[1:]
    for flags, refused in (([], False), (['-DREFUSED'], True)):
        run = subprocess.run(compiler + flags + ['-fsyntax-only', source], capture_output=True,
                             text=True)
        if (run.returncode != 0) != refused or refused and text not in run.stderr:
            print(run.stderr[-4000:])
            return 'exit code %d with %s' % (run.returncode, flags or 'no flags')
    return 0


sys.exit(main())
