// A pool among many threads: more than have a bias, threads that come and go, and messages that are
// exchanged for others.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <random>
#include <vector>

#include <wire/pool.hpp>
#include "support/dies.hpp"
#include "support/pools.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

// Something of which there is one; 0 is what is left where it was moved from.
struct original {
    original() = default;
    explicit original(int n) noexcept : id(n) {}
    original(original&& other) noexcept : id(std::exchange(other.id, 0)) {}
    original& operator=(original&& other) noexcept {
        id = std::exchange(other.id, 0);
        return *this;
    }
    int id = 0;
};

// Exchanges `mine` for others, and demands that a failure leaves it.
void exchange_at_random(pool<original>& p, original& mine, unsigned seed, int steps) {
    std::minstd_rand random(seed);
    for (int i = 0; i < steps; ++i) {
        const int before = mine.id;
        int code = 0;
        switch (random() % 6) {
            case 0:
                code = p.try_put_swap(mine).code();
                break;
            case 1:
                code = p.try_take_swap(mine).code();
                break;
            case 2:
                code = p.put_swap(mine, within(20us)).code();
                break;
            case 3:
                code = p.take_swap(mine, within(20us)).code();
                break;
            case 4:
                if (const auto claim = p.try_claim_put()) std::swap(**claim, mine);
                break;
            default:
                if (const auto claim = p.try_claim_take()) std::swap(**claim, mine);
        }
        CHECK(mine.id != 0);
        if (code) CHECK(mine.id == before);
    }
}

std::vector<int> all_from_one(int n) {
    std::vector<int> ids;
    for (int i = 1; i <= n; ++i) ids.push_back(i);
    return ids;
}

}  // namespace

TEST_CASE("pool threads: swaps make and lose nothing: every identity exists once") {
    constexpr int capacity = 5, users = 4, steps = 3000;
    as_each([](as kind) {
        pool<original> p(capacity);
        p.for_each([](original& o, std::size_t i) { o.id = static_cast<int>(i) + 1; });
        std::vector<original> held;
        for (int u = 0; u < users; ++u) held.emplace_back(capacity + 1 + u);
        std::vector<std::jthread> threads;
        for (std::size_t u = 0; u < users; ++u) {
            threads.push_back(start(u % 2 ? kind : as::thread, [&, u] {
                exchange_at_random(p, held[u], static_cast<unsigned>(u) + 1, steps);
            }));
        }
        threads.clear();
        while (p.try_take_swap(held[0])) {
        }
        std::vector<int> ids;
        for (const original& o : held) ids.push_back(o.id);
        p.for_each([&](const original& o, std::size_t) { ids.push_back(o.id); });
        std::sort(ids.begin(), ids.end());
        CHECK(ids == all_from_one(capacity + users));
    });
}

TEST_CASE("pool threads: of more threads than have a bias each puts and takes as the others do") {
    constexpr int count = 70, laps = 30;
    pool<int> p(8);
    std::barrier all_there(count);
    std::atomic<int> sum{0};
    std::vector<std::jthread> threads;
    for (int t = 0; t < count; ++t) {
        threads.push_back(start(as::thread, [&, t] {
            all_there.arrive_and_wait();
            for (int i = 0; i < laps; ++i) {
                if (t % 2)
                    CHECK(p.put(t));
                else
                    sum += p.take().value_or(0);
            }
            all_there.arrive_and_wait();
        }));
    }
    threads.clear();
    CHECK(sum == laps * (count / 2) * (count / 2));  // the sum of the odd numbers below 70
    CHECK(p.wait_until_empty(within(0s)));
}

TEST_CASE("pool threads: threads that come and go leave a pool that works") {
    // Each stays long enough to own the bias of both sides; the next finds it owned by the dead.
    pool<int> p(4);
    for (int t = 0; t < 150; ++t) {
        start(t % 3 ? as::thread : as::wire, [&] {
            for (int i = 0; i < 600; ++i) {
                CHECK(p.try_put(i));
                CHECK(p.try_take().value_or(-1) == i);
            }
        }).join();
        CHECK(p.try_put(t));
        CHECK(p.try_take().value_or(-1) == t);
    }
}

