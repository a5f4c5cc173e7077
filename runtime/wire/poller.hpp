// The contract between a runtime and whatever it sleeps in.
#pragma once

#include <cstdint>

#include <wire/deadline.hpp>

namespace wire {

/// Where a runtime sleeps when no wire is ready. A reactor implements it with epoll or io_uring,
/// a test with a virtual clock; without any a runtime sleeps on a futex.
///
/// All calls but notify() come from the runtime's own thread, outside any wire.
class WIRE_API poller {
public:
    poller() = default;
    virtual ~poller();
    poller(const poller&) = delete;
    poller& operator=(const poller&) = delete;

    /// Called once, on the runtime's thread, before the first poll(). Throws std::system_error if a
    /// kernel object cannot be made.
    virtual void bind() {}

    /// Wakes the wires whose events have come. If there are none, sleeps until one comes, notify()
    /// is called, or `until` passes; a passed `until` means: look, don't sleep. May return early.
    virtual void poll(deadline until) = 0;

    /// Ends a poll() that sleeps, or makes the next one return at once. Any thread.
    virtual void notify() noexcept = 0;

    /// Whether an event may still come for a wire. While this holds, waiting wires are no deadlock,
    /// and poll() is called even if nothing sleeps.
    [[nodiscard]] virtual bool armed() const noexcept = 0;

    /// Nanoseconds of the clock that deadlines refer to; the steady clock unless a test replaces
    /// it.
    [[nodiscard]] virtual std::int64_t now() const noexcept;
    /// Whether now() is a clock of its own, which `within` must then ask.
    [[nodiscard]] virtual bool has_clock() const noexcept { return false; }
};

namespace detail {
/// The poller of the runtime whose wire runs on this thread; asserts that there is one.
WIRE_API poller& current_poller(const char* sentence) noexcept;
}  // namespace detail

}  // namespace wire
