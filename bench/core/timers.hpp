// Set and cancel: one of many armed timers is cancelled and armed again, at random.
#pragma once

#include <cstdint>
#include <vector>

#include "measure.hpp"

namespace bench {

inline constexpr std::size_t armed_timers = 100'000;

/// Source: G. Marsaglia, "Xorshift RNGs", 2003.
class random_numbers {
public:
    std::uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_;
    }

private:
    std::uint64_t state_ = 88'172'645'463'325'252;
};

/// Nanoseconds for cancelling a random one of the armed timers and setting it again, to a random
/// moment of the ten seconds after `start`. The deadlines are drawn beforehand.
template <class Timers, class Handle>
double set_and_cancel(Timers& timers, std::vector<Handle>& handles, std::int64_t start) {
    constexpr std::uint64_t ten_seconds = 10'000'000'000;
    constexpr std::size_t drawn = 1u << 16;
    random_numbers random;
    std::vector<std::int64_t> deadlines(drawn);
    std::vector<std::uint32_t> victims(drawn);
    for (auto& d : deadlines) d = start + static_cast<std::int64_t>(random.next() % ten_seconds);
    for (auto& v : victims) v = static_cast<std::uint32_t>(random.next() % handles.size());
    for (std::size_t i = 0; i < handles.size(); ++i)
        timers.arm(handles[i], deadlines[i % drawn] + static_cast<std::int64_t>(i));

    std::size_t at = 0;
    return ns_per_operation([&](std::uint64_t n) {
        for (; n > 0; --n, ++at) {
            Handle& h = handles[victims[at % drawn]];
            timers.disarm(h);
            timers.arm(h, deadlines[(at + at / drawn) % drawn]);
        }
    });
}

}  // namespace bench
