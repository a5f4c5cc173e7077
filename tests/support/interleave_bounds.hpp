// How far the explorer goes in the tests, and what it found in a word.
#pragma once

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

inline std::string failure_of(const result& r) {
    if (!r.failure.empty() || r.exhausted) return r.failure;
    return "not exhausted";
}

}  // namespace interleave
