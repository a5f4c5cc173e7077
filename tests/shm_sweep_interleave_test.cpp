// Several producers of a ring and its consumer, under every schedule: those that attach, leave and
// are killed.
//
// WIRE_EXPLORE=long in the environment allows more preemptions.
#include <doctest/doctest.h>

#include "support/environment.hpp"
#include "support/ring_sweep_scenarios.hpp"

using namespace interleave;

namespace {

std::uint64_t executions = 0;

void require_passed(const result& r) {
    executions += r.executions;
    CHECK_MESSAGE(went_far(r), r.report());
}

}  // namespace

TEST_CASE("shm sweep: under ThreadSanitizer" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("shm sweep: of two producers each is heard, by one system call for each sleep") {
    for (const fences f : {fences::heavy, fences::none, fences::not_of_producer}) {
        require_passed(two_producers(f, 1, reach(2)));
        require_passed(two_producers(f, 2, reach(1)));
    }
}

TEST_CASE("shm sweep: a lane comes into use and falls out of it in any moment") {
    require_passed(attach_leave_attach(reach(2)));
    require_passed(leave(reach(2)));
    require_passed(attach_to_busy(reach(2)));
    require_passed(begin(reach(2)));
}

TEST_CASE("shm sweep: a dead owner's records are received, then the lane is another's") {
    for (const fences f : {fences::heavy, fences::none, fences::not_of_producer}) {
        require_passed(owner_dies(f, false, reach(2)));
        require_passed(owner_dies(f, true, reach(2)));
    }
}

TEST_CASE("shm sweep: who is stopped while it rings keeps nobody from being heard") {
    require_passed(stops(false, reach(2)));
    require_passed(stops(true, reach(2)));
}

TEST_CASE("shm sweep: who dies while it attaches or leaves keeps nobody from being heard") {
    require_passed(dies_unwatched(false, reach(2)));
    require_passed(dies_unwatched(true, reach(2)));
    require_passed(dies_silent(reach(2)));
}

TEST_CASE("shm sweep: as many schedules as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 300'000);
}

TEST_SUITE_END();
