// Wires that hold their thread for too long are named, with a backtrace.
#pragma once

#include <chrono>

#include <wire/runtime.hpp>

namespace wire::io {

namespace detail {
struct watched_runtime;
}

/// While one exists, a wire of the runtime that holds the thread for longer than `limit` without
/// giving way, be it that it computes or blocks in a system call, is told in diagnostics of the
/// kind `stall`: which it is, for how long it has held the thread, how much of that on the
/// processor, and where it is; once, and again when it has given the thread back:
///
///     wire 7 "echo" has held thread 4711 for 104.2 ms, 0.1 ms of them on the processor:
///       #0 read+0x4d (libc.so.6+0xfb21d)
///       #1 load_table(char const*)+0x52 (server+0x41b2)
///     wire 7 "echo" gave thread 4711 back after 250.6 ms
///
/// A turn of 1.5 * `limit` is never missed, one below `limit` never told. Times count from when the
/// watch has first seen the wire, up to `limit` / 2 after it began. Time in which the whole process
/// was stopped, by a debugger or SIGSTOP, or the machine slept, does not count. Functions have
/// names if they are in a dynamic symbol table (link the program with -rdynamic); else
/// `addr2line -e server 0x41b2` says them.
///
/// One thread, named "wire stalls", watches all runtimes of the process that have such an object.
/// It looks every `limit` / 2 (the shortest counts), sleeps when no runtime has run wires for eight
/// such times, and says everything: the diagnostics handler runs on it. The wires' thread pays two
/// stores for each turn that it gives to all of its ready wires, and nothing at a switch. What is
/// left to say when a watch ends, its destructor says.
///
/// For the backtrace the held thread gets one signal, SIGURG, which the process then has a handler
/// for; who has set another before still gets those that others send. The handler uses SA_RESTART:
/// most blocking calls go on. Those that signal(7) lists as never restarted (sleep, poll, select,
/// epoll_wait, semop, sockets with SO_RCVTIMEO and others) fail with EINTR or end early, once for
/// each stall. A thread that has SIGURG blocked, or hangs in the kernel and takes no signal, is
/// told a second later, without name and backtrace.
class WIRE_API stall_watch : wire::detail::immovable {
public:
    /// Begins to watch the runtime, which then belongs to this thread, as after run(). Gives the
    /// thread an alternate signal stack if it has none. Asserts that `limit` is a millisecond or
    /// more, and that the runtime has no other watch. Throws std::system_error if a thread or a
    /// handler cannot be made, or as run() does. On the runtime's own thread, not in a wire.
    stall_watch(runtime& rt, std::chrono::nanoseconds limit);
    /// Before the runtime's end, on its own thread.
    ~stall_watch();

private:
    detail::watched_runtime* watched_;
};

}  // namespace wire::io
