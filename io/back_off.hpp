// Waiting until descriptors or memory are there again: for acceptors that ran out of them.
#pragma once

#include <wire/deadline.hpp>

namespace wire::io::detail {

/// Delays from 10 to 500 ms, doubling.
class back_off {
public:
    /// Waits for the next delay, a descriptor closed on this thread, or `until`. Says why in a
    /// diagnostic, at most once a minute for each thread.
    /// Returns 0, ETIMEDOUT (`until`) or ECANCELED.
    int wait(int error, deadline until) noexcept;

private:
    int delay_ms_ = 0;
};

/// A descriptor has been closed: wakes the wires of this thread that wait in a back_off.
void retry_backed_off() noexcept;

}  // namespace wire::io::detail
