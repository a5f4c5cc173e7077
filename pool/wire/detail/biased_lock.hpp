// A lock that costs its usual user two plain stores.
//
// Vocabulary: a thread that has taken the lock often in a row owns its bias. It enters by raising a
// flag of its own, without an atomic read-modify-write and without a fence. Everybody else changes
// the word `state_` to `taken`, and with that ends the bias.
//
//     state_ == nobody    free
//     state_ == a seat    the thread with that seat owns the bias, and may be inside
//     state_ == taken     who has changed it to that is inside, or waits for the former owner
//
//     owner                                  another thread
//     1. inside_[me] = 1                     1. state_: me -> taken
//     2. light fence                         2. heavy fence
//     3. state_ == me: inside. Else          3. waits until inside_[owner] == 0
//        inside_[me] = 0, and by `taken`     4. inside; unlocks with state_ = nobody or me
//
// 1 and 3 of either side are the two halves of Dekker's exclusion: each stores, then looks at what
// the other stores. The heavy fence makes every thread pass a barrier, so the owner needs none of
// its own: either it sees `taken`, or its flag is seen. Where there is no such fence nobody ever
// owns the bias.
//
// The flags stand one for each thread, by its seat (see thread_sync.hpp): a former owner that is
// late with 1 raises only its own and then finds that it owns nothing. Threads without a seat never
// own the bias.
//
// Source: the asymmetric use of Dekker's exclusion is D. Dice, H. Huang and M. Yang's, "Asymmetric
// Dekker Synchronization", 2001; biased locks: K. Kawachiya, A. Koseki, T. Onodera, "Lock
// Reservation", 2002.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <wire/config.hpp>

namespace wire::detail {

template <class Sync>
class alignas(cache_line_pair) basic_biased_lock : immovable {
    template <class T>
    using atomic = typename Sync::template atomic<T>;

public:
    /// So many threads can own a bias, at different times.
    static constexpr std::uint32_t seats = 60;
    /// How the lock was taken: to be given to unlock().
    using token = std::uint32_t;

    /// Waits for the lock, as a rule not at all; a thread that has it works for nanoseconds.
    [[gnu::always_inline]] token lock() noexcept {
        const std::uint32_t me = Sync::seat();
        // relaxed: nobody but `me` makes it equal to `me`.
        if (state_.load(std::memory_order_relaxed) == me && enter_as_owner(me)) [[likely]]
            return me;
        return lock_slowly(me);
    }

    [[gnu::always_inline]] void unlock(token how) noexcept {
        // [F] release: what was done inside. Pairs with [G].
        if (how != taken) [[likely]]
            inside_[how].store(0, std::memory_order_release);
        else  // [R] release: the same. Pairs with [A] and [T].
            state_.store(next_owner(), std::memory_order_release);
    }

    /// Its next user owns the bias at once.
    void expect_one_user() noexcept { in_a_row_ = Sync::uses_until_bias; }

private:
    static constexpr std::uint32_t nobody = 0xFFFF'FFFF;
    static constexpr std::uint32_t taken = 0xFFFF'FFFE;

    [[gnu::always_inline]] bool enter_as_owner(std::uint32_t me) noexcept {
        // relaxed: the fence orders it.
        inside_[me].store(1, std::memory_order_relaxed);
        Sync::light_fence();
        // [A] acquire: what was done by those who took it before. Pairs with [R].
        if (state_.load(std::memory_order_acquire) == me) [[likely]]
            return true;
        unlock(me);
        return false;
    }

    [[gnu::cold, gnu::noinline]] token lock_slowly(std::uint32_t me) noexcept {
        std::uint32_t owner = taken;
        for (unsigned round = 0;; ++round) {
            // relaxed: a hint. [T] acquire: as [A]. Pairs with [R].
            if (state_.load(std::memory_order_relaxed) != taken)
                owner = state_.exchange(taken, std::memory_order_acquire);
            if (owner != taken) break;
            Sync::relax(round);
        }
        if (owner != nobody && owner != me) expel(owner);
        if (last_ != me) in_a_row_ = last_ == nobody ? in_a_row_ : 0;
        last_ = me;
        return taken;
    }

    void expel(std::uint32_t owner) noexcept {
        Sync::heavy_fence();
        // [G] acquire: what the owner has done inside. Pairs with [F].
        for (unsigned round = 0; inside_[owner].load(std::memory_order_acquire) != 0; ++round)
            Sync::relax(round);
    }

    std::uint32_t next_owner() noexcept {
        if (in_a_row_ < Sync::uses_until_bias) {
            ++in_a_row_;
            return nobody;
        }
        return last_ < seats && Sync::has_heavy_fence() ? last_ : nobody;
    }

    atomic<std::uint32_t> state_{nobody};
    atomic<std::uint8_t> inside_[seats]{};
    // Of who has taken it.
    std::uint32_t last_ = nobody;  // who that was before
    std::uint32_t in_a_row_ = 0;
};

}  // namespace wire::detail
