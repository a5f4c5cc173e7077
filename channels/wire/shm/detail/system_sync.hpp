// What rings take from the system, as a policy: the tests put an explorer of interleavings in its
// place. Needs nothing of the library's: producers of any program use it.
#pragma once

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace wire::shm::detail {

struct system_sync {
    template <class T>
    using atomic = std::atomic<T>;
    using word = std::atomic<std::uint32_t>;
    static_assert(atomic<std::uint64_t>::is_always_lock_free && sizeof(word) == 4);

    static std::atomic_ref<std::uint64_t> ref(std::byte* at) noexcept {
        return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(at));
    }

    /// Asks for the barriers that heavy_fence() makes others pass. Returns whether they come.
    static bool join_heavy_fences() noexcept {
        return ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
    }
    /// Whether heavy_fence() works.
    static bool can_make_heavy_fences() noexcept { return try_heavy_fence(); }
    static void heavy_fence() noexcept {
        // If it is refused later, nothing but a full fence is left; see basic_doorbell.
        if (!try_heavy_fence()) full_fence();
    }
    static void light_fence() noexcept {
        // seq_cst: for the compiler only. Pairs with heavy_fence().
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
// GCC warns that ThreadSanitizer does not see fences. What these order are hints in atomics, and no
// data is handed over by them.
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
    static void full_fence() noexcept {
        // seq_cst: store, then load. Pairs with itself and with heavy_fence().
        std::atomic_thread_fence(std::memory_order_seq_cst);
    }
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

    /// Sleeps while `w` holds `expected`, until a wake or `until_ns` of the monotonic clock; may
    /// return early.
    static void futex_wait(word& w, std::uint32_t expected, std::int64_t until_ns) noexcept {
        constexpr std::int64_t second = 1'000'000'000;
        const timespec at{.tv_sec = static_cast<time_t>(until_ns / second),
                          .tv_nsec = static_cast<long>(until_ns % second)};
        ::syscall(SYS_futex, &w, FUTEX_WAIT_BITSET, expected, until_ns == never ? nullptr : &at,
                  nullptr, FUTEX_BITSET_MATCH_ANY);
    }
    static void futex_wake(word& w) noexcept {
        ::syscall(SYS_futex, &w, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    }
    static void futex_wake_all(word& w) noexcept {
        ::syscall(SYS_futex, &w, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
    }
    static constexpr std::int64_t never = INT64_MAX;

    static std::int64_t now_ns() noexcept {
        timespec t{};
        ::clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1'000'000'000 + t.tv_nsec;
    }

private:
    static bool try_heavy_fence() noexcept {
        return ::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
    }
};

}  // namespace wire::shm::detail
