"""Shows the wires of a program in gdb: of a live process and of a core file.

    info wires [-s STATE] [REGEX]       a line for each: state, name, what it waits for
    wire ID                             selects a wire: then bt, frame, up, info locals are its own
    wire ID COMMAND                     runs one command there: `wire 3 bt`
    wire apply all|ID... COMMAND        on several; `wire apply all bt` shows equal stacks once
    wire off                            back to what the threads really do

gdb loads it by itself where libwire.so is installed; otherwise: `source .../wire_gdb.py`. Memory is
only read, and no function of the program is called. The debug information of libwire is needed:
built with -g, at any optimisation, or its -dbgsym package.
"""

import os
import sys

if "wire_gdb" not in sys.modules:
    # Not __file__: that is the outer one's where a script sources this one.
    folder = os.path.dirname(os.path.abspath(sys._getframe().f_code.co_filename))
    sys.path.insert(0, folder)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        import wire_gdb
        wire_gdb.install()
    finally:
        sys.path.remove(folder)
        sys.dont_write_bytecode = before
