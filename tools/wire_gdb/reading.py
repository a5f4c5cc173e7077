"""Reads the wires of a program out of its memory.

The members of the library's classes are looked up in its debug information, so this fits each
version that still has their names. The runtimes are found through all_runtimes of
runtime/scheduler.cpp.

Whatever is read may be damaged. Counts are bounded, and a control block must point back to its slot
and its runtime.
"""

import collections
import contextlib
import struct
import time

import gdb

SLOTS_MAX = 1 << 26

NO_LIBWIRE = ("No wires: this program has no libwire, or a stripped copy of it that was linked "
              "statically. Load the unstripped program with `file`.")
STRIPPED = ("libwire is here without its debug information, so its wires cannot be read. Install "
            "its -dbgsym package, or build it with -g and do not strip it (-O2 does no harm).")


def fail(sentence):
    raise gdb.GdbError(sentence)


def read(address, size):
    return gdb.selected_inferior().read_memory(address, size).tobytes()


def word(data, offset):
    return struct.unpack_from("<Q", data, offset)[0]


def signed(data, offset):
    return struct.unpack_from("<q", data, offset)[0]


def read_text(address, size):
    """A C string of at most so many bytes, fit for printing."""
    for length in (size, -address % 4096):  # it may end where what is mapped does
        with contextlib.suppress(gdb.MemoryError):
            if length:
                return printable(read(address, length))
    return "(unreadable)"


def printable(data):
    text = data.split(b"\0")[0].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


class Layout:
    """Where the members of the library's classes lie."""

    def __init__(self):
        self.sizes = {}
        self.fiber = self.members("fiber", "home", "slot", "memory.base", "memory.top", "ctx.at",
                                  "ctx.first", "waits_for", "since", "state", "id", "detached",
                                  "name", "shape")
        self.scheduler = self.members("scheduler", "running_", "shared_", "now_", "thread_id_",
                                      "own_clock_")
        self.shared = self.members("shared_state", "wires.chunks_", "wires.chunks_used_",
                                   "wires.size_")
        self.slot = self.members("wire_slot", "wire")
        self.shape = self.members("task_shape", "run")
        states = self.type("fiber_state").fields()
        self.states = {f.enumval: f.name.rsplit("::")[-1] for f in states}

    @staticmethod
    def type(name):
        try:
            found = gdb.lookup_type("wire::detail::" + name).strip_typedefs()
            if found.fields():
                return found
        except gdb.error:
            pass
        return fail(STRIPPED)

    def members(self, name, *paths):
        whole = self.type(name)
        self.sizes[name] = whole.sizeof
        offsets = {}
        for path in paths:
            offset, part = 0, whole
            for step in path.split("."):
                found = self.member(part, step)
                if not found:
                    fail(f"This wire_gdb.py does not fit this libwire: wire::detail::{name} has "
                         f"no {path}. Use the one that was installed with it.")
                offset, part = offset + found[0], found[1].strip_typedefs()
            offsets[path] = offset
        return offsets

    @classmethod
    def member(cls, part, name):
        for field in part.fields():
            if not hasattr(field, "bitpos"):
                continue  # static
            at = field.bitpos // 8
            if field.name == name:
                return at, field.type
            if field.is_base_class:
                found = cls.member(field.type.strip_typedefs(), name)
                if found:
                    return at + found[0], found[1]
        return None


class Wire:
    def __init__(self, runtime, data, layout, address):
        at = layout.fiber
        self.runtime = runtime
        self.address = address
        self.number = word(data, at["id"])
        self.name = printable(data[at["name"]:at["name"] + 32]) or "wire"
        self.at = word(data, at["ctx.at"])
        self.first = word(data, at["ctx.first"])
        self.low, self.top = word(data, at["memory.base"]), word(data, at["memory.top"])
        self.shape = word(data, at["shape"])
        self.detached = data[at["detached"]] != 0
        self.since = signed(data, at["since"])
        self.state = layout.states.get(data[at["state"]])
        if self.state == "active":
            self.state = "running" if runtime.running == address else "ready"
        waits = self.state == "waiting"
        self.reason = read_text(word(data, at["waits_for"]), 64) if waits else ""
        self.executes = runtime.thread is not None and self.low <= runtime.thread.sp < self.top

    @property
    def exists(self):
        return self.number != 0 and not (self.state == "finished" and self.detached)

    @property
    def id(self):
        return f"{self.runtime.number}.{self.number}" if self.runtime.several else str(self.number)

    def __str__(self):
        does = f"waits for {self.reason}" if self.reason else {
            "running": "runs", "ready": "is ready"}.get(self.state, "has ended")
        return f'wire {self.id} "{self.name}" {does}'

    @property
    def title(self):
        return "W" + str(self)[1:]

    @property
    def waited(self):
        now = self.runtime.now
        return f"{max(now - self.since, 0) / 1e9:.3f} s" if self.reason and now else ""

    @property
    def on_thread(self):
        """Whether its frames are those of its thread."""
        return self.executes or self.state == "running"

    @property
    def why_no_frames(self):
        """Why it cannot be unwound; None if it can."""
        if self.on_thread:
            if not self.runtime.thread:
                return "it runs, on a thread that gdb does not show"
        elif self.state == "finished":
            return "it has ended and has no frames"
        elif not (self.low <= self.at < self.top) or self.at % 8:
            return (f"it cannot be unwound: its saved stack pointer {self.at:#x} is not in its "
                    f"stack {self.low:#x}-{self.top:#x}, its control block must be damaged")
        elif "wire_main" in function_at(self.first):
            run = word(read(self.shape + self.runtime.layout.shape["run"], 8), 0)
            return f"it has not started yet; it will run {function_at(run) or hex(run)}"
        return None


