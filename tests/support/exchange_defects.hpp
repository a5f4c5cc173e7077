// The policy of exchange_sync.hpp with one thing spoiled at a time, for the tests of what pools and
// bridges are made of: each of these defects must be found, or the tests prove nothing.
//
// The product's own code runs. Which of its accesses is meant is told from the type, the order and
// what the same thread did just before.
#pragma once

#include <optional>

#include "exchange_sync.hpp"
#include "interleave_bounds.hpp"

namespace interleave {

enum class defect {
    none,
    heavy_fence_missing,
    // Orders.
    owner_enters_without_acquire,  // [A]
    flag_lowered_without_release,  // [F]
    flag_seen_without_acquire,     // [G]
    word_stored_without_release,   // [R] of a biased lock, [U] of a list
    word_changed_without_acquire,  // [T], [L]
    pushed_without_release,        // [P]
    seen_without_acquire,          // [S]
    closed_without_release,        // [C]
    closed_seen_without_acquire,   // [C']
    // Steps.
    flag_not_raised,
    state_not_looked_at_again,
    owner_not_waited_for,
    word_looked_at_then_stored,
    signal_not_passed_on,
    signal_overlooked_by_leave,
    closed_without_lock,
    closed_overlooked,
    last_free_slot_untold,
    // Steps: others are not told, or too few of them.
    gift_untold,
    taking_untold,
    release_untold,
    free_given_up_untold,
    full_given_up_untold,
    close_untold_to_givers,
    close_untold_to_takers,
    one_told_for_all,
    one_too_few_told,
    dead_bell_believed,
    // Steps in the wrong order.
    slept_without_second_look,
    pushed_before_filled,
    end_told_before_all_is_free,
    end_looked_at_before_pop,
    // Claims pushed onto the wrong ring.
    free_given_up_as_full,
    full_given_up_as_free,
};

inline defect planted = defect::none;

inline bool has(defect d) {
    return planted == d;
}

/// Plants a defect as long as it lives.
struct plant {
    explicit plant(defect d) { planted = d; }
    ~plant() { planted = defect::none; }
    plant(const plant&) = delete;
    plant& operator=(const plant&) = delete;
};

namespace detail {

// What a thread is about to do wrong, or did just before.
struct spoiled_steps {
    bool closes = false;          // without the lock that it believes to have
    bool enters_closing = false;  // and takes it for its own at the next look
    bool swallows = false;        // the next signal
    bool keeps_count = false;     // instead of the next change of it
    unsigned loads = 9;           // since a light fence
    int tells = 0;                // the notifications of this call so far
    int tells_nobody = -1;        // the number of the one that finds nobody
    bool calls_all = false;       // but tells one
    bool counts_one = false;      // the next time that it has the lock of a list
    bool has_list = false;        // just now
    int may_tell = -1;            // so many more of those that wait; -1: all
    bool looks_for_more = false;  // of those, next
    std::optional<bool> ended;    // what it takes for closed()
};

inline spoiled_steps steps_of[threads_max + 1];

inline spoiled_steps& my_steps() {
    return steps_of[current->running()];
}

inline std::memory_order without(defect d, std::memory_order o) {
    return has(d) ? std::memory_order_relaxed : o;
}

}  // namespace detail

/// Signals that are swallowed or overlooked.
template <class Word>
class spoiled_place : public sleeping_place<Word> {
    using base = sleeping_place<Word>;
    using node = wire::detail::link;

public:
    void reset() {
        slept_ = false;
        base::reset();
    }
    int sleep(wire::deadline until) {
        slept_ = true;
        return base::sleep(until);
    }
    // After a signal that it does not need, the sleeper passes it on at once.
    void settle() { detail::my_steps().swallows = has(defect::signal_not_passed_on) && !slept_; }

    [[nodiscard]] bool linked() const {
        return node::linked() || has(defect::signal_overlooked_by_leave);
    }
    void unlink() {
        detail::my_steps().keeps_count = !node::linked();
        if (node::linked()) node::unlink();
    }

private:
    bool slept_ = false;
};

/// std::uint8_t: flags of a biased lock. std::uint64_t: counts of what was pushed. bool: closed.
/// std::uint32_t: the word of a biased lock, the lock of a list, the count of a list.
template <class T>
class spoiled_atomic : public sync::atomic<T> {
    using base = sync::atomic<T>;
    using order = std::memory_order;
    static constexpr bool is_flag = std::is_same_v<T, std::uint8_t>;
    static constexpr bool is_word = std::is_same_v<T, std::uint32_t>;
    static constexpr bool is_count = std::is_same_v<T, std::uint64_t>;
    static constexpr order relaxed = std::memory_order_relaxed;

public:
    using base::base;

    T load(order o) const noexcept {
        using detail::without;
        if constexpr (is_flag) {
            if (has(defect::owner_not_waited_for)) return 0;
            return base::load(without(defect::flag_seen_without_acquire, o));
        } else if constexpr (is_word) {
            if (const auto wrong = load_wrongly(o)) return *wrong;
            if (overlooks_sleepers(o)) return 0;
            detail::spoiled_steps& mine = detail::my_steps();
            const bool counts = std::exchange(mine.has_list, false) && mine.counts_one;
            const T found = base::load(without(defect::owner_enters_without_acquire, o));
            if (!counts) return found;
            mine.counts_one = false;
            return std::min(found, T{1});
        } else if constexpr (is_count) {
            return base::load(without(defect::seen_without_acquire, o));
        } else {
            if (o != relaxed && detail::my_steps().ended) return *detail::my_steps().ended;
            // Who has freed a slot looks at it after both counts.
            const bool has_freed = o == relaxed && detail::my_steps().loads == 2;
            if (has_freed && has(defect::closed_overlooked)) return false;
            return base::load(without(defect::closed_seen_without_acquire, o));
        }
    }

