// Bridges under load: plain threads and wires of several runtimes give and take, and afterwards the
// books must be right. Run under ThreadSanitizer, too. A lost wake-up is a hang.
//
// WIRE_EXPLORE=long in the environment goes on for more than half a minute.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "support/bridge_traffic.hpp"
#include "support/environment.hpp"
#include "support/with_seeds.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

constexpr std::array<std::size_t, 4> capacities{1, 2, 7, 1000};
constexpr auto share = 4s;  // of each case in the long form

constexpr host thread_that_gives{false, 1, 0};
constexpr host thread_that_takes{false, 0, 1};
constexpr host wires_that_give{true, 3, 0};
constexpr host wires_that_take{true, 0, 3};
constexpr host wires_of_both_kinds{true, 2, 2};

const std::vector<std::vector<host>> crowds{
    {thread_that_gives, thread_that_takes},
    {thread_that_gives, thread_that_gives, thread_that_takes, thread_that_takes},
    {wires_that_give, wires_that_take},
    {thread_that_gives, wires_that_take},
    {wires_that_give, thread_that_takes},
    {wires_of_both_kinds},
    {wires_of_both_kinds, wires_of_both_kinds},
    {wires_of_both_kinds, wires_that_take, thread_that_gives, thread_that_takes},
};

void run_all(const traffic_plan& plan) {
    CAPTURE(plan.capacity);
    CAPTURE(static_cast<int>(plan.way));
    CAPTURE(plan.seed);
    CHECK(bridge_traffic(plan).run());
}

// Every crowd, over bridges of every capacity.
void run_crowds(std::uint64_t seed, traffic_plan plan, int values) {
    plan.seed = static_cast<unsigned>(seed * 1000);
    for (std::size_t c = 0; c < crowds.size(); ++c) {
        CAPTURE(c);
        plan.hosts = crowds[c];
        plan.each = values / (under_tsan ? 4 : 1);
        for (const std::size_t capacity : capacities) {
            plan.capacity = capacity;
            ++plan.seed;
            run_all(plan);
        }
    }
}

// Stays for a moment that differs from round to round, so that threads meet in all states.
void dawdle(std::minstd_rand& random) {
    if (random() % 8 == 0) return std::this_thread::yield();
    for (volatile auto i = random() % 300; i > 0;) i = i - 1;
}

// Notices when two are sent, or two are received, at once. Nothing protects the counts but the
// locks that its first two moves are made with: into the bridge and out of it.
struct witness {
    struct counts {
        volatile int inside = 0;
        long passed = 0;
        long met = 0;
        void pass() noexcept {
            if (inside != 0) ++met;
            inside = 1;
            ++passed;
            for (volatile int i = 0; i < 5;) i = i + 1;
            inside = 0;
        }
    };
    struct sides {
        alignas(128) counts fills;
        alignas(128) counts empties;
    };
    explicit witness(sides& s) noexcept : all(&s) {}
    witness(witness&& other) noexcept : all(other.all), moves(other.moves + 1) {
        if (moves == 1) all->fills.pass();
        if (moves == 2) all->empties.pass();
    }
    sides* all;
    int moves = 0;
};

// One thread's share, and what it adds up to.
struct tally {
    std::atomic<long> sent{0}, received{0};
    void pass(bridge<witness>& b, witness::sides& s) {
        if (b.try_send(witness(s))) ++sent;
        if (b.try_recv()) ++received;
    }
    void expect(const witness::sides& s) const {
        CHECK(s.fills.met == 0);
        CHECK(s.empties.met == 0);
        CHECK(s.fills.passed == sent.load());
        CHECK(s.empties.passed == received.load());
    }
};

}  // namespace

