// When a runtime's thread counts as held: what a look at its pulse now and then says.
//
//     beats                 5   7   7   7   7   9
//     look                  |   |   |   |   |   |
//     verdict            new  new  same ...     new
//                                ^ a probe is posted: from here on there has been no switch
//
// Time counts from the first look at a turn, behind which the probe is posted. So it is never
// longer than one wire has held the thread, and shorter by less than the time between two looks.
//
// Time in which the looking thread itself did not look, although it was to, is not counted: the
// process was stopped, by a debugger or a signal, or the machine stood still or is overloaded. The
// watched thread, too, could do nothing then.
#pragma once

#include <cstdint>

namespace wire::io::detail {

class stall_evidence {
public:
    /// What a look has found.
    enum class verdict : std::uint8_t {
        idle,  ///< no wire has run since the last look
        rest,  ///< wires have run, and do not now
        turn,  ///< they run, in another turn than at the last look
        same   ///< in the same one
    };

    /// `beats` as in wire::detail::pulse; `now` in nanoseconds.
    verdict look(std::uint64_t beats, std::int64_t now) noexcept {
        if (beats == beats_) return beats % 2 == 1 ? verdict::same : verdict::idle;
        beats_ = beats;
        since_ = now;
        return beats % 2 == 1 ? verdict::turn : verdict::rest;
    }

    /// Before a look: the one before was `passed` ns ago, and was to be `period` ns ago.
    void skip(std::int64_t passed, std::int64_t period) noexcept {
        if (passed > 2 * period) since_ += passed - period;
    }

    /// How long the turn of the last look has lasted then, at least.
    [[nodiscard]] std::int64_t held(std::int64_t now) const noexcept { return now - since_; }
    [[nodiscard]] std::uint64_t beats() const noexcept { return beats_; }

private:
    std::uint64_t beats_ = 0;
    std::int64_t since_ = 0;
};

}  // namespace wire::io::detail
