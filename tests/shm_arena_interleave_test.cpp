// Users of an arena under every schedule: records that are sent, received and freed, users who are
// killed before any of their stores, and the lock.
//
// WIRE_EXPLORE=long in the environment allows more preemptions.
#include <doctest/doctest.h>

#include "support/arena_deaths.hpp"
#include "support/environment.hpp"
#include "support/explored.hpp"

using namespace interleave;

namespace {
constexpr arena_fences all_fences[] = {arena_fences::heavy, arena_fences::none,
                                       arena_fences::not_of_producer,
                                       arena_fences::not_of_consumer};
}  // namespace

TEST_CASE("shm arena: under ThreadSanitizer" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("shm arena: blocks go round, and neither side sleeps too long") {
    for (const arena_fences f : all_fences) {
        require_passed(pass(f, 2, reach(2)));
        require_passed(pass(f, 3, reach(2)));
    }
}

TEST_CASE("shm arena: who finds the queue full goes on when there is a place") {
    for (const arena_fences f : all_fences) {
        require_passed(fill_up(f, 2, reach(2)));
        require_passed(fill_up(f, 3, reach(2)));
    }
}

TEST_CASE("shm arena: who waits hears that the other side has left") {
    for (const arena_fences f : all_fences) {
        require_passed(producer_leaves(f, reach(2)));
        require_passed(consumer_leaves(f, reach(2)));
    }
}

TEST_CASE("shm arena: who comes for the first time is not taken for one who has left") {
    require_passed(producer_comes(reach(2)));
    require_passed(consumer_comes(reach(2)));
}

TEST_CASE("shm arena: a dead producer is buried while its consumer goes on") {
    require_passed(producer_dies(2, false, reach(2)));
    require_passed(producer_dies(2, true, reach(1)));
    for (const bool by_third : {false, true}) {
        require_passed(producer_dies(3, by_third, reach(1)));
    }
}

TEST_CASE("shm arena: what a dead consumer has not counted the next one receives") {
    require_passed(consumer_dies(2, reach(1)));
    require_passed(consumer_dies(3, reach(1)));
}

TEST_CASE("shm arena: who dies while it takes an end leaves it to the next one") {
    require_passed(newcomer_dies(reach(1)));
}

TEST_CASE("shm arena: whoever buries or forgets may die too") {
    require_passed(burier_dies(reach(1)));
    require_passed(forgetter_dies(reach(2)));
    require_passed(maker_dies(reach(2)));
}

TEST_CASE("shm arena lock: one after the other, and nobody sleeps too long") {
    require_passed(lock_in_turn(2, 2, reach(3)));
    require_passed(lock_in_turn(3, 1, reach(3)));
}

TEST_CASE("shm arena lock: it is taken from one who has died") {
    for (const int early_wakes : {0, 2}) {
        options o = reach(2);
        o.early_wakes = early_wakes;
        require_passed(holder_dies(1, o));
        require_passed(holder_dies(2, o));
    }
}

TEST_CASE("shm arena: as many schedules as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 120'000);
}

TEST_SUITE_END();
