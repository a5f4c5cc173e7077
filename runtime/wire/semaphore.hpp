// A number of permits, which wires take and give back.
#pragma once

#include <cstddef>

#include <wire/wait.hpp>

namespace wire {

namespace detail {
class acquire_branch;
struct bounded_pool;
}  // namespace detail

/// Permits, handed out in the order of asking. A permit that is released goes straight to the wire
/// that has waited longest: nobody who comes later gets it. For the wires of one runtime; nothing
/// here allocates.
class WIRE_API semaphore : detail::immovable {
public:
    explicit semaphore(std::size_t permits) noexcept : free_(permits) {}
    /// Asserts that no wire waits.
    ~semaphore();

    /// Takes a permit, waiting for its turn. Fails with ETIMEDOUT or ECANCELED, and has taken none
    /// then. Call from a wire.
    result<void> acquire(deadline until = never) noexcept;
    /// Takes a permit if one is free; none is while somebody waits. Never suspends.
    [[nodiscard]] bool try_acquire() noexcept {
        if (free_ == 0) return false;
        --free_;
        return true;
    }
    /// Gives back `permits`, which need not have been taken before. Never suspends; on the
    /// runtime's own thread.
    void release(std::size_t permits = 1) noexcept;
    /// The permits that are free.
    [[nodiscard]] std::size_t available() const noexcept { return free_; }

private:
    friend class semaphore_wait;
    friend class detail::acquire_branch;
    friend struct detail::bounded_pool;
    int acquire_for(const char* what, deadline until) noexcept;
    // Invariant: if a permit is free, nobody waits.
    detail::list<detail::waiter> waiting_;
    std::size_t free_;
};

/// Waits for a permit, in a list with others: it is triggered when it has been given one. Whoever
/// wants that permit calls take(), and gives it back to the semaphore later; reset(), stop() and
/// the destructor give back one that nobody has taken. Must be gone before the semaphore is.
class WIRE_API semaphore_wait : public detail::placed_wait {
public:
    explicit semaphore_wait(semaphore& s) noexcept;
    ~semaphore_wait() override { semaphore_wait::leave(); }

    /// Makes the permit the caller's. Returns false if there is none: not triggered, triggered by
    /// wake() alone, or taken already.
    bool take() noexcept { return std::exchange(given, false); }

private:
    bool enter() noexcept override;
    void leave() noexcept override;
    semaphore& semaphore_;
};

}  // namespace wire
