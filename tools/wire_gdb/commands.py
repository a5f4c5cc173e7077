"""What a user types."""

import functools
import re

import gdb

from .frames import UNWINDER, go_to, print_groups, run_on
from .reading import all_runtimes, all_wires, fail, find, wires_of

STATES = ("ready", "running", "waiting", "finished")


def sentences(method):
    """What gdb refuses is told in a sentence, not in a Python traceback."""
    @functools.wraps(method)
    def wrapped(*args):
        try:
            return method(*args)
        except gdb.GdbError:
            raise
        except (gdb.error, gdb.MemoryError, RuntimeError) as error:
            return fail(f"The wires cannot be read: {error}")
    return wrapped


class InfoWires(gdb.Command):
    """The wires of this program: `info wires [-s STATE] [REGEX]`.

Of all runtimes, with name, state, what each waits for and for how long. In a core file that is the
time until its runtime looked at the clock last.
STATE is one of ready, running, waiting, finished. REGEX is searched for in names and reasons.
Works on a live process and on a core file. See also `help wire`."""

    def __init__(self):
        super().__init__("info wires", gdb.COMMAND_STATUS)

    @sentences
    def invoke(self, argument, from_tty):
        wanted, pattern = self.parse(gdb.string_to_argv(argument))
        runtimes = all_runtimes()
        if not runtimes:
            print("No wires: the program has no runtime at this moment.")
        for runtime in runtimes:
            wires = wires_of(runtime)
            shown = [w for w in wires if wanted in (None, w.state)
                     and (pattern.search(w.name) or pattern.search(w.reason))]
            few = f", {len(shown)} of them shown" if len(shown) < len(wires) else ""
            print(f"{runtime}: {len(wires)} wire{'s' if len(wires) != 1 else ''}{few}")
            if shown:
                self.table(shown)

    @staticmethod
    def parse(words):
        wanted = None
        if words and words[0] == "-s":
            wanted = words[1] if len(words) > 1 else ""
            if wanted not in STATES:
                fail(f"-s is followed by a state: {', '.join(STATES)}.")
            words = words[2:]
        if len(words) > 1:
            fail("Usage: info wires [-s STATE] [REGEX]")
        try:
            return wanted, re.compile(words[0] if words else "")
        except re.error as error:
            return fail(f"{words[0]!r} is no regular expression: {error}.")

    @staticmethod
    def table(wires):
        rows = [("Id", "State", "Name", "Waits for", "For")]
        rows += [(w.id, w.state, w.name, w.reason, w.waited) for w in wires]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        marks = [" "] + ["*" if UNWINDER.wire and UNWINDER.wire.address == w.address else " "
                         for w in wires]
        for mark, row in zip(marks, rows):
            print(f"{mark} " + "  ".join(c.ljust(n) for c, n in zip(row, widths)).rstrip())

    def complete(self, text, word_):
        words = text.split()
        if words[-1:] == ["-s"] or (words[-2:-1] == ["-s"] and not text.endswith(" ")):
            return [s for s in STATES if s.startswith(word_ or "")]
        return ["-s"] if not words else gdb.COMPLETE_NONE


class WireCommand(gdb.Command):
    """Selects a wire, or runs a command on wires.

wire ID                         its frames are those that bt, frame, up and info locals show
wire ID COMMAND                 runs COMMAND there, for example `wire 3 bt`
wire apply all COMMAND          on each wire; `bt` shows equal stacks once
wire apply ID... COMMAND        on some: 1 2 5-9
wire off                        the threads' own frames again

IDs are those of `info wires`: NUMBER, or RUNTIME.NUMBER if there are several runtimes. The first
frame of a parked wire is number 1; number 0 stands for its thread. A wire stays selected until the
program goes on."""

    def __init__(self):
        super().__init__("wire", gdb.COMMAND_STACK)

    @sentences
    def invoke(self, argument, from_tty):
        first, _, rest = argument.strip().partition(" ")
        if not first:
            print(f"Selected: {UNWINDER.wire}." if UNWINDER.wire else
                  "No wire is selected. Usage: wire ID [COMMAND], wire apply all bt, wire off")
        elif first == "apply":
            self.apply(rest.strip())
        elif first == "off":
            UNWINDER.select(None)
        elif rest.strip():
            print(run_on(find(first), rest.strip()), end="")
        else:
            self.select(find(first))

    @staticmethod
    def select(wire):
        if wire.why_no_frames:
            fail(f'Wire {wire.id} "{wire.name}": {wire.why_no_frames}.')
        go_to(wire)
        print(f"[{wire.title}]")
        gdb.execute("frame")

    @staticmethod
    def apply(text):
        usage = "Usage: wire apply all COMMAND, or wire apply ID... COMMAND"
        words = text.split()
        count = 1 if words[:1] == ["all"] else next(
            (i for i, w in enumerate(words) if not re.fullmatch(r"[\d.-]+", w)), len(words))
        ids, command = words[:count], " ".join(words[count:])
        if not ids or not command:
            fail(usage)
        wires = all_wires() if ids == ["all"] else [w for i in ids for w in some(i)]
        if command in ("bt", "backtrace", "where"):
            return print_groups(wires)
        for wire in wires:
            print(f"\n{wire.title}:\n{run_on(wire, command)}", end="")
        return None

    @sentences
    def complete(self, text, word_):
        words = text.split()[:-1] if word_ else text.split()
        if words[:1] == ["apply"]:
            options = ["all"] if len(words) == 1 else ["bt"]
        elif words:
            options = ["bt"]
        else:
            options = ["apply", "off"] + [w.id for w in all_wires()[:200]]
        return [o for o in options if o.startswith(word_ or "")]


def some(text):
    """The wires of "5", "2.5", "5-9" or "2.5-9"."""
    if "-" not in text:
        return [find(text)]
    parts = re.fullmatch(r"(?:(\d+)\.)?(\d+)-(\d+)", text)
    if not parts:
        fail(f"{text} is no range of wires: write 5-9, or 2.5-9 for those of runtime 2.")
    runtime, begin, end = parts[1], int(parts[2]), int(parts[3])
    return [w for w in all_wires() if begin <= w.number <= end
            and runtime in (None, str(w.runtime.number))]