    void store(T value, order o) noexcept {
        using detail::without;
        if constexpr (is_flag) {
            if (has(defect::flag_not_raised) || detail::my_steps().closes) return;
            o = without(defect::flag_lowered_without_release, o);
        } else if constexpr (is_word) {
            if (o == relaxed && std::exchange(detail::my_steps().keeps_count, false)) return;
            detail::my_steps().looks_for_more = o != relaxed;
            o = without(defect::word_stored_without_release, o);
        } else if constexpr (is_count) {
            o = without(defect::pushed_without_release, o);
        } else {
            o = without(defect::closed_without_release, o);
        }
        base::store(value, o);
    }

    T exchange(T value, order o) noexcept {
        if (has(defect::word_looked_at_then_stored)) {
            const T old = base::load();
            base::store(value);
            return old;
        }
        const T old =
            base::exchange(value, detail::without(defect::word_changed_without_acquire, o));
        detail::my_steps().has_list = value == 1 && old == 0;
        return old;
    }

private:
    // Whether this is a look for sleepers of which nothing shall come.
    static bool overlooks_sleepers(order o) {
        detail::spoiled_steps& mine = detail::my_steps();
        const bool looks = std::exchange(mine.looks_for_more, false);
        if (o != relaxed) return false;
        if (mine.loads == 1) {  // the first look of a notification
            if (mine.tells++ == mine.tells_nobody) return true;
            mine.counts_one = mine.calls_all;
        }
        if (!looks || mine.may_tell < 0) return false;
        if (mine.may_tell == 0) return true;
        --mine.may_tell;
        return false;
    }
    static std::optional<std::uint32_t> load_wrongly(order o) {
        detail::spoiled_steps& mine = detail::my_steps();
        const auto me = static_cast<std::uint32_t>(detail::current->running());
        if (o != relaxed) {  // that of an owner who looks again
            mine.loads = 9;
            if (has(defect::state_not_looked_at_again) || mine.closes) return me;
            return std::nullopt;
        }
        if (std::exchange(mine.enters_closing, false)) return me;
        ++mine.loads;
        if (mine.loads == 1 && std::exchange(mine.swallows, false)) return 0;
        // After those that wait for room, those that wait for all to be free.
        if (mine.loads == 2 && has(defect::last_free_slot_untold)) return 0;
        return std::nullopt;
    }
};

template <bool HeavyFence = true, std::uint32_t UsesUntilBias = 0>
struct spoiled_exchange_sync : exchange_sync<HeavyFence, UsesUntilBias> {
    template <class T>
    using atomic = spoiled_atomic<T>;
    using place = spoiled_place<sync::word>;

    static void heavy_fence() {
        if (HeavyFence && !has(defect::heavy_fence_missing)) sync::heavy_fence();
    }
    static void light_fence() {
        detail::my_steps().loads = 0;
        detail::my_steps().looks_for_more = true;
    }
    static void begin() {
        for (detail::spoiled_steps& s : detail::steps_of) s = {};
    }
};

using spoiled = spoiled_exchange_sync<true>;
using spoiled_without_fence = spoiled_exchange_sync<false>;

/// Around a call: the `which`th notification in it finds nobody.
struct untold {
    explicit untold(defect d, int which = 0) {
        detail::spoiled_steps& mine = detail::my_steps();
        mine.tells = 0;
        mine.tells_nobody = has(d) ? which : -1;
    }
    ~untold() { detail::my_steps().tells_nobody = -1; }
    untold(const untold&) = delete;
    untold& operator=(const untold&) = delete;
};

/// Around a call that tells all: it tells one.
struct tells_one {
    tells_one() { detail::my_steps().calls_all = has(defect::one_told_for_all); }
    ~tells_one() { detail::my_steps().calls_all = detail::my_steps().counts_one = false; }
    tells_one(const tells_one&) = delete;
    tells_one& operator=(const tells_one&) = delete;
};

/// Around a call that gives two.
struct tells_too_few {
    tells_too_few() { detail::my_steps().may_tell = has(defect::one_too_few_told) ? 1 : -1; }
    ~tells_too_few() { detail::my_steps().may_tell = -1; }
    tells_too_few(const tells_too_few&) = delete;
    tells_too_few& operator=(const tells_too_few&) = delete;
};

/// Around close().
struct closes_without_lock {
    closes_without_lock() {
        detail::spoiled_steps& mine = detail::my_steps();
        mine.closes = mine.enters_closing = has(defect::closed_without_lock);
    }
    ~closes_without_lock() { detail::my_steps().closes = false; }
    closes_without_lock(const closes_without_lock&) = delete;
    closes_without_lock& operator=(const closes_without_lock&) = delete;
};

}  // namespace interleave