TEST_CASE("bridge stress: one, two and four threads at either end") {
    with_seeds(1, share, [](std::uint64_t seed) {
        for (const std::size_t at_each_end : {1u, 2u, 4u}) {
            for (const waiting way : {waiting::adaptive, waiting::park, waiting::spin}) {
                for (const std::size_t capacity : capacities) {
                    traffic_plan plan{.capacity = capacity, .way = way};
                    plan.hosts.assign(at_each_end, thread_that_gives);
                    plan.hosts.insert(plan.hosts.end(), at_each_end, thread_that_takes);
                    plan.each = (under_tsan ? 1000 : 4000) / static_cast<int>(at_each_end);
                    plan.seed = static_cast<unsigned>(seed);
                    run_all(plan);
                }
            }
        }
    });
}

TEST_CASE("bridge stress: wires at either end, and threads among them") {
    with_seeds(1, share, [](std::uint64_t seed) {
        run_crowds(seed, {.way = waiting::adaptive}, 1000);
        run_crowds(seed, {.way = waiting::park}, 1000);
        run_crowds(seed, {.way = waiting::spin}, 100);
    });
}

TEST_CASE("bridge stress: deadlines of microseconds and calls that only try") {
    with_seeds(1, share, [](std::uint64_t seed) {
        run_crowds(seed, {.way = waiting::adaptive, .in_a_hurry = true}, 500);
        run_crowds(seed, {.way = waiting::park, .in_a_hurry = true}, 500);
    });
}

TEST_CASE("bridge stress: wires are cancelled all the time") {
    with_seeds(1, share, [](std::uint64_t seed) {
        run_crowds(seed, {.way = waiting::adaptive, .cancels = true}, 500);
        run_crowds(seed, {.way = waiting::park, .in_a_hurry = true, .cancels = true}, 500);
    });
}

TEST_CASE("bridge stress: a close at any moment loses nothing that was sent") {
    with_seeds(under_tsan ? 3 : 10, share, [](std::uint64_t seed) {
        traffic_plan plan{.closes_early = true};
        plan.way = seed % 2 ? waiting::adaptive : waiting::park;
        plan.in_a_hurry = seed % 3 == 0;
        plan.cancels = seed % 4 == 0;
        run_crowds(seed, plan, 400);
    });
}

namespace {

// Between two threads, or between the wires of two.
void pass_token(bool in_wires, waiting way, int rounds, unsigned seed) {
    bridge<int> there(1, way), back(1, way);
    std::atomic<int> faults{0};
    const auto echo = [&] {
        std::minstd_rand random(2 * seed + 1);
        while (auto got = there.recv()) {
            dawdle(random);
            if (!back.send(*got)) ++faults;
        }
    };
    const auto serve = [&] {
        std::minstd_rand random(2 * seed + 2);
        for (int i = 0; i < rounds; ++i) {
            if (!there.send(i)) ++faults;
            dawdle(random);
            if (back.recv().value_or(-1) != i) ++faults;
        }
        there.close();
    };
    const auto on_thread = [in_wires](auto fn) {
        return std::jthread([in_wires, fn] {
            if (!in_wires) return fn();
            runtime rt;
            rt.go(fn);
            CHECK(rt.run());
        });
    };
    on_thread(echo), on_thread(serve).join();
    CHECK(faults == 0);
}

}  // namespace

