// Positions of a lane that a hostile process has left behind: who goes on at them reads and writes
// nothing beyond the lane. Behind the ring lies a page that may not be touched.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <span>
#include <vector>

#include <wire/select.hpp>
#include <wire/shm/detail/attach.hpp>
#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>
#include "support/io.hpp"
#include "support/ring_file.hpp"

namespace wire::test {
namespace {

using shm::producer;
using shm::ring;

constexpr std::uint64_t lane_bytes = 4096;

/// A ring with one lane, and what a hostile process can do to it.
class fenced_ring {
public:
    fenced_ring() : size_(ring::storage_size({.producers = 1, .lane_bytes = lane_bytes})) {
        void* const at = ::mmap(nullptr, size_ + 4096, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        REQUIRE(at != MAP_FAILED);
        begin_ = static_cast<std::byte*>(at);
        REQUIRE(::mprotect(begin_ + size_, 4096, PROT_NONE) == 0);
        ring::create_in(memory(), {.producers = 1, .lane_bytes = lane_bytes});
    }
    ~fenced_ring() { ::munmap(begin_, size_ + 4096); }
    fenced_ring(const fenced_ring&) = delete;
    fenced_ring& operator=(const fenced_ring&) = delete;

    [[nodiscard]] std::span<std::byte> memory() const { return {begin_, size_}; }
    void put_word(std::uint64_t at, std::uint64_t word) const {
        std::memcpy(begin_ + (size_ - lane_bytes) + at, &word, sizeof word);
    }
    void leave(std::uint64_t head, std::uint64_t tail) const {
        shm::detail::attached_ring seen;
        REQUIRE(!shm::detail::attach_to(shm::detail::mapping(memory()), seen));
        seen.map.lane(0).head.store(head);
        seen.map.lane(0).tail.store(tail);
    }

private:
    const std::size_t size_;
    std::byte* begin_ = nullptr;
};

// Around the lane's end, and around the end of the numbers.
std::vector<std::uint64_t> positions() {
    std::vector<std::uint64_t> all;
    for (const std::uint64_t base :
         {std::uint64_t{0}, lane_bytes, 2 * lane_bytes, std::uint64_t{1} << 63})
        for (std::uint64_t d = 0; d < 18; ++d) {
            all.push_back(base - d);
            all.push_back(base + d);
        }
    return all;
}

TEST_CASE("shm positions: a producer that goes on at any head writes into its lane only") {
    for (const std::uint64_t head : positions())
        for (const std::uint64_t behind : {0U, 4U, 8U, 4096U, 5000U}) {
            const fenced_ring memory;
            memory.leave(head, head - behind);
            producer p;
            REQUIRE(!p.attach_memory(memory.memory()));
            const std::array<std::byte, 20> record{};
            while (p.try_send(record) == 0) {
            }
        }
}

TEST_CASE("shm positions: a consumer that goes on at any tail reads of the lane only") {
    for (const std::uint64_t tail : positions())
        for (const std::uint64_t ahead : {1U, 4U, 8U, 12U, 20U, 4096U, 5000U}) {
            const fenced_ring memory;
            memory.leave(tail + ahead, tail);
            ring r = ring::open_in(memory.memory());
            const bool is_whole_word = (tail + ahead) / 8 != tail / 8;
            // Up to where a later owner may have begun, and up to the head.
            int told = 0;
            while (r.try_peek().code() == EBADMSG && told < 3) ++told;
            CHECK(told >= static_cast<int>(is_whole_word));
            CHECK(told <= 2);
            CHECK(r.try_peek().code() == EAGAIN);
        }
}

TEST_CASE("shm positions: a filler without its record is damage") {
    constexpr auto filler = shm::detail::record_word::filler;
    const fenced_ring memory;
    ring r = ring::open_in(memory.memory());
    producer p;
    REQUIRE(!p.attach_memory(memory.memory()));
    memory.put_word(0, filler | lane_bytes);  // else it would be followed by itself, for ever
    memory.leave(lane_bytes, 0);
    CHECK(r.try_peek().code() == EBADMSG);
}

TEST_CASE("shm positions: a record that was found stays as it was found until it is released") {
    const std::array<std::byte, 20> record{};
    for (const std::uint64_t word : {std::uint64_t{9}, std::uint64_t{5000}, ~std::uint64_t{0}}) {
        const fenced_ring memory;
        ring r = ring::open_in(memory.memory());
        producer p;
        REQUIRE(!p.attach_memory(memory.memory()));
        for (int i = 0; i < 2; ++i) REQUIRE(p.try_send(record) == 0);
        REQUIRE(r.try_peek());
        memory.put_word(0, word);
        const auto again = r.try_peek();
        REQUIRE(again);
        CHECK(again->bytes.size() == record.size());
        r.release();
        CHECK(r.try_peek()->bytes.size() == record.size());
        r.release();
        CHECK(r.try_peek().code() == EAGAIN);
    }
}

TEST_CASE("shm positions: who gets the lane of a dead producer that has damaged it begins anew") {
    const ring_file file({.producers = 1, .lane_bytes = lane_bytes});
    ring r = ring::open_file(file.path());
    const std::array<std::byte, 20> record{};
    for (const std::uint64_t head : positions()) {
        CHECK(in_child([&] {
                  producer p;
                  shm::detail::attached_ring seen;
                  if (p.attach_file(file.path().c_str()) ||
                      shm::detail::attach_to_path(file.path().c_str(), seen))
                      return 1;
                  seen.map.lane(0).head.store(head);
                  seen.map.lane(0).tail.store(head - 1000);
                  return ::raise(SIGKILL);
              }) == -SIGKILL);
        int error = 0;
        while ((error = r.peek(within(std::chrono::seconds(10))).code()) == EBADMSG) {
        }
        CHECK(error == EOWNERDEAD);
        producer next;
        REQUIRE(!next.attach_file(file.path().c_str()));
        CHECK(next.try_send(record) == 0);
        CHECK(r.try_peek()->bytes.size() == record.size());
        r.release();
        next.detach();
        CHECK(r.try_peek().code() == EAGAIN);
    }
}

// What a hostile owner of the lane leaves when it leaves in order.
void leave_damage(const ring_file& file) {
    producer hostile;
    REQUIRE(!hostile.attach_file(file.path().c_str()));
    CHECK(hostile.try_send(std::array<std::byte, 20>{}) == 0);
    shm::detail::attached_ring seen;
    REQUIRE(!shm::detail::attach_to_path(file.path().c_str(), seen));
    const std::uint64_t tail = seen.map.lane(0).tail.load();
    *reinterpret_cast<std::uint64_t*>(seen.map.records(0) + tail % lane_bytes) = lane_bytes;
}

TEST_CASE("shm positions: what somebody has damaged hurts nobody who has the lane after it") {
    const ring_file file({.producers = 1, .lane_bytes = lane_bytes});
    ring r = ring::open_file(file.path());
    const std::array<std::byte, 20> record{};
    for (int i = 0; i < 300; ++i) {  // that the lane's end is passed, too
        leave_damage(file);
        producer next;
        REQUIRE(!next.attach_file(file.path().c_str()));
        if (i % 2 == 0) CHECK(r.try_peek().code() == EBADMSG);
        for (int n = 0; n < 3; ++n) CHECK(next.try_send(record) == 0);
        if (i % 2 == 1) CHECK(r.try_peek().code() == EBADMSG);
        CHECK(r.last_departure().pid == 0);  // of one who is no longer there
        for (int n = 0; n < 3; ++n) {
            const auto got = r.try_peek();
            REQUIRE(got);
            CHECK(got->bytes.size() == record.size());
            CHECK(got->from == ::getpid());
            r.release();
        }
        CHECK(r.try_peek().code() == EAGAIN);
    }
}

TEST_CASE("shm positions: damage is told once, and once more when there is new damage") {
    const ring_file file({.producers = 1, .lane_bytes = lane_bytes});
    ring r = ring::open_file(file.path());
    for (int i = 0; i < 3; ++i) {
        leave_damage(file);
        CHECK(r.try_peek().code() == EBADMSG);
        CHECK(r.try_peek().code() == EAGAIN);
        CHECK(r.peek(within(std::chrono::milliseconds(1))).code() == ETIMEDOUT);
    }
    // A head that is far away, and not even a multiple of eight.
    shm::detail::attached_ring seen;
    REQUIRE(!shm::detail::attach_to_path(file.path().c_str(), seen));
    seen.map.lane(0).head.store(1'000'003);
    CHECK(r.peek(within(std::chrono::seconds(10))).code() == EBADMSG);
    CHECK(r.try_peek().code() == EAGAIN);
    CHECK(r.peek(within(std::chrono::milliseconds(1))).code() == ETIMEDOUT);
}

TEST_CASE("shm positions: damage is told to a select, too") {
    const ring_file file({.producers = 1, .lane_bytes = lane_bytes});
    ring r = ring::open_file(file.path());
    on_wires([&] {
        for (int i = 0; i < 3; ++i) {
            leave_damage(file);
            int error = 0;
            const auto told = [&](result<shm::record> got) { error = got.code(); };
            CHECK(*select(on_record(r, told), on_deadline(within(std::chrono::seconds(1)))) == 0);
            CHECK(error == EBADMSG);
            CHECK(r.last_departure().pid == 0);
            CHECK(r.try_peek().code() == EAGAIN);
        }
    });
}

TEST_CASE("shm positions: a record stays until its release, whatever its producer does to it") {
    const ring_file file({.producers = 1, .lane_bytes = lane_bytes});
    ring r = ring::open_file(file.path());
    producer hostile;
    REQUIRE(!hostile.attach_file(file.path().c_str()));
    REQUIRE(hostile.try_send(std::array<std::byte, 20>{}) == 0);
    shm::detail::attached_ring seen;
    REQUIRE(!shm::detail::attach_to_path(file.path().c_str(), seen));
    const auto first = r.try_peek();
    REQUIRE(first);
    *reinterpret_cast<std::uint64_t*>(seen.map.records(0)) = lane_bytes;
    hostile.detach();
    for (int i = 0; i < 3; ++i) {
        const auto again = r.try_peek();
        REQUIRE(again);
        CHECK(again->bytes.data() == first->bytes.data());
        CHECK(again->bytes.size() == first->bytes.size());
    }
    r.release();
    CHECK(seen.map.lane(0).tail.load() == 32);
    CHECK(r.try_peek().code() == EAGAIN);
}

}  // namespace
}  // namespace wire::test
