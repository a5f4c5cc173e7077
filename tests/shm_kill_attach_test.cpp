// A producer of a ring may be killed, or stopped, at any instruction of attaching and of leaving.
#include <doctest/doctest.h>

#include "support/ring_kills.hpp"

namespace wire::test {
namespace {

using others = plan::others;

void detach(producer& p, const survivors&) {
    p.detach();
}
void send_and_detach(producer& p, const survivors&) {
    if (claim_and_fill(p, 0)) p.commit(record_bytes);
    claim_and_fill(p, 1);
    p.detach();
}

// Of both kinds, with a lane and without.
void check_both(const marks& seen) {
    CHECK(seen.owned > 0);
    CHECK(seen.owned < seen.rounds);
}

TEST_CASE("shm ring: a producer is killed at any instruction of attaching") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    marks seen;
    CHECK(kill_everywhere<calm_listener>({{}, attach, 0}, seen) == "");
    check_both(seen);
}

TEST_CASE("shm ring: a producer that attaches is killed while the consumer sleeps") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    for (const others o :
         {others::send_afterwards, others::send_while_it_is_stopped, others::are_not_there}) {
        marks seen;
        CHECK(kill_everywhere<sleeping_listener>({{}, attach, 0, o, true}, seen) == "");
        CHECK(seen.owned > 0);
        CHECK(seen.arriving > 0);
    }
}

TEST_CASE("shm ring: a producer is killed at any instruction of leaving") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    marks seen;
    CHECK(kill_everywhere<calm_listener>({attach, send_and_detach}, seen) == "");
    check_both(seen);
    CHECK(seen.half_written > 0);
    CHECK(seen.committed > 0);
}

TEST_CASE("shm ring: a producer that leaves is killed while the consumer sleeps") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    for (const others o :
         {others::send_afterwards, others::send_while_it_is_stopped, others::are_not_there}) {
        marks seen;
        CHECK(kill_everywhere<sleeping_listener>({attach, detach, 0, o}, seen) == "");
        check_both(seen);
    }
}

}  // namespace
}  // namespace wire::test
