// Which slots of a pool are free and which are full: two rings of slot numbers, between two sides.
//
//               pops   +--> free ring --+   pops
//     givers ----------+                +------------ takers
//               pushes +--> full ring --+   pushes
//
// Givers pop a free slot, fill it, and push it as full; takers do the reverse. Each side has one
// lock, so each ring has one thread at a time at either end: a single-producer ring, whose ends
// meet only in the count of what was pushed. What is popped belongs to who popped it, for as long
// as it likes: whoever comes later gets another slot. Given back unused, it is pushed by the other
// side's end: a slot that was to be filled as free, one that was to be emptied as full.
//
// A ring has room for all slots, so a push never fails. Nothing is written that does not change:
// while slots come back in the order in which they were taken, which is as long as nobody keeps
// one, the numbers stay as they are, and their cache lines with both sides.
//
// The values are in order: what one thread pushes as full is popped in that order.
#pragma once

#include <atomic>
#include <cstdint>

#include "biased_lock.hpp"
#include "pace.hpp"

namespace wire::detail {

/// A slot that is to be filled or emptied with the lock, and how many more the side may use now.
struct slot_in_hand {
    std::uint32_t number;
    std::uint32_t more;
    operator std::uint32_t() const noexcept { return number; }
};

/// One side: its lock, and its ends of both rings. All but lock() and unlock() with the lock.
template <class Sync>
class basic_side : public basic_biased_lock<Sync> {
public:
    /// It pops from the ring `from`, which `other` pushes onto, and pushes onto `to`.
    basic_side(const basic_side& other, std::uint32_t* from, std::uint32_t* to,
               std::uint32_t size) noexcept
        : pace(size), from_(from), to_(to), other_(other), size_(size) {}

    [[nodiscard]] bool may_pop() noexcept { return popped_ != seen_ || look(); }

    /// The next slot from the other side; false: none is there.
    [[gnu::always_inline]] bool pop(std::uint32_t& slot) noexcept {
        if (!may_pop()) [[unlikely]]
            return false;
        slot = from_[from_at_];
        if (++from_at_ == size_) from_at_ = 0;
        ++popped_;
        return true;
    }

    [[nodiscard]] slot_in_hand in_hand(std::uint32_t slot) const noexcept {
        return {slot, static_cast<std::uint32_t>(seen_ - popped_)};
    }

    [[gnu::always_inline]] void push(std::uint32_t slot) noexcept {
        prepare(slot);
        publish();
    }
    /// A push in two steps: the other side sees all that is prepared once it is published.
    [[gnu::always_inline]] void prepare(std::uint32_t slot) noexcept {
        std::uint32_t& number = to_[to_at_];
        if (number != slot) [[unlikely]]
            number = slot;
        if (++to_at_ == size_) to_at_ = 0;
        ++pushed_;
    }
    [[gnu::always_inline]] void publish() noexcept {
        // [P] release: the numbers, and what was done to the slots. Pairs with [S].
        published_.store(pushed_, std::memory_order_release);
    }

    [[nodiscard]] std::uint64_t pushed() const noexcept { return pushed_; }
    [[nodiscard]] std::uint64_t popped() const noexcept { return popped_; }
    /// The first without the lock: how many it had pushed a moment ago.
    [[nodiscard]] std::uint64_t pushed_about() const noexcept {
        // relaxed: a count.
        return published_.load(std::memory_order_relaxed);
    }

    /// How many slots it found when it last looked and there were any. Without the lock.
    [[nodiscard]] std::uint32_t found() const noexcept {
        return found_.load(std::memory_order_relaxed);
    }

    /// How long its threads wait before they look again; see pace.hpp.
    detail::pace pace;

private:
    [[gnu::noinline]] bool look() noexcept {
        // [S] acquire: as [P]. Pairs with [P].
        seen_ = other_.published_.load(std::memory_order_acquire);
        if (popped_ == seen_) return false;
        // relaxed: a hint.
        found_.store(static_cast<std::uint32_t>(seen_ - popped_), std::memory_order_relaxed);
        return true;
    }

    const std::uint32_t* const from_;
    std::uint32_t* const to_;
    const basic_side& other_;
    const std::uint32_t size_;
    std::uint32_t from_at_ = 0;  // where popped_ and pushed_ are in the rings
    std::uint32_t to_at_ = 0;
    std::uint64_t popped_ = 0;
    std::uint64_t seen_ = 0;  // of what the other has pushed
    std::uint64_t pushed_ = 0;
    std::atomic<std::uint32_t> found_{0};
    // The other side looks at it when it has come to the end of what it has seen.
    alignas(cache_line_pair) typename Sync::template atomic<std::uint64_t> published_{0};
};

}  // namespace wire::detail
