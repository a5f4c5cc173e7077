// Whom a pool wakes: as many as something has come for, those that have waited longest, and nobody
// in vain. Who is woken in vain takes another place among those that wait, which is counted.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <span>
#include <vector>

#include <wire/pool.hpp>
#include <wire/spawn.hpp>
#include "support/fifo.hpp"
#include "support/on_wire.hpp"
#include "support/pools.hpp"
#include "support/sleep_watch.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

constexpr int sleepers = 3;

// What wakes: a message, or room. Those that sleep call take() or put().
struct thing {
    const char* name;
    bool taken;  // else put
    void sleep(pool<int>& p) const {
        if (taken)
            CHECK(p.take());
        else
            CHECK(p.put(0));
    }
    void prepare(pool<int>& p) const {
        if (!taken) CHECK(fill(p) == p.capacity());
    }
    // Brings n of it at once.
    void bring(pool<int>& p, std::size_t n) const {
        std::array<int, sleepers> row{};
        const std::span<int> some = std::span(row).first(n);
        if (n == 1)
            CHECK((taken ? p.try_put(0).has_value() : p.try_take().has_value()));
        else
            CHECK((taken ? p.try_put_some(some) : p.try_take_some(some)).value_or(0U) == n);
    }
    [[nodiscard]] std::uint64_t sleeps(pool<int>& p) const {
        const pool_statistics s = p.statistics();
        return taken ? s.take_sleeps : s.put_sleeps;
    }
};
constexpr thing things[] = {{"message", true}, {"room", false}};

template <class F>
void each_thing(F f) {
    for (const thing& t : things) {
        CAPTURE(t.name);
        f(t);
    }
}

// Threads, or wires of a thread each, that sleep in a pool.
class sleeping {
public:
    sleeping(pool<int>& p, const thing& t, const std::array<as, sleepers>& kinds) {
        for (const as kind : kinds)
            threads_.push_back(start(kind, [this, &p, &t] {
                t.sleep(p);
                ++woken_;
            }));
        asleep_.until(sleepers);
    }
    void until_woken(int n) const {
        while (woken_ < n) std::this_thread::yield();
    }

private:
    sleep_watch asleep_;
    std::atomic<int> woken_{0};
    std::vector<std::jthread> threads_;
};

constexpr std::array<as, sleepers> mixtures[] = {{as::thread, as::thread, as::thread},
                                                 {as::wire, as::wire, as::wire},
                                                 {as::thread, as::wire, as::thread}};

// Lets every wire get to its wait: a millisecond of the virtual clock passes when all wait.
void settle_all() {
    CHECK(sleep(within(1ms)));
}

// The three as wires of one runtime: "a", "b", "c" begin to wait in this order.
template <class F>
void with_wires(pool<int>& p, const thing& t, trace& log, F body) {
    on_wire([&] {
        t.prepare(p);
        for (const char* const name : {"a", "b", "c"})
            spawn([&, name] {
                t.sleep(p);
                log(name);
            }).detach();
        settle_all();
        CHECK(t.sleeps(p) == sleepers);
        body();
        CHECK(t.sleeps(p) == sleepers);
    });
}

}  // namespace

TEST_CASE("pool wake: what comes alone wakes one wire, the one that has waited longest" * fifo) {
    each_thing([](const thing& t) {
        pool<int> p(4, {.wait = waiting::park});
        trace log, expected;
        with_wires(p, t, log, [&] {
            for (const char* const name : {"a", "b", "c"}) {
                t.bring(p, 1);
                settle_all();
                expected(name);
                CHECK(log == expected);
            }
        });
    });
}

TEST_CASE("pool wake: a batch of k wakes k wires" * fifo) {
    each_thing([](const thing& t) {
        for (std::size_t k = 2; k <= sleepers; ++k) {
            pool<int> p(4, {.wait = waiting::park});
            trace log;
            with_wires(p, t, log, [&] {
                t.bring(p, k);
                settle_all();
                CHECK(log.size() == k);
                if (k < sleepers) t.bring(p, sleepers - k);
                settle_all();
                CHECK(log == trace{"a", "b", "c"});
            });
        }
    });
}

TEST_CASE("pool wake: the end of a claim wakes one wire" * fifo) {
    pool<int> p(4, {.wait = waiting::park});
    trace log;
    with_wires(p, things[0], log, [&] {
        p.claim_put()->put();
        settle_all();
        CHECK(log == trace{"a"});
        auto second = *p.claim_put();
        second.drop();  // brings no message
        settle_all();
        CHECK(log == trace{"a"});
        p.claim_put()->put();
        p.claim_put()->put();
    });
    CHECK(log == trace{"a", "b", "c"});
}

TEST_CASE("pool wake: what comes alone wakes one of several threads, or wires of several") {
    each_thing([](const thing& t) {
        for (const auto& kinds : mixtures) {
            pool<int> p(4, {.wait = waiting::park});
            t.prepare(p);
            {
                sleeping three(p, t, kinds);
                for (int woken = 1; woken <= sleepers; ++woken) {
                    t.bring(p, 1);
                    three.until_woken(woken);
                }
            }
            CHECK(t.sleeps(p) == sleepers);
        }
    });
}

TEST_CASE("pool wake: a batch of two wakes two of three threads, or wires of several") {
    each_thing([](const thing& t) {
        for (const auto& kinds : mixtures) {
            pool<int> p(4, {.wait = waiting::park});
            t.prepare(p);
            {
                sleeping three(p, t, kinds);
                t.bring(p, 2);
                three.until_woken(2);
                t.bring(p, 1);
            }
            CHECK(t.sleeps(p) == sleepers);
        }
    });
}
