"""The frames of wires.

A parked wire is shown by an unwinder: it says that the caller of a thread's innermost frame is the
frame in which the wire is parked. So frame 0 is the thread's, and the wire's begin with frame 1.
That works in core files, too, where registers cannot be set.

The registers are those that Boost's ontop_fcontext has left on the wire's stack. Where it keeps
which is read from its code, since versions of Boost differ. x86-64 only.
"""

import bisect
import collections
import contextlib
import functools
import re
import struct

import gdb
import gdb.unwinder
from gdb.FrameDecorator import FrameDecorator

from .reading import fail, function_at, kept_place, read, word

FRAMES_MAX = 100  # of one wire
SCANNED_MAX = 16384  # bytes of a stack that are compared

SAVES = {"r12": b"\x4c\x89\x64\x24", "r13": b"\x4c\x89\x6c\x24", "r14": b"\x4c\x89\x74\x24",
         "r15": b"\x4c\x89\x7c\x24", "rbx": b"\x48\x89\x5c\x24", "rbp": b"\x48\x89\x6c\x24"}


@functools.lru_cache(maxsize=1)
def saved_frame():
    """Where ontop_fcontext keeps registers: offsets from the saved stack pointer. It begins with
    `lea -SIZE(%rsp), %rsp`, and stores each with `mov REGISTER, OFFSET(%rsp)`. Kept until other
    programs or libraries are loaded."""
    architecture = gdb.selected_inferior().architecture().name()
    if architecture != "i386:x86-64":
        fail(f"The frames of parked wires can be shown on x86-64 only, and this is {architecture}.")
    try:
        code = read(int(gdb.parse_and_eval("(unsigned long)&ontop_fcontext")), 80)
    except (gdb.error, gdb.MemoryError):
        code = b""
    begin = code.find(b"\x48\x8d\x64\x24")
    places = {name: code.find(store) for name, store in SAVES.items()}
    if begin < 0 or min(places.values()) < 0:
        fail("The frames of parked wires cannot be shown: Boost's ontop_fcontext is not found, or "
             "saves registers in a way that is not known here.")
    offsets = {name: code[place + 4] for name, place in places.items()}
    offsets["rip"] = 256 - code[begin + 4]
    return offsets


class ParkedUnwinder(gdb.unwinder.Unwinder):
    """Says that the frame of the selected wire called the innermost one of its thread."""

    def __init__(self):
        super().__init__("wire")
        self.wire = self.place = None
        self.registers = {}

    def select(self, wire):
        """The frames of `wire` from now on; the frames as they are, if None."""
        self.wire, self.registers = None, {}
        if wire and not wire.on_thread:
            offsets = saved_frame()
            data = read(wire.at, offsets["rip"] + 8)
            self.registers = {name: word(data, offset) for name, offset in offsets.items()}
            self.registers["rsp"] = wire.at + offsets["rip"] + 8
            frame = gdb.newest_frame()
            self.place = (int(frame.read_register("rsp")), frame.pc())
            self.wire = wire
        gdb.invalidate_cached_frames()

    def let_go(self, _event):
        """When the program goes on."""
        if self.wire:
            self.select(None)

    def __call__(self, pending):
        if not self.wire:
            return None
        sp, pc = pending.read_register("rsp"), pending.read_register("rip")
        if (int(sp), int(pc)) != self.place:
            return None
        info = pending.create_unwind_info(Here(gdb.Value(self.wire.at).cast(sp.type), pc))
        for name, value in self.registers.items():
            kind = pending.read_register(name).type
            info.add_saved_register(name, gdb.Value(value).cast(kind))
        return info


Here = collections.namedtuple("Here", "sp pc")
UNWINDER = ParkedUnwinder()


class PlainFrame(FrameDecorator):
    """Named as where gdb has no filters: without the types of parameters."""

    def function(self):
        return self.inferior_frame().name() or super().function()


class ParkedFrame(FrameDecorator):
    """Stands for the frame of the thread, which says nothing of the wire."""

    def function(self):
        return f"({UNWINDER.wire})"

    def _nothing(self):
        return None

    address = filename = line = frame_args = frame_locals = _nothing


INNER = re.compile(r"wire::detail::(jump|switch_to|scheduler::)|std::(__)?invoke")


