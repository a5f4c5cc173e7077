// A flag that wires wait for.
#pragma once

#include <wire/wait.hpp>

namespace wire {
namespace detail {
class event_branch;
}

/// Something that happens once for everybody who waits for it, until it is reset. For the wires of
/// one runtime; nothing here allocates. In libwire this was a wait with several waiters.
class WIRE_API event : detail::immovable {
public:
    /// Asserts that no wire waits.
    ~event();

    /// Makes ready all wires that wait, and lets await() return at once from now on.
    void set() noexcept;
    /// Lets await() wait again. Wires that set() has woken have been woken.
    void reset() noexcept { set_ = false; }
    [[nodiscard]] bool is_set() const noexcept { return set_; }

    /// Waits until it is set. Fails with ETIMEDOUT or ECANCELED. Call from a wire.
    result<void> await(deadline until = never) noexcept;

private:
    friend class event_wait;
    friend class detail::event_branch;
    detail::list<detail::waiter> waiting_;
    bool set_ = false;
};

/// Waits for an event, in a list with others. It is triggered once the event is set; reset() of the
/// wait triggers it at once if it still is. Must be gone before the event is.
class WIRE_API event_wait : public detail::placed_wait {
public:
    explicit event_wait(event& e) noexcept;

private:
    bool enter() noexcept override;
    event& event_;
};

}  // namespace wire
