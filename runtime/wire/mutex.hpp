// Mutual exclusion between wires.
#pragma once

#include <wire/detail/park.hpp>
#include <wire/detail/running.hpp>
#include <wire/result.hpp>

namespace wire {

/// A lock that one wire holds at a time, also while it is suspended. Wires that wait for it get it
/// in the order of asking: unlock() hands it to the first of them, so nobody who comes later can
/// overtake. For the wires of one runtime; nothing here allocates, and without contention lock and
/// unlock are a few instructions.
///
/// Between two calls that may block a wire is alone anyway: a mutex is needed only around code that
/// suspends. It meets the standard's Lockable, for std::lock_guard, unique_lock and scoped_lock.
///
/// A wire that locks it twice, or unlocks what it does not hold, is told so by an assertion.
class WIRE_API mutex : detail::immovable {
public:
    /// Asserts that no wire holds it or waits for it.
    ~mutex();

    /// Takes the lock, waiting for its turn. Cancellation does not end the wait, so it cannot fail.
    /// Call from a wire.
    void lock() noexcept {
        if (!try_lock()) [[unlikely]]
            lock_slowly();
    }
    /// The same with a deadline and cancellation: fails with ETIMEDOUT or ECANCELED, and does not
    /// hold the lock then. Call from a wire.
    result<void> lock(deadline until) noexcept;
    /// Takes the lock if nobody holds it; while somebody waits, somebody holds it. Never suspends.
    /// Returns false, and takes nothing, outside a wire.
    [[nodiscard]] bool try_lock() noexcept {
        if (owner_) return false;
        owner_ = detail::running_or_none();
        return owner_ != nullptr;
    }
    /// Gives the lock to the wire that has waited longest, if there is one. Never suspends. Asserts
    /// that the running wire holds it.
    void unlock() noexcept {
        if (!owner_ || owner_ != detail::running_or_none() || is_awaited()) [[unlikely]]
            return unlock_slowly();
        owner_ = nullptr;
    }

    /// Waits until nobody holds the lock or waits for it, at once if that is so, and does not take
    /// it: then all who came before have been served. As long as others keep coming it goes on
    /// waiting. Fails with ETIMEDOUT or ECANCELED. Call from a wire that does not hold the lock
    /// (asserted).
    result<void> wait_clear(deadline until = never) noexcept;

private:
    friend class condition_variable;
    [[nodiscard]] bool is_awaited() const noexcept {
        return !waiting_.empty() || !waiting_for_clear_.empty();
    }
    void lock_slowly() noexcept;
    void unlock_slowly() noexcept;
    void pass_on() noexcept;
    void give_to(detail::waiter& parked) noexcept;

    // Invariant: if nobody holds it, nobody waits for it.
    detail::fiber* owner_ = nullptr;
    detail::list<detail::waiter> waiting_;
    detail::list<detail::waiter> waiting_for_clear_;
};

}  // namespace wire