class WireFilter:
    """Backtraces of wires end with their first function. Those of the selected wire begin where it
    called the scheduler, and leave std::invoke out; `bt -no-filters` shows all."""

    def __init__(self):
        self.name, self.priority, self.enabled = "wire", 100, True
        gdb.frame_filters[self.name] = self

    def filter(self, frames):
        parked = False
        for frame in frames:
            inner = frame.inferior_frame()
            name = inner.name() or ""
            if UNWINDER.wire and UNWINDER.place == self.place_of(inner):
                if not parked:
                    yield ParkedFrame(frame)
                parked = True
            elif name == "wire::detail::scheduler::wire_main":
                yield PlainFrame(frame)
                return
            elif not parked or not INNER.match(name):
                yield PlainFrame(frame)

    @staticmethod
    def place_of(frame):
        try:
            return int(frame.read_register("rsp")), frame.pc()
        except (gdb.error, ValueError):
            return None


@contextlib.contextmanager
def selected(wire):
    """The frames of a wire, for a while."""
    before = UNWINDER.wire
    with kept_place():
        try:
            go_to(wire)
            yield
        finally:
            UNWINDER.select(None)
    if before:
        go_to(before)


def go_to(wire):
    UNWINDER.select(None)
    if wire.runtime.thread:
        wire.runtime.thread.thread.switch()
    gdb.newest_frame().select()
    UNWINDER.select(wire)
    if not wire.on_thread:
        outer = gdb.newest_frame().older()
        while outer and outer.older() and INNER.match(outer.name() or ""):
            outer = outer.older()
        if outer:
            outer.select()


def run_on(wire, command):
    """Runs `command` on it and returns what that printed."""
    why_not = wire.why_no_frames
    if why_not:
        return why_not[0].upper() + why_not[1:] + ".\n"
    with selected(wire):
        try:
            return gdb.execute(limited(command), to_string=True)
        except gdb.error as error:
            return f"{error}\n"


def limited(command):
    """A damaged stack may seem to have no end."""
    return f"backtrace {FRAMES_MAX}" if command in ("bt", "backtrace", "where") else command


def code_ranges():
    text = gdb.execute("info files", to_string=True)
    found = re.findall(r"(0x[0-9a-f]+) - (0x[0-9a-f]+) is \.text", text)
    return sorted((int(begin, 16), int(end, 16)) for begin, end in found)


def looks(wire, ranges):
    """What two wires with equal backtraces have in common: the words on their stacks that point
    to code, and where they lie. Two with equal backtraces may still differ in it, by words that
    nobody uses any more."""
    begins = [begin for begin, _ in ranges]
    size = min(wire.address - wire.at, SCANNED_MAX) & ~7
    seen = [wire.address - wire.at]
    for i, (value,) in enumerate(struct.iter_unpack("<Q", read(wire.at, size))):
        k = bisect.bisect_right(begins, value) - 1
        if k >= 0 and value < ranges[k][1]:
            seen.append((i, value))
    return tuple(seen)


def frames_of(wire):
    with selected(wire):
        pcs, frame = [], gdb.newest_frame().older()
        while frame and len(pcs) < FRAMES_MAX:
            pcs.append(frame.pc())
            frame = frame.older()
    return tuple(pcs)


def grouped(wires):
    """Lists of wires with equal backtraces, and what is to be said of those without one."""
    ranges, by_looks, groups = code_ranges(), {}, {}
    for wire in wires:
        key = wire.why_no_frames or (wire.address if wire.on_thread else looks(wire, ranges))
        by_looks.setdefault(key, []).append(wire)
    for key, alike in by_looks.items():
        if isinstance(key, tuple):
            key = frames_of(alike[0])
        groups.setdefault(key, []).extend(alike)
    return sorted(groups.values(), key=len, reverse=True)


def print_groups(wires):
    for group in grouped(wires):
        if len(group) == 1:
            print(f"\n{group[0].title}:")
        else:
            print(f"\n{len(group)} wires: {', '.join(sorted({w.name for w in group})[:8])} "
                  f"({', '.join(w.id for w in group[:8])}{', ...' if len(group) > 8 else ''}):")
        text = run_on(group[0], "bt")
        print("\n".join(t for t in text.splitlines() if not t.startswith("#0  (wire ")))
