// A producer of a ring may be killed, or stopped, at any instruction of a record.
//
// A child makes one call of the ring, step by step, and is killed after the first, the second, the
// third ... instruction of it. Each time those who live on must find every committed record once,
// whole and in order, hear of the death, and have the lane free again.
#include <doctest/doctest.h>

#include "support/ring_kills.hpp"

namespace wire::test {
namespace {

void send_one(producer& p, const survivors&) {
    if (claim_and_fill(p, 0)) p.commit(record_bytes);
}

// So that the next record needs a filler before it, and nothing else is in the lane.
void come_near_the_end(producer& p, const survivors& s) {
    attach(p, s);
    const ring_memory memory(s.descriptor());
    const std::uint64_t rest = memory.lane_bytes() - memory.head(1) % memory.lane_bytes();
    const std::string pad(1000, 'p');
    std::uint64_t space = rest - record_space / 3;
    for (; space > 2 * pad.size(); space -= shm::detail::record_word::space_for(pad.size()))
        must(p.try_send(bytes_of(pad)) == 0, "there is room");
    if (space > 0) must(p.try_send(bytes_of(pad + pad).first(space - 8)) == 0, "there is room");
}

constexpr int batch = 3;

void send_batch(producer& p, const survivors&) {
    for (int i = 0; i < batch; ++i)
        if (claim_and_fill(p, i)) p.prepare(record_bytes);
    p.publish();
}

void change_ones_mind(producer& p, const survivors&) {
    claim_and_fill(p, 1);
    p.abort();
    claim_and_fill(p, 0);
    p.commit(record_bytes);
}

TEST_CASE("shm ring: a producer is killed at any instruction of a record") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    marks seen;
    CHECK(kill_everywhere<calm_listener>({attach, send_one}, seen) == "");
    CHECK(seen.half_written > 0);
    CHECK(seen.written > 0);
    CHECK(seen.committed > 0);
    CHECK(seen.owned == seen.rounds);
}

TEST_CASE("shm ring: a producer is killed at any instruction of a record behind a filler") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    marks seen;
    CHECK(kill_everywhere<calm_listener>({come_near_the_end, send_one}, seen) == "");
    CHECK(seen.half_written > 0);
    CHECK(seen.written > 0);
    CHECK(seen.committed > 0);
}

TEST_CASE("shm ring: of a batch all or none is there, whenever its producer is killed") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    marks seen;
    CHECK(kill_everywhere<calm_listener>({attach, send_batch, batch}, seen) == "");
    CHECK(seen.half_written > 0);
    CHECK(seen.written > 0);
    CHECK(seen.committed > 0);
}

TEST_CASE("shm ring: a producer is killed at any instruction after it has changed its mind") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    marks seen;
    CHECK(kill_everywhere<calm_listener>({attach, change_ones_mind}, seen) == "");
    CHECK(seen.committed > 0);
}

TEST_CASE("shm ring: a producer is killed at any instruction that wakes the consumer") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    for (const auto others : {plan::others::send_afterwards, plan::others::are_not_there}) {
        marks seen;
        CHECK(kill_everywhere<sleeping_listener>({attach, send_one, 1, others}, seen) == "");
        CHECK(seen.half_written > 0);
        CHECK(seen.committed > 0);
    }
}

TEST_CASE("shm ring: nobody waits for a producer that is stopped at any instruction") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    marks seen;
    const auto others = plan::others::send_while_it_is_stopped;
    CHECK(kill_everywhere<sleeping_listener>({attach, send_one, 1, others}, seen) == "");
    CHECK(seen.half_written > 0);
    CHECK(seen.committed > 0);
}

// What the other tests must find: a writer that commits its record, and then writes it.
TEST_CASE("shm ring: a record that is committed before it is written is found out") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    std::optional<ring_memory> memory;
    const auto prepare = [&](producer& p, const survivors& s) {
        attach(p, s);
        memory.emplace(s.descriptor());
    };
    const auto commit_early = [&](producer&, const survivors&) {
        const std::uint64_t at = memory->head(1);
        std::byte* const record = memory->next_record(1, at, record_space);
        shm::detail::system_sync::ref(record - 8).store(record_bytes);
        memory->lane(1).head.store(at + record_space);
        fill({record, record_bytes}, 0);
    };
    marks seen;
    const std::string wrong = kill_everywhere<calm_listener>({prepare, commit_early}, seen);
    CHECK(wrong.find("instead of") != wrong.npos);
}

}  // namespace
}  // namespace wire::test
