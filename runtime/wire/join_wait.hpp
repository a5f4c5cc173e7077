// The end of a wire, as one of several things to wait for.
#pragma once

#include <cstdint>

#include <wire/spawn.hpp>
#include <wire/wait.hpp>

namespace wire {

/// Triggered when a wire has ended: then its handle's join() does not block. The handle may go on
/// as it likes: whatever becomes of it, this is triggered when the wire ends. Must be gone before
/// the runtime is.
class WIRE_API join_wait : public detail::queued_wait {
public:
    /// Asserts that `h` has a wire.
    template <class R>
    explicit join_wait(const handle<R>& h) noexcept : join_wait(detail::fiber_of(h)) {}
    ~join_wait() { detach(); }

private:
    explicit join_wait(detail::fiber& f) noexcept;
    static const detail::wait_source source;
    detail::fiber& fiber_;
    const std::uint64_t id_;
    detail::waiter here_{*this};
};

}  // namespace wire
