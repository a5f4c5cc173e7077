// One producer and the consumer of a ring, under every schedule: lanes of two records, and what
// either side sleeps on.
//
// WIRE_EXPLORE=long in the environment allows more preemptions.
#include <doctest/doctest.h>

#include "support/environment.hpp"
#include "support/ring_scenarios.hpp"

using namespace interleave;

namespace {

std::uint64_t executions = 0;

void require_passed(const result& r) {
    executions += r.executions;
    CHECK_MESSAGE(went_far(r), r.report());
}

constexpr std::int64_t later = 1'000'000;
constexpr fences all_fences[] = {fences::heavy, fences::none, fences::not_of_producer,
                                 fences::not_of_consumer};

}  // namespace

TEST_CASE("shm lane: under ThreadSanitizer" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("shm lane: records go round, and neither side sleeps too long") {
    for (const fences f : all_fences) {
        require_passed(pass(f, 2, bounds(2)));
        require_passed(pass(f, 3, bounds(2)));
        require_passed(pass(f, 4, bounds(2)));
    }
}

TEST_CASE("shm lane: a filler takes the rest, and its release is told too") {
    for (const fences f : all_fences) require_passed(wrap(f, bounds(2)));
}

TEST_CASE("shm lane: a batch is published before its producer waits") {
    for (const fences f : all_fences) require_passed(batches(f, bounds(2)));
}

TEST_CASE("shm lane: who gives up loses nothing") {
    for (const fences f : all_fences) {
        for (const std::int64_t until : {std::int64_t{0}, later}) {
            require_passed(impatient_consumer(f, until, bounds(2)));
            require_passed(impatient_producer(f, until, bounds(2)));
        }
    }
}

TEST_CASE("shm lane: the next owner goes on where the one before has left") {
    require_passed(hand_over(reach(2)));
}

TEST_CASE("shm lane: the next consumer goes on after the last release") {
    require_passed(next_consumer(false, reach(2)));
    require_passed(next_consumer(true, reach(2)));
}

TEST_CASE("shm lane: a bell that rings makes visible what came before") {
    for (const fences f : all_fences) require_passed(ring_then_prepare(f, bounds(2)));
}

TEST_CASE("shm lane: who is awake again is not called") {
    for (const fences f : all_fences) require_passed(tell_one_awake(f, bounds(2)));
}

TEST_CASE("shm lane: as many schedules as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 500'000);
}

TEST_SUITE_END();
