// When threads of a test have gone to sleep.
#pragma once

#include <thread>

#include "failing_call.hpp"

namespace wire::test {

/// While in scope it counts how often plain threads, and runtimes without a reactor, have called
/// the kernel to sleep. Who does has looked for the last time: what comes now must wake it.
class sleep_watch {
public:
    /// Returns when they have so often in all.
    void until(int n) const {
        while (futex_.calls() < n) std::this_thread::yield();
    }

private:
    failing_call futex_{"futex", 0};
};

}  // namespace wire::test
