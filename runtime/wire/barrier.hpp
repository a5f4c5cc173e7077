// A point that wires pass together.
#pragma once

#include <cstddef>

#include <wire/detail/park.hpp>
#include <wire/result.hpp>

namespace wire {

/// Holds wires up until so many have arrived, and lets them go on together; then it holds up the
/// next ones. For the wires of one runtime; nothing here allocates.
class WIRE_API barrier : detail::immovable {
public:
    /// Asserts that `wires` is at least 1.
    explicit barrier(std::size_t wires) noexcept;
    /// Asserts that no wire waits.
    ~barrier();

    /// Arrives, and waits until all others have. Returns true to one of them, the last to arrive,
    /// which has not waited; false to the others.
    ///
    /// Fails with ETIMEDOUT or ECANCELED. Such a wire has withdrawn its arrival: those who wait
    /// still wait for as many as the barrier was made for, and it may arrive again. Call from a
    /// wire.
    result<bool> arrive_and_wait(deadline until = never) noexcept;

    /// Those who have arrived and wait.
    [[nodiscard]] std::size_t waiting() const noexcept { return arrived_; }

private:
    void forget_withdrawn() noexcept;

    const std::size_t wires_;
    std::size_t arrived_ = 0;  // linked in waiting_
    detail::list<detail::waiter> waiting_;
};

}  // namespace wire
