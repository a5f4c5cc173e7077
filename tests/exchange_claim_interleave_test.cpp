// Claims of an exchange's slots under every schedule, and those that wait until it is empty.
// How far: see support/explored.hpp.
#include <doctest/doctest.h>

#include "support/environment.hpp"
#include "support/exchange_claims.hpp"
#include "support/explored.hpp"

using namespace interleave;

TEST_CASE("exchange: under ThreadSanitizer, its claims" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("exchange: who waits until it is empty is woken, and not before") {
    for (const std::uint32_t slots : {1U, 2U, 4U})
        for (const bool is_closed : {false, true})
            require_passed(
                wait_for_takers<with_fence>(slots, is_closed, reach(slots == 2 ? 1 : 0)));
    for (const bool is_closed : {false, true})
        if (!explores_long())
            require_passed(wait_for_takers<without_fence>(2, is_closed, reach(0)));
}

TEST_CASE("exchange: a taker wakes who waits for room, and who waits until it is empty") {
    for (const std::uint32_t slots : {1U, 2U, 4U})
        require_sampled(wait_beside_giver<with_fence>(slots, sampled()));
    if (!explores_long()) require_sampled(wait_beside_giver<without_fence>(1, sampled()));
}

TEST_CASE("exchange: a claim ends as its holder likes, also when it is closed meanwhile") {
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        for (const ends how : {ends::given, ends::given_up})
            require_sampled(close_among_claims_of_free<with_fence>(slots, how, sampled()));
        for (const bool waits : {false, true})
            require_sampled(claims_of_full<with_fence>(slots, waits, sampled()));
    }
}

TEST_CASE("exchange: who waits for a claim to end is woken, however it does") {
    for (const ends how : {ends::given, ends::given_up})
        for (const bool of_full : {false, true}) {
            require_passed(wait_for_kind<with_fence>(how, of_full, reach(2)));
            require_passed(wait_for_kind<without_fence>(how, of_full, reach(1)));
        }
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        require_passed(wait_for_claim<with_fence>(slots, reach(2)));
        require_passed(wait_for_claim<without_fence>(slots, reach(1)));
    }
}

TEST_CASE("exchange: counts of what was given and taken are never below 0") {
    for (const std::uint32_t slots : {1U, 2U, 4U})
        for (const bool of_full : {false, true})
            require_passed(count_among_claims<with_fence>(slots, of_full, reach(2)));
}

TEST_CASE("exchange: as many schedules of claims as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 300'000);
}

TEST_SUITE_END();
