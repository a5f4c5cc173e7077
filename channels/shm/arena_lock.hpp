// The lock of an arena: held for changes of pages, channels, segments and users, never while
// anybody waits or runs code of the program.
//
// Its word is the process that has it. If that process dies, whoever waits takes the lock over, and
// must put in order what was half done. Nobody guesses: the kernel says that it has ended. Who
// waits asks now and then.
//
//     who waits                           who unlocks
//     1. waiting = 1                      1. lock = 0
//     2. the lock is taken: sleeps        2. waiting was 1: it is 0; changes `unlocked`, wakes one
//
// Who has slept leaves `waiting` as it is when it takes the lock: there may be more. A process that
// dies in the left column costs one system call, one that dies in the right column a moment, since
// the others wake by themselves.
//
// Who has unlocked while others waited lets one of them go first: otherwise one that asks again and
// again would always be faster than those who must be woken. It waits a moment for that, not for
// anybody.
//
// Whatever is stored with the lock leaves something behind that can be told from what was meant, at
// each step: so the order of those stores counts, for the one who takes the lock over; [K].
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "arena_layout.hpp"

namespace wire::shm::detail {

/// One user's.
template <class Sync>
class basic_arena_lock {
public:
    basic_arena_lock(basic_arena_header<Sync>& h, std::uint64_t me) noexcept : h_(h), me_(me) {}

    /// Returns true if it was taken over from a process that has ended.
    [[nodiscard]] bool lock() noexcept {
        give_way();
        for (int spins = 0; spins < spins_max; ++spins)
            if (try_lock()) return false;
        return wait_and_lock();
    }
    void unlock() noexcept {
        // relaxed: with the lock.
        turn_ = h_.turns.load(std::memory_order_relaxed);
        // [Q] seq_cst: what was done with the lock, and before the look at `waiting`, which has
        // been changed before the lock was found taken. Pairs with [Q'] and [N].
        h_.lock.store(0, std::memory_order_seq_cst);
        // [N'] seq_cst: see there. Pairs with [N].
        has_left_waiting_ = h_.waiting.exchange(0, std::memory_order_seq_cst) != 0;
        if (!has_left_waiting_) return;
        // [L] release: that the lock is free. Pairs with [L'].
        h_.unlocked.fetch_add(1, std::memory_order_release);
        Sync::futex_wake(h_.unlocked);
    }

private:
    static constexpr int spins_max = 100;
    static constexpr std::int64_t look_every_ns = 10'000'000;
    static constexpr std::int64_t moment_ns = 100'000;
    static constexpr int moments_max = 5;

    bool try_lock() noexcept {
        std::uint64_t holder = h_.lock.load(std::memory_order_relaxed);
        return holder == 0 && take_from(holder);
    }
    bool take_from(std::uint64_t& holder) noexcept {
        // [Q'] seq_cst: what was done with the lock; after [N], also if it is found taken. Pairs
        // with [Q].
        if (!h_.lock.compare_exchange_strong(holder, me_, std::memory_order_seq_cst,
                                             std::memory_order_seq_cst))
            return false;
        // relaxed: a hint.
        h_.turns.fetch_add(1, std::memory_order_relaxed);
        return true;
    }
    void give_way() noexcept {
        if (!std::exchange(has_left_waiting_, false)) return;
        for (int i = 0; i < moments_max; ++i) {
            if (h_.turns.load(std::memory_order_relaxed) != turn_) return;
            Sync::futex_wait(h_.turns, turn_, Sync::now_ns() + moment_ns);
        }
    }
    [[gnu::noinline]] bool wait_and_lock() noexcept {
        for (bool looks = false;; looks = true) {
            // [L'] acquire: before the look at the lock, or who is called meanwhile would sleep
            // with the new value and the old look. Pairs with [L].
            const std::uint32_t before = h_.unlocked.load(std::memory_order_acquire);
            // [N] seq_cst: before the look at the lock. Pairs with [N'].
            h_.waiting.store(1, std::memory_order_seq_cst);
            std::uint64_t holder = 0;
            if (take_from(holder)) return false;
            if (looks && Sync::has_ended(holder) && take_from(holder)) return true;
            Sync::futex_wait(h_.unlocked, before, Sync::now_ns() + look_every_ns);
        }
    }

    basic_arena_header<Sync>& h_;
    const std::uint64_t me_;
    std::uint32_t turn_ = 0;  // when this one has unlocked it
    bool has_left_waiting_ = false;
};

}  // namespace wire::shm::detail
