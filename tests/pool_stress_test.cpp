// Pools in heavy traffic, between threads and wires. What each user calls next is drawn from a
// seed; how the threads meet is not, so every run is another. A lost wake-up is a hang.
//
// WIRE_EXPLORE=long in the environment goes on for more than a minute.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include <wire/cancel.hpp>
#include <wire/pool.hpp>
#include "support/environment.hpp"
#include "support/pool_traffic.hpp"
#include "support/pools.hpp"
#include "support/with_seeds.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t capacities[] = {1, 2, 7, 1000};
constexpr crowd::kind kinds[] = {crowd::kind::threads, crowd::kind::wires, crowd::kind::mixed};

constexpr auto share = 7s;  // of each case in the long form

struct scene {
    std::size_t producers, consumers, capacity;
    crowd::kind kind;
    pool_options options = {};
    std::uint32_t each = under_tsan ? 60 : 250;
};

// All messages go through, then the pool is closed, and the consumers end.
void play(const scene& s, std::uint64_t seed, bool drops) {
    pool<message> p(s.capacity, s.options);
    account a(s.producers, s.each);
    {
        crowd consumers(s.kind);
        for (std::size_t i = 0; i < s.consumers; ++i)
            consumers.add([&, i] { consumer(p, a, seed + i, drops).run(); });
        {
            crowd producers(s.kind);
            for (std::size_t i = 0; i < s.producers; ++i)
                producers.add([&, i] { producer(p, a, i, seed + 100 + i).run(); });
        }
        p.close();
    }
    a.expect_all_once();
    expect_unharmed(p);
}

}  // namespace

TEST_CASE("pool stress: every message comes once, and a producer's in order") {
    with_seeds(1, share, [](std::uint64_t seed) {
        for (std::size_t users = 0; users < 16; ++users) {
            for (const std::size_t capacity : capacities) {
                const auto kind = kinds[(users + capacity + seed) % 3];
                play({users / 4 + 1, users % 4 + 1, capacity, kind}, seed, false);
            }
        }
    });
}

TEST_CASE("pool stress: claims that are dropped lose no message and no slot") {
    with_seeds(1, share, [](std::uint64_t seed) {
        for (const std::size_t capacity : capacities)
            for (const auto kind : kinds) play({3, 3, capacity, kind}, seed, true);
    });
}

TEST_CASE("pool stress: every way to wait, right hints and wrong ones") {
    with_seeds(1, share, [](std::uint64_t seed) {
        for (const waiting how : {waiting::adaptive, waiting::park, waiting::spin}) {
            for (const std::size_t users : {1U, 2U}) {
                const pool_options options{.wait = how, .producers = 1, .consumers = 1};
                play({users, users, 3, crowd::kind::mixed, options}, seed, true);
            }
        }
    });
}

TEST_CASE("pool stress: wires of one runtime with those of another and threads") {
    with_seeds(3, share, [](std::uint64_t seed) {
        constexpr std::size_t users = 6;
        constexpr std::uint32_t each = 100;
        pool<message> p(seed % 5 + 1);
        account a(users, each);
        std::atomic<std::size_t> left{users};
        crowd one(crowd::kind::one_runtime);
        for (std::size_t i = 0; i < users / 2; ++i) {
            one.add([&, i] {
                producer(p, a, i, seed + i).run();
                if (--left == 0) p.close();
            });
            one.add([&, i] { consumer(p, a, seed + i, true).run(); });
        }
        crowd others(crowd::kind::mixed);
        for (std::size_t i = users / 2; i < users; ++i) {
            others.add([&, i] {
                producer(p, a, i, seed + i).run();
                if (--left == 0) p.close();
            });
        }
        one.join();
        others.join();
        a.expect_all_once();
        expect_unharmed(p);
    });
}

TEST_CASE("pool stress: closed and reopened all the time, it loses nothing it accepted") {
    with_seeds(4, share, [](std::uint64_t seed) {
        constexpr std::size_t users = 3;
        const std::uint32_t each = under_tsan ? 200 : 600;
        pool<message> p(capacities[seed % 4]);
        account a(users, each);
        std::atomic<std::size_t> left{users};
        {
            crowd all(kinds[seed % 3]);
            for (std::size_t i = 0; i < users; ++i) {
                all.add([&, i] {
                    producer mine(p, a, i, seed + i);
                    while (!mine.done())
                        if (mine.step()) std::this_thread::yield();
                    --left;
                });
                all.add([&, i] {
                    consumer mine(p, a, seed + 100 + i, seed % 2 == 0);
                    while (a.total() < a.expected())
                        if (mine.step()) std::this_thread::yield();
                });
            }
            while (left > 0) {
                p.close();
                std::this_thread::yield();
                p.reopen();
                std::this_thread::sleep_for(std::chrono::microseconds(seed * 50 % 300 + 20));
            }
            // A consumer that waits without a deadline needs this to end.
            while (a.total() < a.expected()) std::this_thread::yield();
            p.close();
        }
        a.expect_all_once();
        expect_unharmed(p);
    });
}

