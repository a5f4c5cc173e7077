// Slots that go back and forth between givers and takers, and those that wait for one: what pools
// and bridges are made of. It knows no elements; who fills or empties a slot is a function of the
// caller's, which runs with that side's lock.
//
// A slot is free, full, or in the hands of one who claimed it.
//
// Close is exact: a give looks whether the exchange is closed with the givers' lock, which close()
// takes too, so when that has returned none succeeds any more. Takers are told of it once every
// slot is free: what was given is taken, and as long as a slot is claimed something may still come.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "block.hpp"
#include "sleepers.hpp"
#include "slot_rings.hpp"

namespace wire::detail {

/// What has gone through an exchange.
struct exchange_counts {
    std::uint64_t given = 0;
    std::uint64_t taken = 0;
    /// Of `size` slots. Not less than none and not more than all, though both are of different
    /// times.
    [[nodiscard]] std::uint32_t inside(std::uint32_t size) const noexcept {
        const std::uint64_t n = given > taken ? given - taken : 0;
        return n < size ? static_cast<std::uint32_t>(n) : size;
    }
};

template <class Sync>
class basic_exchange : immovable {
    template <class T>
    using atomic = typename Sync::template atomic<T>;
    using side = basic_side<Sync>;

public:
    /// For `slots` slots, at least one; `numbers` has room for twice as many, and outlives it.
    basic_exchange(std::uint32_t slots, std::uint32_t* numbers, waiting how) noexcept
        : size_(slots),
          how_(how),
          givers_(takers_, numbers, numbers + slots, slots),
          takers_(givers_, numbers + slots, numbers, slots) {
        for (std::uint32_t i = 0; i < slots; ++i) {
            numbers[i] = numbers[slots + i] = i;
            takers_.push(i);
        }
    }

    /// Who gives, or takes, is one thread, as a rule.
    void expect_one_giver() noexcept { givers_.expect_one_user(); }
    void expect_one_taker() noexcept { takers_.expect_one_user(); }

    // Each of these returns 0, EAGAIN (there is no slot of that kind) or EPIPE (closed).

    /// Gives: `fill(slot)`.
    template <class F>
    [[gnu::always_inline]] int try_give(F fill) noexcept {
        std::uint32_t slot;
        const auto how = givers_.lock();
        const int error = claim_free(slot);
        if (!error) {
            fill(givers_.in_hand(slot));
            givers_.push(slot);
        }
        givers_.unlock(how);
        if (!error) messages_.notify_one();
        return error;
    }

    /// Takes: `use(slot)`.
    template <class F>
    [[gnu::always_inline]] int try_take(F use) noexcept {
        std::uint32_t slot;
        const auto how = takers_.lock();
        const bool found = takers_.pop(slot);
        if (found) {
            use(takers_.in_hand(slot));
            takers_.push(slot);
        }
        takers_.unlock(how);
        if (!found) return why_none();
        one_is_free();
        return 0;
    }

    /// Gives up to `n`, at least one: `fill(slot)` for each in order. `done`: how many.
    template <class F>
    int try_give_some(std::uint32_t n, std::uint32_t& done, F fill) noexcept {
        std::uint32_t slot;
        done = 0;
        const auto how = givers_.lock();
        int error = 0;
        while (done < n && !(error = claim_free(slot))) {
            fill(givers_.in_hand(slot));
            givers_.prepare(slot);
            ++done;
        }
        if (done) givers_.publish();
        givers_.unlock(how);
        messages_.notify_some(done);
        return done ? 0 : error;
    }
    /// Takes up to `n`, at least one.
    template <class F>
    int try_take_some(std::uint32_t n, std::uint32_t& done, F use) noexcept {
        std::uint32_t slot;
        done = 0;
        const auto how = takers_.lock();
        while (done < n && takers_.pop(slot)) {
            use(takers_.in_hand(slot));
            takers_.prepare(slot);
            ++done;
        }
        if (done) takers_.publish();
        takers_.unlock(how);
        if (!done) return why_none();
        room_.notify_some(done - 1);
        one_is_free();
        return 0;
    }

    /// Whether a try_ form would not return EAGAIN.
    bool may_give() noexcept {
        if (closed()) return true;
        const auto how = givers_.lock();
        const bool any = givers_.may_pop();
        givers_.unlock(how);
        return any;
    }
    bool may_take() noexcept {
        const auto how = takers_.lock();
        const bool any = takers_.may_pop();
        takers_.unlock(how);
        return any || why_none() == EPIPE;
    }

    /// A free slot is the caller's, until give() or give_up_free().
    int try_claim_free(std::uint32_t& slot) noexcept {
        const auto how = givers_.lock();
        const int error = claim_free(slot);
        givers_.unlock(how);
        return error;
    }
    /// A full slot is the caller's, until release() or give_up_full().
    int try_claim_full(std::uint32_t& slot) noexcept {
        const auto how = takers_.lock();
        const bool found = takers_.pop(slot);
        takers_.unlock(how);
        return found ? 0 : why_none();
    }

    // How the claim of a slot ends. Also when it is closed.

    void give(std::uint32_t slot) noexcept {
        push(givers_, slot);
        messages_.notify_one();
    }
    void release(std::uint32_t slot) noexcept {
        push(takers_, slot);
        one_is_free();
    }
    /// Nothing has happened: it is free again.
    void give_up_free(std::uint32_t slot) noexcept {
        push(takers_, slot);
        // [V] release: the push that is no take. Pairs with [X].
        free_given_up_.fetch_add(1, std::memory_order_release);
        one_is_free();
    }
    /// Nothing has happened: it is full again, and the last of those.
    void give_up_full(std::uint32_t slot) noexcept {
        // [V] release: the push by which it was full before. Pairs with [X].
        full_given_up_.fetch_add(1, std::memory_order_release);
        give(slot);
    }

