// What a user of a queue that never waits does when it is full or empty. The same for all.
#pragma once

#include <sched.h>

namespace bench {

inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield" ::: "memory");
#endif
}

/// Calls attempt() until it returns true: again after a pause at first, about a microsecond in all,
/// then whenever the threads that also want the core have had their turn.
template <class Attempt>
void retry(Attempt attempt) {
    constexpr int pauses_max = 64;
    for (int failed = 0; !attempt(); ++failed) {
        if (failed < pauses_max)
            pause();
        else
            ::sched_yield();
    }
}

}  // namespace bench
