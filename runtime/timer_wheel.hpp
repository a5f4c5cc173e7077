// Timers: a hierarchical wheel with exact nanoseconds and no allocation.
//
// Source: G. Varghese, T. Lauck, "Hashed and hierarchical timing wheels", 1987, scheme 7.
//
// Time is a 64-bit number read as eleven digits in base 64. A timer lies at the level of the
// highest digit in which its time differs from `elapsed_`, in the slot of that digit's value. From
// that:
//
//   1. Every timer of a lower level is due before every timer of a higher one, and within a level
//      the slots are in order of time. The earliest timer is in the first slot of the lowest level.
//   2. A slot of level 0 is one nanosecond. Timers therefore fire in order of their time, and those
//      of equal time in the order in which they were armed: they always share a slot.
//
// When time reaches a slot of a higher level, its timers move to lower levels: each moves at most
// ten times, in practice three or four times, in its life.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <wire/config.hpp>
#include <wire/detail/timer.hpp>

namespace wire::detail {

class timer_wheel : immovable {
public:
    explicit timer_wheel(std::int64_t now = 0) noexcept : elapsed_(now) {
        for (auto& level : slots_)
            for (link& slot : level) slot.next = slot.prev = &slot;
    }

    /// Lets `t` fire once `at` (nanoseconds) has come; a time that has passed means: at the next
    /// expire(). `t` must not be armed.
    void arm(timer& t, std::int64_t at) noexcept {
        t.at = at;
        insert(t);
        ++armed_;
    }

    /// Takes an armed timer out.
    void disarm(timer& t) noexcept {
        link* const before = t.prev;
        const bool alone = before == t.next;
        t.unlink();
        if (alone) forget(before);
        --armed_;
    }

    /// Fires every timer whose time is <= now, in order. A callback may arm and disarm timers.
    void expire(std::int64_t now) noexcept;

    /// A time by which expire() should be called: exact unless many timers share the next slot,
    /// then early. max() if nothing is armed.
    [[nodiscard]] std::int64_t next_due() const noexcept;

    [[nodiscard]] std::size_t armed() const noexcept { return armed_; }

private:
    static constexpr unsigned digit_bits = 6;
    static constexpr unsigned radix = 1u << digit_bits;
    static constexpr unsigned levels = 11;

    struct place {
        unsigned level;
        unsigned index;
    };

    void insert(timer& t) noexcept {
        const auto now = static_cast<std::uint64_t>(elapsed_);
        const auto at = static_cast<std::uint64_t>(t.at > elapsed_ ? t.at : elapsed_);
        const auto highest = 63u - static_cast<unsigned>(__builtin_clzll((at ^ now) | 1));
        const unsigned level = highest / digit_bits;
        const unsigned index = static_cast<unsigned>(at >> (level * digit_bits)) % radix;
        link& slot = slots_[level][index];
        t.prev = slot.prev;
        t.next = &slot;
        slot.prev->next = &t;
        slot.prev = &t;
        occupied_[level] |= std::uint64_t{1} << index;
    }

    // The slot whose head is `head` has become empty.
    void forget(link* head) noexcept {
        const auto n = static_cast<std::size_t>(head - &slots_[0][0]);
        occupied_[n / radix] &= ~(std::uint64_t{1} << (n % radix));
    }

    [[nodiscard]] bool first_slot(place& p) const noexcept;
    [[nodiscard]] std::int64_t start_of(place p) const noexcept;
    void open(place p) noexcept;

    std::array<std::uint64_t, levels> occupied_{};
    std::array<std::array<link, radix>, levels> slots_;
    std::int64_t elapsed_;  // never negative, never decreases
    std::size_t armed_ = 0;
};

}  // namespace wire::detail
