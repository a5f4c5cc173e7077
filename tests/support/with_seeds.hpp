// How often a stress test goes round: a few times, or in the long form for its share of a minute.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>

#include <wire/deadline.hpp>

namespace wire::test {

/// Whether WIRE_EXPLORE is in the environment.
inline bool in_long_form() noexcept {
    return std::getenv("WIRE_EXPLORE") != nullptr;  // NOLINT(concurrency-mt-unsafe)
}

/// Calls `round(seed)` with one seed after another: `rounds` of them, and in the long form until
/// `share` is over.
template <class F>
void with_seeds(std::uint64_t rounds, std::chrono::seconds share, F round) {
    const deadline end = within(in_long_form() ? share : std::chrono::seconds(0));
    for (std::uint64_t seed = 1; seed <= rounds || within(std::chrono::seconds(0)) < end; ++seed) {
        CAPTURE(seed);
        round(seed);
    }
}

}  // namespace wire::test
