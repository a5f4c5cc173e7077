// A runtime in the loop of another.
#pragma once

#include <wire/reactor.hpp>

namespace wire::io {

namespace detail {
class backend;
}

/// One descriptor that stands for a whole runtime, to embed it in a loop of somebody else's: GLib,
/// libuv, sd-event, Asio, epoll. It is readable whenever runtime::run_once() has something to do: a
/// timer is due, another thread has sent something, a descriptor is ready, or wires are left over
/// from the last call. When it is readable the loop calls run_once(), and nothing else:
///
///     wire::io::pollable door(rt);
///     loop.when_readable(door.fd(), [&] { rt.run_once(); });
///
/// What the loop does on its own, outside wires, counts as well: a wire that it starts with
/// runtime::go() or wakes makes the descriptor readable. It may be watched for levels or for edges,
/// and be inside another epoll. If nothing is to be done, it is not readable; rarely it is once
/// without need. run_once() ends after about its budget, with ready wires left over if need be: a
/// loop with more to do than wires takes a small one. When the last wire has ended, as
/// runtime::size() tells, nothing happens any more; the loop goes on.
///
/// While it exists, run() must not be called (asserted), and no other on the same runtime be made
/// (asserted). A wire that only another wire could wake waits for ever: deadlocks are not reported.
class WIRE_API pollable : wire::detail::immovable {
public:
    /// Binds the runtime to this thread, as the first run() does, and makes the kernel objects.
    /// `rt` must have a reactor (asserted). On the runtime's own thread, outside run() (asserted).
    /// Throws std::system_error if a kernel object cannot be made.
    explicit pollable(runtime& rt);
    /// Take fd() out of the loop before. To let the wires end, call run() after it: the reactor's
    /// destructor cancels them. On the runtime's own thread; before the reactor ends (asserted).
    ~pollable();

    /// For reading only, always the same; stays the pollable's: neither read nor close it. A loop
    /// that closes what it watches is given a dup(2).
    [[nodiscard]] int fd() const noexcept { return fd_; }

private:
    runtime& runtime_;
    detail::backend& backend_;
    const int fd_;
};

}  // namespace wire::io