    /// As the try_ form, but waits. Fails with EPIPE, ETIMEDOUT or, in a wire, ECANCELED.
    template <class F>
    [[gnu::always_inline]] int give(F fill, deadline until) noexcept {
        int error = Sync::begin_call();
        if (!error) error = try_give(fill);
        return error == EAGAIN ? give_slowly(fill, until) : error;
    }
    template <class F>
    [[gnu::always_inline]] int take(F use, deadline until) noexcept {
        int error = Sync::begin_call();
        if (!error) error = try_take(use);
        return error == EAGAIN ? take_slowly(use, until) : error;
    }
    template <class F>
    int give_some(std::uint32_t n, std::uint32_t& done, F fill, deadline until) noexcept {
        return wait_in<Sync>(givers_, room_, how_, until,
                             [&] { return try_give_some(n, done, fill); });
    }
    template <class F>
    int take_some(std::uint32_t n, std::uint32_t& done, F use, deadline until) noexcept {
        return wait_in<Sync>(takers_, messages_, how_, until,
                             [&] { return try_take_some(n, done, use); });
    }
    int claim_free(std::uint32_t& slot, deadline until) noexcept {
        return wait_in<Sync>(givers_, room_, how_, until, [&] { return try_claim_free(slot); });
    }
    int claim_full(std::uint32_t& slot, deadline until) noexcept {
        return wait_in<Sync>(takers_, messages_, how_, until, [&] { return try_claim_full(slot); });
    }
    // It sleeps at once: to look stops both sides.
    int wait_until_empty(deadline until) noexcept {
        if (const int error = Sync::begin_call()) return error;
        const auto look = [&] { return all_free() ? 0 : EAGAIN; };
        if (look() == 0) return 0;
        return Sync::is_past(until) ? ETIMEDOUT : sleep_in<Sync>(emptied_, until, look);
    }

    void close() noexcept {
        set_closed(true);
        room_.notify_all();
        messages_.notify_all();
    }
    void reopen() noexcept { set_closed(false); }
    [[nodiscard]] bool closed() const noexcept {
        // [C'] acquire: what was given before. Pairs with [C].
        return closed_.load(std::memory_order_acquire);
    }

    /// Whether every slot is free: none is full, none is claimed. Stops both sides for an instant.
    [[nodiscard]] bool all_free() noexcept {
        const auto giving = givers_.lock();
        const auto taking = takers_.lock();
        const bool all = takers_.pushed() - givers_.popped() == size_;
        takers_.unlock(taking);
        givers_.unlock(giving);
        return all;
    }

    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
    [[nodiscard]] exchange_counts counts() const noexcept {
        // Each is about right, but not below 0: what is subtracted is read first.
        // [X] acquire: the pushes that it is a part of. Pairs with [V].
        const std::uint64_t not_given = full_given_up_.load(std::memory_order_acquire);
        const std::uint64_t not_taken = free_given_up_.load(std::memory_order_acquire);
        return {givers_.pushed_about() - not_given, takers_.pushed_about() - size_ - not_taken};
    }

    /// Those that wait for a free slot, a full one, and for all to be free.
    basic_sleepers<Sync>& room() noexcept { return room_; }
    basic_sleepers<Sync>& messages() noexcept { return messages_; }

private:
    template <class F>
    [[gnu::noinline]] int give_slowly(F fill, deadline until) noexcept {
        return wait_slowly<Sync>(givers_, room_, how_, until, [&] { return try_give(fill); });
    }
    template <class F>
    [[gnu::noinline]] int take_slowly(F use, deadline until) noexcept {
        return wait_slowly<Sync>(takers_, messages_, how_, until, [&] { return try_take(use); });
    }

    // With the givers' lock.
    int claim_free(std::uint32_t& slot) noexcept {
        // relaxed: changed only with this lock.
        if (closed_.load(std::memory_order_relaxed)) [[unlikely]]
            return EPIPE;
        return givers_.pop(slot) ? 0 : EAGAIN;
    }

    int why_none() noexcept { return closed() && all_free() ? EPIPE : EAGAIN; }

    void push(side& to, std::uint32_t slot) noexcept {
        const auto how = to.lock();
        to.push(slot);
        to.unlock(how);
    }

    void one_is_free() noexcept {
        room_.notify_one();
        // Takers wait for the last slot, too, once it is closed. notify_one() has made the fence
        // that both looks need; see sleepers.hpp.
        if (emptied_.count() != 0 || closed_.load(std::memory_order_relaxed)) [[unlikely]]
            perhaps_all_are();
    }

    // Whoever frees the last slot tells those that wait for it. All others see that it is not the
    // last without the locks.
    [[gnu::cold, gnu::noinline]] void perhaps_all_are() noexcept {
        const exchange_counts now = counts();
        if (now.inside(size_) > 0 || !all_free()) return;
        emptied_.notify_all();
        if (closed()) messages_.notify_all();
    }

    void set_closed(bool to) noexcept {
        const auto how = givers_.lock();
        // [C] release: what was given before. Pairs with [C'].
        closed_.store(to, std::memory_order_release);
        givers_.unlock(how);
    }

    const std::uint32_t size_;
    const waiting how_;
    side givers_;
    side takers_;
    // Read by all, written by few.
    alignas(cache_line_pair) basic_sleepers<Sync> messages_;
    basic_sleepers<Sync> room_;
    basic_sleepers<Sync> emptied_;
    atomic<bool> closed_{false};
    atomic<std::uint64_t> free_given_up_{0};
    atomic<std::uint64_t> full_given_up_{0};
};

}  // namespace wire::detail
