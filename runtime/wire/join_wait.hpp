// The end of a wire, as one of several things to wait for.
#pragma once

#include <wire/spawn.hpp>
#include <wire/wait.hpp>

namespace wire {

/// Triggered when a wire has ended: then its handle's join() does not block. The handle may go on
/// as it likes: whatever becomes of it, this is triggered when the wire ends. Must be gone before
/// the runtime is.
class WIRE_API join_wait : public detail::placed_wait {
public:
    /// Asserts that `h` has a wire.
    template <class R>
    explicit join_wait(const handle<R>& h) noexcept : join_wait(h.ref()) {}

private:
    explicit join_wait(const wire_ref& wire) noexcept;
    bool enter() noexcept override;
    const wire_ref wire_;
};

}  // namespace wire
