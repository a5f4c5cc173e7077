// What a program of explored scenarios demands of each, and the count of all schedules that it saw.
//
// WIRE_EXPLORE=long in the environment allows two preemptions everywhere. What has more than a
// million schedules then is run a million times, and 400,000 of these are samples of all. Without a
// heavy fence there are only the small scenarios then.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>

#include "interleave_bounds.hpp"

namespace interleave {

inline std::uint64_t executions = 0;

/// All that reach() allows, without a failure.
inline void require_passed(const result& r) {
    executions += r.executions;
    CHECK_MESSAGE(went_far(r), r.report());
}

/// All that sampled() allows, without a failure.
inline void require_sampled(const result& r) {
    executions += r.executions;
    CHECK_MESSAGE(ran_samples(r), r.report());
}

}  // namespace interleave
