// How long a producer that seldom sends waits among others whose lanes are full all the time. One
// thread plays all of them, so each count is exact.
#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <optional>
#include <vector>

#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>
#include "support/ring_memory.hpp"

namespace wire::test {
namespace {

using shm::producer;
using shm::ring;
using shm::ring_options;

constexpr std::size_t sweep = 16;  // so many records of a lane, then those of the next

/// Some producers with full lanes, one that seldom sends, and the consumer.
class crowd {
public:
    explicit crowd(std::size_t flooders)
        : sizes_{.producers = static_cast<std::uint32_t>(flooders + 1), .lane_bytes = 4096},
          memory_(sizes_),
          ring_(ring::create_in(memory_.bytes(), sizes_)) {
        for (std::size_t i = 0; i < flooders; ++i) attach(flooders_.emplace_back());
        flood();
    }
    void attach_slow() {
        if (!slow_.attached()) attach(slow_);
    }
    void slow_sends() { REQUIRE(slow_.try_send(std::array{from_slow}) == 0); }
    /// Receives one record. Returns whether it is the slow one's.
    bool receive() {
        const auto got = ring_.try_peek();
        REQUIRE(got);
        const bool is_slow = got->bytes[0] == from_slow;
        ring_.release();
        flood();
        return is_slow;
    }
    /// How many records of others come before the slow one's.
    std::size_t wait_of_slow() {
        std::size_t n = 0;
        while (n < 1000 && !receive()) ++n;
        return n;
    }

private:
    static constexpr std::byte from_slow{1}, from_flooder{2};

    void attach(producer& p) { REQUIRE(!p.attach_memory(memory_.bytes())); }
    void flood() {
        for (producer& p : flooders_)
            while (p.try_send(std::array{from_flooder}) == 0) {
            }
    }

    ring_options sizes_;
    ring_memory memory_;
    ring ring_;
    std::vector<producer> flooders_;
    producer slow_;
};

TEST_CASE("shm fairness: one whose neighbours flood waits for one sweep of each at most") {
    for (const std::size_t flooders : {1U, 2U, 5U})
        for (std::size_t already = 0; already < 3 * sweep * (flooders + 1); ++already) {
            CAPTURE(flooders);
            CAPTURE(already);
            crowd all(flooders);
            all.attach_slow();
            for (std::size_t i = 0; i < already; ++i) CHECK(!all.receive());
            all.slow_sends();
            CHECK(all.wait_of_slow() <= flooders * sweep);
        }
}

TEST_CASE("shm fairness: one that attaches late waits no longer") {
    for (const std::size_t flooders : {1U, 2U, 5U})
        for (std::size_t already = 0; already < 3 * sweep * (flooders + 1); ++already) {
            CAPTURE(flooders);
            CAPTURE(already);
            crowd all(flooders);
            for (std::size_t i = 0; i < already; ++i) CHECK(!all.receive());
            all.attach_slow();
            all.slow_sends();
            CHECK(all.wait_of_slow() <= flooders * sweep);
        }
}

TEST_CASE("shm fairness: one that sends all the time gets its share, whatever the others send") {
    constexpr std::size_t rounds = 20;
    crowd all(3);
    all.attach_slow();
    std::size_t others = 0;
    for (std::size_t i = 0; i < rounds; ++i) {
        all.slow_sends();
        others += all.wait_of_slow();
    }
    CHECK(others <= rounds * 3 * sweep);
}

}  // namespace
}  // namespace wire::test
