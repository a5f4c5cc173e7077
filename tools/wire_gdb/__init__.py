"""Shows the wires of a program in gdb; see wire_gdb.py beside this folder."""

import gdb.unwinder

from .commands import InfoWires, WireCommand
from .frames import UNWINDER, WireFilter, saved_frame


def install():
    """Makes the commands known, once."""
    gdb.unwinder.register_unwinder(None, UNWINDER, replace=True)
    WireFilter()
    InfoWires()
    WireCommand()
    gdb.events.cont.connect(UNWINDER.let_go)
    gdb.events.exited.connect(UNWINDER.let_go)
    gdb.events.new_objfile.connect(lambda _event: saved_frame.cache_clear())
    gdb.events.clear_objfiles.connect(lambda _event: saved_frame.cache_clear())
