// How far the explorer goes in the tests, and what it found in a word.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>

#include "interleave.hpp"

namespace interleave {

constexpr const char* race = "race: acquire and release do not order two uses";
constexpr const char* deadlock = "deadlock: no thread can go on";

inline bool explores_long() {
    return std::getenv("WIRE_EXPLORE") != nullptr;  // NOLINT(concurrency-mt-unsafe)
}

inline options bounds(int preemptions) {
    const int more = explores_long() ? 1 : 0;
    return {.preemptions = preemptions + more,
            .executions_max = explores_long() ? 60'000'000U : 3'000'000U};
}

constexpr std::uint64_t many = 1'000'000;

/// So many preemptions in the short run, and all schedules; at least two in the long one, and all
/// schedules or a million executions, of which the last are samples.
inline options reach(int preemptions) {
    if (!explores_long()) return {.preemptions = preemptions};
    return {.preemptions = std::max(preemptions, 2),
            .executions_max = many * 6 / 10,
            .samples = many * 4 / 10};
}

/// As far as it was to go by reach(), and without a failure.
inline bool went_far(const result& r) {
    return explores_long() ? r.passed_or_ran(many) : r.passed();
}

constexpr std::uint64_t few = 20'000;

/// Two preemptions, for what has too many schedules for the short run: it samples them.
inline options sampled() {
    if (explores_long()) return reach(2);
    return {.preemptions = 2, .executions_max = few / 4, .samples = few * 3 / 4};
}

/// As far as it was to go by sampled(), and without a failure.
inline bool ran_samples(const result& r) {
    return r.passed_or_ran(explores_long() ? many : few);
}

inline std::string failure_of(const result& r) {
    if (!r.failure.empty() || r.exhausted) return r.failure;
    return "not exhausted";
}

}  // namespace interleave
