#include "timer_wheel.hpp"

#include <algorithm>
#include <bit>

namespace wire::detail {

bool timer_wheel::first_slot(place& p) const noexcept {
    for (unsigned level = 0; level < levels; ++level) {
        if (occupied_[level] == 0) continue;
        // No slot lies behind the current digit: time does not pass an occupied slot.
        p = {level, static_cast<unsigned>(std::countr_zero(occupied_[level]))};
        return true;
    }
    return false;
}

std::int64_t timer_wheel::start_of(place p) const noexcept {
    const unsigned shift = p.level * digit_bits;
    const unsigned above = shift + digit_bits;
    const auto now = static_cast<std::uint64_t>(elapsed_);
    const std::uint64_t high = above >= 64 ? 0 : now >> above << above;
    return static_cast<std::int64_t>(high | std::uint64_t{p.index} << shift);
}

// Time has reached the slot: fires its timers if it is one nanosecond, else spreads them over lower
// levels. They are taken out one by one, so that a callback may disarm any of the others.
void timer_wheel::open(place p) noexcept {
    link& slot = slots_[p.level][p.index];
    while (slot.next != &slot) {
        timer& t = static_cast<timer&>(*slot.next);
        t.unlink();
        if (slot.next == &slot) forget(&slot);
        if (p.level > 0) {
            insert(t);
        } else {
            --armed_;
            t.fire(t);
        }
    }
}

void timer_wheel::expire(std::int64_t now) noexcept {
    place p;
    while (first_slot(p)) {
        const std::int64_t start = start_of(p);
        if (start > now) break;
        elapsed_ = std::max(elapsed_, start);
        open(p);
    }
    elapsed_ = std::max(elapsed_, now);
}

std::int64_t timer_wheel::next_due() const noexcept {
    place p;
    if (!first_slot(p)) return std::numeric_limits<std::int64_t>::max();
    const link& slot = slots_[p.level][p.index];
    std::int64_t earliest = std::numeric_limits<std::int64_t>::max();
    int looked_at = 0;
    for (const link* l = slot.next; l != &slot; l = l->next) {
        if (++looked_at > 32) return start_of(p);  // early is right, too; a long scan is not
        earliest = std::min(earliest, static_cast<const timer*>(l)->at);
    }
    return earliest;
}

}  // namespace wire::detail