TEST_CASE("pool stress: an empty pool has handed out all that was put before") {
    with_seeds(4, share, [](std::uint64_t seed) {
        constexpr std::uint32_t batches = 60, batch = 5;
        pool<message> p(capacities[seed % 3]);
        account a(1, batches * batch);
        {
            crowd consumers(kinds[seed % 3]);
            for (std::size_t i = 0; i < 3; ++i) {
                consumers.add([&, i] {
                    // Only claims: a message is in the account before its slot is free.
                    std::minstd_rand random(static_cast<unsigned>(seed * 3 + i + 1));
                    while (auto c = p.claim_take()) {
                        if (random() % 4 == 0) continue;  // dropped
                        a.came(**c);
                        c->take();
                    }
                });
            }
            crowd producers(kinds[(seed + 1) % 3]);
            producers.add([&] {
                for (std::uint32_t n = 0; n < batches * batch;) {
                    for (std::uint32_t i = 0; i < batch; ++i, ++n) CHECK(p.put(make_message(0, n)));
                    while (p.wait_until_empty(within(100us)).code() == ETIMEDOUT) {
                    }
                    CHECK(a.total() == n);
                }
            });
            producers.join();
            p.close();
        }
        a.expect_all_once();
        expect_unharmed(p);
    });
}

TEST_CASE("pool stress: putters, takers and those who wait until it is empty miss no wake-up") {
    with_seeds(2, share, [](std::uint64_t seed) {
        const std::uint32_t each = under_tsan ? 100 : 300;
        for (const auto kind : kinds) {
            pool<message> p(seed % 2 + 1, {.wait = waiting::park});
            account a(3, each);
            crowd waiters(kind);
            std::atomic<bool> quit{false};
            for (int i = 0; i < 2; ++i) {
                waiters.add([&] {
                    while (!quit) CHECK(p.wait_until_empty());
                });
            }
            {
                crowd users(kind);
                for (std::size_t i = 0; i < 3; ++i) {
                    users.add([&, i] {
                        for (std::uint32_t n = 0; n < each; ++n) CHECK(p.put(make_message(i, n)));
                    });
                    users.add([&] {
                        for (std::uint32_t n = 0; n < each; ++n) a.came(p.take().value_or(0U));
                    });
                }
            }
            quit = true;
            waiters.join();
            a.expect_all_once();
            expect_unharmed(p);
        }
    });
}

namespace {

// Wires of one runtime that use a pool in scopes which another wire cancels.
class cancelled_users {
public:
    cancelled_users(pool<message>& p, account& a, std::size_t producers, std::uint64_t seed)
        : account_(a), random_(static_cast<unsigned>(seed)) {
        for (std::size_t i = 0; i < producers; ++i) {
            producers_.emplace_back(p, a, i, seed + i);
            consumers_.emplace_back(p, a, seed + 50 + i, true);
        }
        scopes_.resize(2 * producers);
    }

    void run() {
        runtime rt({.stack = {.size = 256 * 1024}});
        for (std::size_t i = 0; i < producers_.size(); ++i) {
            rt.go([this, i] { work(2 * i, producers_[i], [&] { return producers_[i].done(); }); });
            rt.go([this, i] { work(2 * i + 1, consumers_[i], [&] { return all_came(); }); });
        }
        rt.go([this] {
            while (!all_came()) {
                if (cancel_scope* const s = scopes_[random_() % scopes_.size()]) s->cancel();
                CHECK(sleep(within(std::chrono::microseconds(random_() % 100))));
            }
            for (cancel_scope* const s : scopes_)
                if (s) s->cancel();
        });
        CHECK(rt.run());
    }

private:
    [[nodiscard]] bool all_came() const { return account_.total() >= account_.expected(); }
    template <class User, class Done>
    void work(std::size_t at, User& u, Done done) {
        while (!done()) {
            cancel_scope scope;
            scopes_[at] = &scope;
            u.step();
            scopes_[at] = nullptr;
            yield();
        }
    }

    account& account_;
    std::minstd_rand random_;
    std::vector<producer> producers_;
    std::vector<consumer> consumers_;
    std::vector<cancel_scope*> scopes_;
};

}  // namespace

TEST_CASE("pool stress: wires that are cancelled at any moment lose nothing and double nothing") {
    with_seeds(4, share, [](std::uint64_t seed) {
        constexpr std::size_t wires = 3, threads = 2;
        const std::uint32_t each = under_tsan ? 100 : 300;
        const waiting how = seed % 2 ? waiting::park : waiting::adaptive;
        pool<message> p(capacities[seed % 3], {.wait = how});
        account a(wires + threads, each);
        crowd others(crowd::kind::threads);
        for (std::size_t i = wires; i < wires + threads; ++i) {
            others.add([&, i] { producer(p, a, i, seed + i).run(); });
            others.add([&, i] { consumer(p, a, seed + 70 + i, true).run(); });
        }
        cancelled_users(p, a, wires, seed).run();
        p.close();
        others.join();
        a.expect_all_once();
        expect_unharmed(p);
    });
}

TEST_CASE("pool stress: runtimes that end amid the traffic take no message along") {
    with_seeds(1, share, [](std::uint64_t seed) {
        pool<message> p(seed % 3 + 1, {.wait = waiting::park});
        const std::uint32_t each = under_tsan ? 100 : 300;
        account a(2, each);
        {
            crowd others(crowd::kind::threads);
            for (std::size_t i = 0; i < 2; ++i)
                others.add([&, i] { producer(p, a, i, seed + i).run(); });
            while (a.total() < a.expected()) {
                runtime rt({.stack = {.size = 256 * 1024}});
                for (std::uint64_t i = 0; i < 3; ++i) {
                    rt.go([&, i] {
                        for (consumer mine(p, a, seed + i, true); mine.step() != ECANCELED;) {
                        }
                    });
                }
                rt.run_once();
            }
        }
        p.close();
        a.expect_all_once();
        expect_unharmed(p);
    });
}