TEST_CASE("bridge stress: a token that goes to and fro never gets lost") {
    with_seeds(1, share, [](std::uint64_t seed) {
        for (const bool in_wires : {false, true})
            for (const waiting way : {waiting::adaptive, waiting::park})
                pass_token(in_wires, way, under_tsan ? 2000 : 20'000, static_cast<unsigned>(seed));
    });
}

TEST_CASE("bridge stress: a lock that is biased to a thread excludes it while another has it") {
    // After some hundreds of calls in a row the lock is the owner's, until the thief comes.
    const int thefts = under_tsan ? 2000 : 50'000;
    with_seeds(1, share, [&](std::uint64_t seed) {
        bridge<witness> b(5);
        witness::sides sides;
        tally all;
        std::atomic<bool> over{false};
        {
            std::jthread owner([&] {
                while (!over.load(std::memory_order_relaxed)) all.pass(b, sides);
            });
            std::minstd_rand random(static_cast<unsigned>(seed));
            for (int i = 0; i < thefts; ++i) {
                for (volatile auto n = random() % 20'000; n > 0;) n = n - 1;
                all.pass(b, sides);
            }
            over = true;
        }
        all.expect(sides);
    });
}

TEST_CASE("bridge stress: threads that take turns at long stretches of calls exclude each other") {
    const unsigned threads = 4;
    const int stretches = under_tsan ? 20 : 100, stretch = 1000;
    with_seeds(1, share, [&](std::uint64_t seed) {
        bridge<witness> b(5);
        witness::sides sides;
        tally all;
        {
            std::vector<std::jthread> workers;
            for (unsigned t = 0; t < threads; ++t) {
                workers.emplace_back([&, t] {
                    std::minstd_rand random(static_cast<unsigned>(seed) * threads + t);
                    for (int s = 0; s < stretches; ++s) {
                        for (int i = 0; i < stretch; ++i) all.pass(b, sides);
                        if (random() % 2) std::this_thread::yield();
                    }
                });
            }
        }
        all.expect(sides);
    });
}

TEST_CASE("bridge stress: threads without a seat exclude each other, however often they call") {
    const int idlers = 70, calls = under_tsan ? 5000 : 200'000;
    bridge<witness> b(5);
    witness::sides sides;
    tally all;
    std::latch seated(idlers), over(1);
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < idlers; ++t) {
            threads.emplace_back([&] {
                static_cast<void>(wire::detail::thread_sync::seat());
                seated.count_down();
                over.wait();
            });
        }
        seated.wait();
        {
            std::array<std::jthread, 3> late;
            for (auto& l : late) {
                l = std::jthread([&] {
                    for (int i = 0; i < calls; ++i) all.pass(b, sides);
                });
            }
        }
        over.count_down();
    }
    all.expect(sides);
}

namespace {

// One after the other, each gets a value and is closed at once, while the receiver looks again and
// again, so that both come in the middle of a look. Returns how many values it has received.
std::size_t close_each(std::size_t bridges, unsigned seed) {
    std::vector<std::unique_ptr<bridge<int>>> all;
    for (std::size_t i = 0; i < bridges; ++i) all.push_back(std::make_unique<bridge<int>>(1));
    std::atomic<std::size_t> at{0};
    std::size_t received = 0;
    std::jthread sender([&] {
        std::minstd_rand random(seed);
        for (std::size_t i = 0; i < bridges; ++i) {
            while (at.load(std::memory_order_relaxed) < i) std::this_thread::yield();
            for (volatile auto n = random() % 50; n > 0;) n = n - 1;
            static_cast<void>(all[i]->try_send(1));
            all[i]->close();
        }
    });
    for (std::size_t i = 0; i < bridges; ++i) {
        at.store(i, std::memory_order_relaxed);
        int code = EAGAIN;
        for (int n = 1; code != EPIPE; ++n) {
            if (n % 1000 == 0) std::this_thread::yield();  // where the sender has no core
            const auto got = all[i]->try_recv();
            code = got.code();
            received += got.has_value();
        }
    }
    return received;
}

}  // namespace

TEST_CASE("bridge stress: a value that is sent just before the close is received") {
    const std::size_t bridges = 1000;  // at once: each takes a kilobyte or more
    with_seeds(under_tsan ? 5 : 100, share, [&](std::uint64_t seed) {
        CHECK(close_each(bridges, static_cast<unsigned>(seed)) == bridges);
    });
}

TEST_CASE("bridge stress: threads that come and go while others wait") {
    const int visitors = under_tsan ? 100 : 400, each = 10;
    bridge<int> b(3, waiting::park);
    std::atomic<long> sum{0};
    std::vector<std::jthread> takers;
    for (int t = 0; t < 2; ++t) {
        takers.emplace_back([&] {
            while (auto got = b.recv()) sum += *got;
        });
    }
    for (int v = 0; v < visitors; v += 4) {
        std::array<std::jthread, 4> some;
        for (auto& s : some) {
            s = std::jthread([&] {
                for (int i = 0; i < each; ++i) CHECK(b.send(1));
            });
        }
    }
    b.close();
    takers.clear();
    CHECK(sum == long{visitors} * each);
}
