// Atomics and steps with one thing spoiled at a time, for the tests of what remotes do: each of
// these defects must be found, or the tests prove nothing.
#pragma once

#include <cstdint>

#include "interleave_bounds.hpp"
#include "post_office.hpp"

namespace interleave {

constexpr auto relaxed = std::memory_order_relaxed;

using request_kind = wire::detail::request;

enum class defect {
    none,
    // Orders.
    finish_without_release,       // [K]
    is_finished_without_acquire,  // [K']
    give_up_without_acquire,      // [J]
    drop_without_release,         // [H]
    drop_without_acquire,         // [H]
    ask_without_release,          // [A]
    ask_without_acquire,          // [A]
    take_without_acquire,         // [G]
    take_without_release,         // [G]
    stop_without_release,         // [Q]
    stop_taken_without_acquire,   // [Q']
    // Atomicity.
    finish_looks_then_stores,
    drop_looks_then_stores,
    ask_looks_then_stores,
    take_looks_then_stores,
    // Steps.
    finish_unconditional,
    give_up_unconditional,
    unnotified,
    dropped_before_notified,
    reply_without_reference,
    abort_without_reference,
    refused_abort_kept,
    kinds_not_merged,
    second_kind_dropped,
    older_replaces_newer,
    stop_after_nudge,
};

inline defect planted = defect::none;

inline bool has(defect d) {
    return planted == d;
}

struct spoiled_sync : sync {
    template <class T>
    class atomic : public sync::atomic<T> {
        using base = sync::atomic<T>;
        using order = std::memory_order;

    public:
        using base::base;

        T load(order o) const noexcept {
            return base::load(has(defect::is_finished_without_acquire) ? relaxed : o);
        }
        void store(T value, order o) noexcept {
            base::store(value, has(defect::stop_without_release) ? relaxed : o);
        }
        // Of a call's state: finish() releases, give_up() acquires.
        T fetch_or(T bits, order o) noexcept {
            if (has(defect::finish_looks_then_stores)) {
                const T old = base::load();
                base::store(old | bits);
                return old;
            }
            const bool finishes = o == std::memory_order_release;
            if (finishes && has(defect::finish_without_release)) o = relaxed;
            if (!finishes && has(defect::give_up_without_acquire)) o = relaxed;
            return base::fetch_or(bits, o);
        }
        // Of a call's references.
        T fetch_sub(T n, order o) noexcept {
            if (has(defect::drop_looks_then_stores)) {
                const T old = base::load();
                base::store(old - n);
                return old;
            }
            if (has(defect::drop_without_release)) o = std::memory_order_acquire;
            if (has(defect::drop_without_acquire)) o = std::memory_order_release;
            return base::fetch_sub(n, o);
        }
        // A request is taken with acq_rel, a stop with acquire.
        T exchange(T value, order o) noexcept {
            if (has(defect::take_looks_then_stores)) {
                const T old = base::load();
                base::store(value);
                return old;
            }
            if (o == std::memory_order_acquire)
                return base::exchange(value, has(defect::stop_taken_without_acquire) ? relaxed : o);
            if (has(defect::take_without_acquire)) o = std::memory_order_release;
            if (has(defect::take_without_release)) o = std::memory_order_acquire;
            return base::exchange(value, o);
        }
        bool compare_exchange_weak(T& expected, T value, order o, order failure) noexcept {
            if (has(defect::ask_looks_then_stores)) {
                const T found = base::load();
                const bool same = found == expected;
                if (same) base::store(value);
                expected = found;
                return same;
            }
            if (has(defect::ask_without_release)) o = std::memory_order_acquire;
            if (has(defect::ask_without_acquire)) o = std::memory_order_release;
            return base::compare_exchange_weak(expected, value, o, failure);
        }
    };
    using word = atomic<std::uint32_t>;
};

using office = post_office<wire::detail::basic_inbox<sync>>;  // spoiled in inbox_test.cpp

}  // namespace interleave
