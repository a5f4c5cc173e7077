// Givers and takers of an exchange under every schedule: full and empty, sleeping and waking, with
// deadlines. Claims, batches and the end are in the files beside this one.
// How far: see support/explored.hpp.
#include <doctest/doctest.h>

#include "support/environment.hpp"
#include "support/exchange_traffic.hpp"
#include "support/explored.hpp"

using namespace interleave;

TEST_CASE("exchange: under ThreadSanitizer" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("exchange: a giver and a taker pass on every value, in order") {
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        require_passed(one_each<with_fence>(slots, 2, reach(2)));
        require_passed(one_each<with_fence>(slots, 3, reach(2)));
        require_passed(one_each<with_fence>(slots, 5, reach(1)));
        require_passed(one_each<exchange_sync<true, 1>>(slots, 3, reach(2)));
        if (!explores_long()) require_passed(one_each<without_fence>(slots, 2, reach(1)));
    }
}

TEST_CASE("exchange: two givers share the room, and two takers what there is") {
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        require_passed(two_givers<with_fence>(slots, reach(slots == 1 ? 1 : 0)));
        require_passed(two_takers<with_fence>(slots, reach(0)));
        if (explores_long()) continue;
        require_passed(two_givers<without_fence>(slots, reach(0)));
        require_passed(two_takers<without_fence>(slots, reach(0)));
    }
}

TEST_CASE("exchange: two givers and two takers lose nothing and wait for each other") {
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        if (!explores_long()) require_passed(two_each<with_fence>(slots, 1, reach(0)));
        if (!explores_long()) require_sampled(two_each<with_fence>(slots, 2, sampled()));
        require_passed(two_each<with_fence>(slots, 2, reach(0)));
    }
}

TEST_CASE("exchange: who waits no longer leaves nobody asleep") {
    for (const std::uint32_t slots : {1U, 2U, 4U})
        for (const auto until : {at_once, wire::deadline::at_ns(1'000'000)}) {
            require_passed(impatient_taker<with_fence>(slots, until, reach(slots == 1 ? 1 : 0)));
            require_passed(impatient_giver<with_fence>(slots, until, reach(slots == 1 ? 1 : 0)));
        }
}

TEST_CASE("exchange: as many schedules as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 300'000);
}

TEST_SUITE_END();
