// What mspc_ipc tests its ring with: 16 producers that send 100 records of 8 bytes each, all of
// which must arrive, each producer's in its order. There the producers were threads and shared 128
// places; here each has a lane for 256 such records, so the same is done with records of which
// eight fill it, too; and by processes. 20 rounds, with WIRE_EXPLORE=long 1,000.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>
#include "support/ring_memory.hpp"
#include "support/with_seeds.hpp"

namespace wire::test {
namespace {

using namespace std::chrono_literals;
using shm::producer;
using shm::ring;

constexpr std::uint32_t producers = 16;
constexpr std::uint32_t each = 100;
constexpr shm::ring_options sizes{.producers = producers, .lane_bytes = 4096};

struct number {
    std::uint32_t producer;
    std::uint32_t count;
};
static_assert(sizeof(number) == 8);

// Returns 0 or what failed. In a child, too.
int send_all(std::span<std::byte> memory, std::uint32_t who, std::size_t record_bytes) {
    producer p;
    if (const auto no = p.attach_memory(memory)) return no.error;
    std::vector<std::byte> record(record_bytes);
    for (std::uint32_t i = 0; i < each; ++i) {
        const number n{who, i};
        std::memcpy(record.data(), &n, sizeof n);
        if (const int error = p.send(record, within(30s))) return error;
    }
    return 0;
}

void receive_all(ring& r, std::size_t record_bytes) {
    std::array<std::uint32_t, producers> next{};
    for (std::uint32_t i = 0; i < producers * each; ++i) {
        const auto got = r.peek(within(30s));
        REQUIRE(got.code() == 0);
        REQUIRE(got->bytes.size() == record_bytes);
        number n{};
        std::memcpy(&n, got->bytes.data(), sizeof n);
        REQUIRE(n.producer < producers);
        REQUIRE(n.count == next[n.producer]++);
        r.release();
    }
    CHECK(r.try_peek().code() == EAGAIN);
}

void run_threads(std::size_t record_bytes) {
    const ring_memory memory(sizes);
    ring r = ring::create_in(memory.bytes(), sizes);
    std::vector<std::jthread> all;
    for (std::uint32_t i = 0; i < producers; ++i)
        all.emplace_back([&, i] { CHECK(send_all(memory.bytes(), i, record_bytes) == 0); });
    receive_all(r, record_bytes);
}

void run_processes(std::size_t record_bytes) {
    const ring_memory memory(sizes);
    ring r = ring::create_in(memory.bytes(), sizes);
    std::vector<pid_t> all;
    for (std::uint32_t i = 0; i < producers; ++i) {
        all.push_back(::fork());
        if (all.back() == 0) ::_exit(send_all(memory.bytes(), i, record_bytes));
    }
    receive_all(r, record_bytes);
    for (const pid_t child : all) {
        int status = -1;
        CHECK(::waitpid(child, &status, 0) == child);
        CHECK(status == 0);
    }
}

template <class F>
void rounds(F run) {
    for (int i = in_long_form() ? 1000 : 20; i > 0; --i)
        for (const std::size_t record_bytes : {8U, 500U}) {
            CAPTURE(i);
            run(record_bytes);
        }
}

TEST_CASE("shm many: 16 threads send 100 records each, and all arrive in order") {
    rounds(run_threads);
}
TEST_CASE("shm many: 16 processes send 100 records each, and all arrive in order") {
    rounds(run_processes);
}

}  // namespace
}  // namespace wire::test
