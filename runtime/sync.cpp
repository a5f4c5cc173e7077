#include "sync.hpp"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sys.hpp"

namespace wire::detail {

void real_sync::futex_wait(word& w, std::uint32_t expected, deadline until) noexcept {
    const timespec at{.tv_sec = static_cast<time_t>(until.ns() / 1'000'000'000),
                      .tv_nsec = static_cast<long>(until.ns() % 1'000'000'000)};
    // FUTEX_WAIT_BITSET takes an absolute time of the monotonic clock.
    sys::call("futex", [&] {
        return ::syscall(SYS_futex, &w, FUTEX_WAIT_BITSET_PRIVATE, expected,
                         until.is_never() ? nullptr : &at, nullptr, FUTEX_BITSET_MATCH_ANY);
    });
}

void real_sync::futex_wake(word& w, int count) noexcept {
    ::syscall(SYS_futex, &w, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

void real_sync::pause() noexcept {
    ::sched_yield();
}

}  // namespace wire::detail