def function_at(address):
    """The function whose code is there, and not what is inlined in it."""
    name = ""
    try:
        block = gdb.block_for_pc(address)
    except (gdb.error, RuntimeError):
        return name
    while block:
        name = block.function.name if block.function else name
        block = block.superblock
    return name


@contextlib.contextmanager
def kept_place():
    """Returns to the selected thread and frame."""
    thread = gdb.selected_thread()
    try:
        level = gdb.selected_frame().level() if thread else 0
    except gdb.error:
        level = 0
    try:
        yield
    finally:
        if thread and thread.is_valid():
            thread.switch()
            with contextlib.suppress(gdb.error):
                gdb.execute(f"frame {level}", to_string=True)


Thread = collections.namedtuple("Thread", "thread sp pc")


def all_threads():
    """The threads, by what pthread_self() returns on them. gdb needs no libthread_db for that."""
    found = {}
    with kept_place():
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            frame = gdb.newest_frame()
            with contextlib.suppress(ValueError, gdb.error):
                self_address = int(frame.read_register("fs_base"))
                found[self_address] = Thread(thread, int(frame.read_register("rsp")), frame.pc())
    return found


class Runtime:
    def __init__(self, number, address, layout, threads):
        self.number, self.address, self.layout, self.several = number, address, layout, False
        data = read(address, layout.sizes["scheduler"])
        at = layout.scheduler
        self.running = word(data, at["running_"])
        self.shared = word(data, at["shared_"])
        self.thread = threads.get(word(data, at["thread_id_"]))
        self.now = signed(data, at["now_"])
        connection = getattr(gdb.selected_inferior(), "connection", None)
        if data[at["own_clock_"]]:
            self.now = 0  # not the clock of wires that wait
        elif connection and connection.type == "native":
            self.now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self.damaged = self.missing = 0

    def wires(self):
        data = read(self.shared, self.layout.sizes["shared_state"])
        at = self.layout.shared
        used, size = word(data, at["wires.chunks_used_"]), word(data, at["wires.size_"])
        if used > 40 or size > SLOTS_MAX or (used and size % ((1 << used) - 1)):
            fail(f"Runtime {self.number}: its table of wires is damaged ({used} chunks, "
                 f"{size} slots).")
        self.damaged = self.missing = 0
        for i in range(used):
            yield from self.chunk(word(data, at["wires.chunks_"] + 8 * i),
                                  (size // ((1 << used) - 1)) << i)

    def chunk(self, begin, slots):
        step = self.layout.sizes["wire_slot"]
        try:
            data = read(begin, slots * step)
        except gdb.MemoryError:
            self.missing += slots
            return
        for i in range(slots):
            address = word(data, i * step + self.layout.slot["wire"])
            if address:
                wire = self.wire(address, begin + i * step)
                if wire and wire.exists:
                    yield wire

    def wire(self, address, slot):
        """The wire whose control block is there; None if it is none."""
        try:
            data = read(address, self.layout.sizes["fiber"])
        except gdb.MemoryError:
            self.missing += 1
            return None
        at = self.layout.fiber
        if word(data, at["slot"]) == slot and word(data, at["home"]) == self.address:
            wire = Wire(self, data, self.layout, address)
            if wire.state:
                return wire
        self.damaged += 1
        return None

    def __str__(self):
        if not self.thread:
            return f"Runtime {self.number}, on no thread that gdb shows"
        return f"Runtime {self.number}, thread {self.thread.thread.num} (LWP " \
               f"{self.thread.thread.ptid[1] or self.thread.thread.ptid[2]})"


def has_libwire():
    names = gdb.execute("info functions -q ^wire::yield", to_string=True)
    return "wire::yield" in names


def all_runtimes():
    if not gdb.selected_inferior().threads():
        fail("No wires: there is no process. Attach to one, or load a core file with `core`.")
    symbol = gdb.lookup_global_symbol("wire::detail::all_runtimes")
    if not symbol:
        fail(STRIPPED if has_libwire() else NO_LIBWIRE)
    layout, table = Layout(), symbol.value()
    data = read(int(table.address), table.type.sizeof)
    threads = all_threads()
    runtimes = []
    for i in range(0, len(data), 8):
        if word(data, i):
            try:
                runtimes.append(Runtime(i // 8 + 1, word(data, i), layout, threads))
            except gdb.MemoryError:
                print(f"Runtime {i // 8 + 1} cannot be read: there is nothing at "
                      f"{word(data, i):#x}.")
    for runtime in runtimes:
        runtime.several = len(runtimes) > 1
    return runtimes


def wires_of(runtime):
    """A list, and a line where it is not complete."""
    wires = []
    try:
        wires.extend(runtime.wires())
    except gdb.MemoryError as error:
        print(f"Runtime {runtime.number}: its wires cannot be read: {error}.")
    except gdb.GdbError as error:
        print(error)
    if runtime.damaged:
        print(f"Runtime {runtime.number}: {runtime.damaged} of its wires left out, since their "
              "control blocks are damaged.")
    if runtime.missing:
        print(f"Runtime {runtime.number}: {runtime.missing} of its wires left out, since their "
              "memory cannot be read. (A core file that gdb has written, by gcore or "
              "generate-core-file, lacks the stacks where their guards are those of Linux 6.13: "
              "let the kernel write it, by `kill -ABRT`.)")
    return sorted(wires, key=lambda w: w.number)


def all_wires():
    return [w for runtime in all_runtimes() for w in wires_of(runtime)]


def find(text):
    wires = [w for w in all_wires() if text in (w.id, f"{w.runtime.number}.{w.number}")]
    if not wires:
        fail(f"There is no wire {text}; see `info wires`.")
    return wires[0]
