// A ring under load within one process: threads and wires send, a thread or a wire receives, and
// afterwards the books must be right. Run under ThreadSanitizer, too. A lost wake-up is a hang: of
// a producer that waits without a deadline.
#include <doctest/doctest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "support/environment.hpp"
#include "support/io.hpp"
#include "support/ring_traffic.hpp"
#include "support/with_seeds.hpp"

namespace wire::test {
namespace {

using shm::ring;

constexpr auto share = 4s;  // of each case in the long form

struct plan {
    std::uint32_t threads = 0;
    std::uint32_t wires = 0;  // of one runtime
    bool is_wire = false;     // the consumer
    std::uint32_t lanes = 16;
    std::uint64_t closes = UINT64_MAX;
    std::uint32_t each = under_tsan ? 500 : 2000;
};

void as_thread() {
    std::this_thread::yield();
}
void as_wire() {
    yield();
}

// Runs `body` in a runtime of this thread.
template <class F>
void in_runtime(F body) {
    runtime rt({.stack = {.size = 256 * 1024}});
    const io::reactor reactor(rt);
    rt.go(body);
    CHECK(rt.run());
}

class ring_run {
public:
    ring_run(const plan& p, std::uint64_t seed)
        : plan_(p),
          seed_(seed),
          sizes_{.producers = p.lanes, .lane_bytes = 4096},
          memory_(sizes_),
          ring_(ring::create_in(memory_.bytes(), sizes_)),
          account_(p.threads + p.wires) {}

    void run() {
        {
            std::vector<std::jthread> threads;
            for (std::uint32_t i = 0; i < plan_.threads; ++i)
                threads.emplace_back([this, i] { send<plain_end>(i, as_thread); });
            if (plan_.wires > 0) threads.emplace_back([this] { run_wires(); });
            receive();
        }
        account_.expect_all();
        CHECK(ring_.producers() == 0);
    }

private:
    template <class End>
    void send(std::uint32_t who, void (*idle)()) {
        ring_sending<End>(account_, who, seed_).run(memory_.bytes(), plan_.each, idle);
    }
    void run_wires() {
        in_runtime([this] {
            for (std::uint32_t i = 0; i < plan_.wires; ++i)
                go([this, i] { send<wire_end>(plan_.threads + i, as_wire); });
        });
    }
    void receive() {
        ring_receiving all(ring_, account_, seed_);
        if (!plan_.is_wire) return all.run(as_thread, plan_.closes);
        in_runtime([&] { all.run(as_wire, plan_.closes); });
    }

    const plan plan_;
    const std::uint64_t seed_;
    const shm::ring_options sizes_;
    const ring_memory memory_;
    ring ring_;
    ring_account account_;
};

void run_with(const plan& p, std::uint64_t rounds = 1) {
    with_seeds(rounds, share, [&](std::uint64_t seed) { ring_run(p, seed).run(); });
}

TEST_CASE("shm ring stress: one, four and eight threads send to one") {
    for (const std::uint32_t threads : {1U, 4U, 8U}) run_with({.threads = threads});
}

TEST_CASE("shm ring stress: threads and wires send to a wire") {
    run_with({.threads = 2, .wires = 3, .is_wire = true});
    run_with({.wires = 3, .is_wire = true});
}

TEST_CASE("shm ring stress: wires send to a thread") {
    run_with({.threads = 1, .wires = 4});
}

TEST_CASE("shm ring stress: producers come and go, more of them than there are lanes") {
    run_with({.threads = 12, .wires = 4, .is_wire = true, .lanes = 3, .each = 50},
             under_tsan ? 5 : 20);
    run_with({.threads = 16, .lanes = 2, .each = 50}, under_tsan ? 5 : 20);
}

TEST_CASE("shm ring stress: a close at any moment loses nothing that was committed") {
    for (const std::uint64_t closes : {1U, 17U, 200U}) {
        run_with({.threads = 3, .closes = closes}, 5);
        run_with({.threads = 2, .wires = 2, .is_wire = true, .closes = closes}, 5);
    }
}

}  // namespace
}  // namespace wire::test
