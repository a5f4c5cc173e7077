// An exchange whose givers and takers pass several values at once, under every schedule.
// How far: see support/explored.hpp.
#include <doctest/doctest.h>

#include "support/environment.hpp"
#include "support/exchange_traffic.hpp"
#include "support/explored.hpp"

using namespace interleave;

TEST_CASE("exchange: under ThreadSanitizer, in batches" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("exchange: batches pass on every value, in order") {
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        require_passed(batches<with_fence>(slots, 3, reach(1)));
        if (!explores_long()) require_passed(batches<without_fence>(slots, 3, reach(0)));
    }
}

TEST_CASE("exchange: a batch wakes as many as it is enough for") {
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        require_sampled(batch_for_two<with_fence>(slots, sampled()));
        require_sampled(batch_of_two<with_fence>(slots, sampled()));
    }
    if (!explores_long()) require_passed(batch_for_two<without_fence>(2, reach(0)));
    if (!explores_long()) require_passed(batch_of_two<without_fence>(2, reach(0)));
}

TEST_CASE("exchange: two give and two take in batches") {
    for (const std::uint32_t slots : {1U, 2U, 4U})
        require_sampled(batches_two_each<with_fence>(slots, sampled()));
}

TEST_CASE("exchange: as many schedules of batches as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 10'000);
}

TEST_SUITE_END();
