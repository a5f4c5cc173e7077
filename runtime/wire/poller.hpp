// The contract between a runtime and whatever it sleeps in.
#pragma once

#include <cstdint>

#include <wire/deadline.hpp>

namespace wire {

/// Where a runtime sleeps when no wire is ready. A reactor implements it with epoll, a test with a
/// virtual clock; without any a runtime sleeps on a futex. Given to a runtime by runtime::attach().
///
/// bind(), poll(), rest() and armed() are called on the runtime's thread, outside any wire; now()
/// there too, and also on wires, on their small stacks; notify() on any thread. None may call into
/// the runtime, but poll() wakes its wires, and all may use a remote.
class WIRE_API poller : detail::immovable {
public:
    virtual ~poller();

    /// Called once before the first poll(), and again if it threw. Throws std::system_error if a
    /// kernel object cannot be made.
    virtual void bind() {}

    /// Wakes the wires whose events have come. If there are none, sleeps until one comes, notify()
    /// is called, or `until` passes; a passed `until` means: look, don't sleep. May return early.
    /// What it throws comes out of run(), which may then be called again.
    virtual void poll(deadline until) = 0;

    /// Called before the runtime rests in the loop of another (see io::pollable), in place of a
    /// poll() that sleeps: has that loop call run_once() when `until` passes, an event comes or
    /// notify() is called. Returns false if an event may have come already; poll() follows then.
    /// Throws as poll() does. Asserts that the poller can do so: the library's reactors.
    virtual bool rest(deadline until);

    /// Ends a poll() that sleeps, or makes the next one that would sleep return at once. Any
    /// thread, any number of times; must not block. When runtime::attach() has taken the poller
    /// away, no thread is inside any more.
    virtual void notify() noexcept = 0;

    /// Whether an event may still come for a wire. While this holds, waiting wires are no deadlock,
    /// and poll() is called, without sleeping, also while wires are ready.
    [[nodiscard]] virtual bool armed() const noexcept = 0;

    /// Nanoseconds of the clock that deadlines refer to: the steady clock, unless has_clock().
    ///
    /// A clock of one's own may stand still while wires run, but poll() must advance it: by its
    /// return either an event or a notify() has come, or now() has reached `until`. Timers do not
    /// fire while it stands still. A wire that only yields would then keep run_once() and the end
    /// of a runtime for ever, so these also end by the steady clock: run_once() after 200 ms, the
    /// end of a runtime after runtime_options::drain or 200 ms, whichever is longer.
    [[nodiscard]] virtual std::int64_t now() const noexcept;
    /// Whether now() is a clock of its own, which `within` must then ask. Always the same answer.
    [[nodiscard]] virtual bool has_clock() const noexcept { return false; }
};

namespace detail {
/// The poller of the runtime whose wire runs on this thread; asserts that there is one.
WIRE_API poller& current_poller(const char* sentence) noexcept;
}  // namespace detail

}  // namespace wire