TEST_CASE("pool threads: a forked child has pools of its own, whatever its parent did before") {
    pool<int> p(1);
    static_cast<void>(p.take(within(1us)));
    const death end = run_in_child([] {
        pool<int> mine(1, {.wait = waiting::park});
        std::jthread other([&] {
            for (int i = 0; i < 50; ++i) must(mine.put(i).has_value(), "a put");
        });
        for (int i = 0; i < 50; ++i) must(mine.take().value_or(-1) == i, "what was put");
    });
    INFO(end.said);
    CHECK(end.code == 0);
    CHECK(end.signal == 0);
}

TEST_CASE("pool threads: a forked child has a copy of what its own thread alone has used") {
    constexpr int rounds = 20'000;
    pool<int> p(3);
    for (int i = 0; i < 2000; ++i) {  // owns both biases
        CHECK(p.put(i));
        CHECK(p.take().value_or(-1) == i);
    }
    CHECK(p.put(1));
    const death end = run_in_child([&] {
        const auto pass_on = [&] {
            for (int i = 0; i < rounds; ++i) {
                const int got = p.take().value_or(0);
                must(got > 0 && p.put(got + 1).has_value(), "a take and a put");
            }
        };
        const auto seat = wire::detail::thread_sync::seat();
        std::jthread other([&] {
            must(wire::detail::thread_sync::seat() != seat, "not to be taken for the other");
            pass_on();
        });
        pass_on();
        other.join();
        must(p.take().value_or(-1) == 1 + 2 * rounds, "all additions");
        must(drain(p) == 0 && fill(p) == 3, "every slot");
    });
    INFO(end.said);
    CHECK(end.code == 0);
    CHECK(end.signal == 0);
    CHECK(p.take().value_or(-1) == 1);  // here nothing has happened
}

TEST_CASE("pool threads: one thread may be all there is, and be joined by another") {
    pool<int> p(16);
    for (int i = 0; i < 2000; ++i) {  // owns both biases
        CHECK(p.put(i));
        CHECK(p.take().value_or(-1) == i);
    }
    std::atomic<bool> quit{false};
    auto other = start(as::thread, [&] {
        while (!quit) {
            if (p.try_put(-1)) std::this_thread::yield();
            static_cast<void>(p.try_take());
        }
    });
    for (int i = 0; i < 2000; ++i) {
        CHECK(p.put(i));
        CHECK(p.take());
    }
    quit = true;
    other.join();
    drain(p);
    CHECK(fill(p) == 16);
}

TEST_CASE("pool threads: what each of several producers puts is taken in its order") {
    constexpr int producers = 3, each = 1000;
    as_each([](as kind) {
        pool<int> p(7);
        std::vector<std::jthread> threads;
        for (int t = 0; t < producers; ++t) {
            threads.push_back(start(kind, [&p, t] {
                for (int i = 0; i < each; ++i) CHECK(p.put(t * each + i));
            }));
        }
        std::vector<int> next(producers, 0);
        for (int n = 0; n < producers * each; ++n) {
            const int v = p.take().value_or(-1);
            CHECK(next[static_cast<std::size_t>(v / each)]++ == v % each);
        }
    });
}

TEST_CASE("pool threads: what was done before a put is seen after the take, and the reverse") {
    // Plain memory, handed to and fro; a race is what ThreadSanitizer reports.
    pool<int*> there(2), back(2);
    std::vector<int> data(4, 0);
    for (int i = 0; i < 2; ++i) CHECK(back.put(&data[static_cast<std::size_t>(i)]));
    auto other = start(as::wire, [&] {
        while (const auto at = there.take()) {
            ++**at;
            CHECK(back.put(*at));
        }
    });
    for (int i = 0; i < 1000; ++i) {
        int* const at = back.take().value_or(nullptr);
        ++*at;
        CHECK(there.put(at));
    }
    there.close();
    other.join();
    CHECK(data[0] + data[1] == 2000);
}
