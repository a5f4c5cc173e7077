// The end of an exchange under every schedule, and its new beginning.
// How far: see support/explored.hpp.
#include <doctest/doctest.h>

#include "support/environment.hpp"
#include "support/exchange_end.hpp"
#include "support/explored.hpp"

using namespace interleave;

TEST_CASE("exchange: under ThreadSanitizer, its end" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("exchange: what is given before the end is taken, then all are told of it") {
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        if (!explores_long())
            require_passed(close_among_all<with_fence>(slots, 1, reach(slots == 1 ? 1 : 0)));
        require_sampled(close_among_all<with_fence>(slots, 1, sampled()));
        require_sampled(close_among_all<with_fence>(slots, 2, sampled()));
    }
    if (!explores_long()) require_passed(close_among_all<without_fence>(1, 1, reach(0)));
}

TEST_CASE("exchange: two givers and two takers are told of the end") {
    for (const std::uint32_t slots : {1U, 2U, 4U})
        require_sampled(close_among_two_each<with_fence>(slots, sampled()));
}

TEST_CASE("exchange: after close() nothing more is given") {
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        require_passed(drain_after_close<with_fence>(slots, reach(2)));
        require_passed(drain_after_close<without_fence>(slots, reach(slots == 2 ? 2 : 1)));
    }
}

TEST_CASE("exchange: close wakes those that wait") {
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        if (!explores_long())
            require_passed(close_wakes_givers<with_fence>(slots, reach(slots == 1 ? 1 : 0)));
        require_sampled(close_wakes_givers<with_fence>(slots, sampled()));
        if (!explores_long())
            require_passed(close_wakes_takers<with_fence>(slots, reach(slots == 1 ? 1 : 0)));
        require_sampled(close_wakes_takers<with_fence>(slots, sampled()));
    }
    if (!explores_long()) require_passed(close_wakes_givers<without_fence>(1, reach(0)));
    if (!explores_long()) require_passed(close_wakes_takers<without_fence>(2, reach(0)));
}

TEST_CASE("exchange: is as new when it is opened again") {
    for (const std::uint32_t slots : {1U, 2U, 4U})
        require_passed(reopen_after_close<with_fence>(slots, reach(1)));
    require_passed(closed_is_seen<with_fence>(reach(3)));
}

TEST_CASE("exchange: who reopens it while it is closed leaves nobody asleep") {
    for (const std::uint32_t slots : {1U, 2U, 4U})
        require_sampled(reopen_among_close<with_fence>(slots, sampled()));
    if (!explores_long()) require_sampled(reopen_among_close<without_fence>(1, sampled()));
}

TEST_CASE("exchange: as many schedules of its end as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 1'000'000);
}

TEST_SUITE_END();
