// What lock-free and cross-thread code takes from the system, as a policy: the tests put an
// explorer of interleavings in its place.
#pragma once

#include <atomic>
#include <cstdint>

#include <wire/deadline.hpp>

namespace wire::detail {

struct real_sync {
    template <class T>
    using atomic = std::atomic<T>;
    using word = std::atomic<std::uint32_t>;

    /// Sleeps while `w` holds `expected`, until a wake or `until`; may return early.
    static void futex_wait(word& w, std::uint32_t expected, deadline until = never) noexcept;
    /// Wakes at most `count` threads that sleep on `w`.
    static void futex_wake(word& w, int count) noexcept;
    /// Lets the other thread run, while a step of its that takes nanoseconds is missing.
    static void pause() noexcept;
};

/// The steady clock, whatever clock the running runtime has.
std::int64_t steady_ns() noexcept;

}  // namespace wire::detail
