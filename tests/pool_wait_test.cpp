// How threads and wires wait in a pool: until another comes, a deadline passes, or they are
// cancelled.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <optional>
#include <vector>

#include <wire/pool.hpp>
#include <wire/spawn.hpp>
#include "support/diagnostics.hpp"
#include "support/environment.hpp"
#include "support/on_wire.hpp"
#include "support/pools.hpp"
#include "support/sim_poller.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

constexpr waiting ways[] = {waiting::adaptive, waiting::spin, waiting::park};

// Sends every number to and fro: each side waits for the other all the time.
void play(as left, as right, waiting how, int laps) {
    pool<int> there(1, {.wait = how}), back(1, {.wait = how});
    auto partner = start(right, [&] {
        for (int i = 0; i < laps; ++i) {
            CHECK(there.take().value_or(-1) == i);
            CHECK(back.put(-i));
        }
    });
    run(left, [&] {
        for (int i = 0; i < laps; ++i) {
            CHECK(there.put(i));
            CHECK(back.take().value_or(1) == -i);
        }
    });
    partner.join();
    CHECK(there.wait_until_empty(within(0s)));
    const auto a = there.statistics(), b = back.statistics();
    if (how == waiting::spin)
        CHECK(a.put_sleeps + a.take_sleeps + b.put_sleeps + b.take_sleeps == 0);
}

// Each call that waits fails with `code`, as a pool is full and another empty.
template <class F>
void expect_all_fail(pool<int>& full, pool<int>& empty, int code, F until) {
    int value = 77;
    std::array<int, 2> row{1, 2};
    CHECK(full.put(1, until()).code() == code);
    CHECK(full.put_swap(value, until()).code() == code);
    CHECK(full.put_some(row, until()).code() == code);
    CHECK(full.claim_put(until()).code() == code);
    CHECK(full.wait_until_empty(until()).code() == code);
    CHECK(empty.take(until()).code() == code);
    CHECK(empty.take_swap(value, until()).code() == code);
    CHECK(empty.take_some(row, until()).code() == code);
    CHECK(empty.claim_take(until()).code() == code);
    CHECK(value == 77);
    CHECK(row == std::array{1, 2});
    CHECK(full.size() == 1);
    CHECK(empty.size() == 0);
}

}  // namespace

TEST_CASE("pool wait: threads and wires wait for each other, in every way") {
    for (const waiting how : ways) {
        CAPTURE(static_cast<int>(how));
        as_each([&](as left) { as_each([&](as right) { play(left, right, how, 200); }); });
    }
}

TEST_CASE("pool wait: wires of one runtime wait for each other") {
    for (const waiting how : ways) {
        CAPTURE(static_cast<int>(how));
        run_as_wire([&] {
            pool<int> p(2, {.wait = how});
            auto producer = spawn([&] {
                for (int i = 0; i < 300; ++i) CHECK(p.put(i));
                p.close();
            });
            int expected = 0;
            while (auto v = p.take()) CHECK(*v == expected++);
            CHECK(expected == 300);
            CHECK(producer.join());
        });
    }
}

TEST_CASE("pool wait: a wire that waits lets the others of its thread run") {
    pool<int> p(1, {.wait = waiting::park});
    trace log;
    runtime rt({.stack = {.size = 256 * 1024}});
    rt.go([&] {
        log("wait");
        CHECK(p.take().value_or(-1) == 5);
        log("got");
    });
    rt.go([&] {
        log("put");
        CHECK(p.put(5));
        log("done");
    });
    CHECK(rt.run());
    CHECK(log == trace{"wait", "put", "done", "got"});
}

TEST_CASE("pool wait: a wire that never has to wait lets others run now and then") {
    bool other_ran = false;
    int laps = 0;
    runtime rt({.stack = {.size = 256 * 1024}});
    rt.go([&] {
        pool<int> p(1);
        for (; !other_ran && laps < 100'000; ++laps) {
            CHECK(p.put(laps));
            CHECK(p.take());
        }
    });
    rt.go([&] { other_ran = true; });
    CHECK(rt.run());
    CHECK(other_ran);
    CHECK(laps < 100'000);
}

TEST_CASE("pool wait: a wire that waits here is no deadlock, for another thread may come") {
    pool<int> p(1);
    auto other = start(as::thread, [&] {
        until_takers_sleep(p, 1);
        CHECK(p.put(3));
    });
    run_as_wire([&] { CHECK(p.take().value_or(-1) == 3); });
}

TEST_CASE("pool wait: a batch wakes as many as it brings something to") {
    as_each([](as kind) {
        std::array<int, 3> row{1, 2, 3};
        pool<int> p(3, {.wait = waiting::park});
        std::atomic<int> sum{0};
        std::vector<std::jthread> takers;
        for (int i = 0; i < 3; ++i)
            takers.push_back(start(kind, [&] { sum += p.take().value_or(-9); }));
        until_takers_sleep(p, 3);
        CHECK(p.put_some(row).value_or(0U) == 3);
        takers.clear();
        CHECK(sum == 6);

        CHECK(p.put_some(row).value_or(0U) == 3);
        std::vector<std::jthread> putters;
        for (int i = 0; i < 3; ++i) putters.push_back(start(kind, [&p] { CHECK(p.put(4)); }));
        until_putters_sleep(p, 3);
        CHECK(p.take_some(row).value_or(0U) == 3);
        putters.clear();
        CHECK(drain(p) == 3);
    });
}

TEST_CASE("pool wait: deadlines that have passed and that pass, in every way") {
    for (const waiting how : ways) {
        CAPTURE(static_cast<int>(how));
        as_each([&](as kind) {
            run(kind, [&] {
                pool<int> full(1, {.wait = how}), empty(1, {.wait = how});
                CHECK(full.put(1));
                expect_all_fail(full, empty, ETIMEDOUT, [] { return within(0s); });
                expect_all_fail(full, empty, ETIMEDOUT, [] { return within(1ms); });
            });
        });
    }
}

TEST_CASE("pool wait: a deadline that has passed does not keep from what is there") {
    as_each([](as kind) {
        run(kind, [] {
            pool<int> p(1);
            CHECK(p.put(1, within(0s)));
            CHECK(p.take(within(0s)).value_or(-1) == 1);
            CHECK(p.claim_put(within(0s)));
            CHECK(p.wait_until_empty(within(0s)));
        });
    });
}

TEST_CASE("pool wait: on a clock that stands still while wires run, a wait comes to its end") {
    for (const waiting how : {waiting::park, waiting::adaptive}) {
        CAPTURE(static_cast<int>(how));
        sim s({.stack = {.size = 256 * 1024}});
        s.rt.go([&] {
            pool<int> p(1, {.wait = how});
            CHECK(p.take(within(5ms)).code() == ETIMEDOUT);
            CHECK(s.ms() == 5);
            CHECK(p.put(1));
            CHECK(p.wait_until_empty(within(5ms)).code() == ETIMEDOUT);
            CHECK(s.ms() == 10);
        });
        CHECK(s.rt.run());
    }
}

TEST_CASE("pool wait: a cancelled wire gets nothing and leaves all") {
    run_as_wire([] {
        pool<int> full(1), empty(1), half(2);
        CHECK(full.put(1));
        CHECK(half.put(1));
        auto victim = spawn([&] {
            expect_all_fail(full, empty, ECANCELED, [] { return never; });
            // Nor what would not have to wait.
            CHECK(half.put(2).code() == ECANCELED);
            CHECK(half.take().code() == ECANCELED);
            CHECK(half.claim_put().code() == ECANCELED);
            CHECK(half.claim_take().code() == ECANCELED);
            CHECK(empty.wait_until_empty().code() == ECANCELED);
            // What never waits is not concerned.
            CHECK(half.try_put(2));
            CHECK(half.try_take().value_or(-1) == 1);
        });
        victim.cancel();
        CHECK(victim.join());
        CHECK(half.take().value_or(-1) == 2);
    });
}

TEST_CASE("pool wait: a wire that is cancelled while it waits is woken, in every way") {
    for (const waiting how : ways) {
        CAPTURE(static_cast<int>(how));
        run_as_wire([&] {
            pool<int> p(1, {.wait = how});
            auto taker = spawn([&] { CHECK(p.take().code() == ECANCELED); });
            for (int i = 0; i < 10; ++i) yield();
            taker.cancel();
            CHECK(taker.join());
            CHECK(p.put(1));
            auto putter = spawn([&] { CHECK(p.put(2).code() == ECANCELED); });
            for (int i = 0; i < 10; ++i) yield();
            putter.cancel();
            CHECK(putter.join());
            CHECK(p.take().value_or(-1) == 1);
        });
    }
}

TEST_CASE("pool wait: a claim that a cancelled wire holds is given back at its end") {
    run_as_wire([] {
        pool<int> p(1);
        bool holds = false;
        auto holder = spawn([&] {
            const auto claim = p.claim_put();
            holds = true;
            CHECK(suspend().code() == ECANCELED);
        });
        while (!holds) yield();
        CHECK(p.try_put(1).code() == EAGAIN);
        holder.cancel();
        CHECK(holder.join());
        CHECK(p.try_put(1));
    });
}

TEST_CASE("pool wait: a wake-up that meets a cancelled wire goes to the next one that waits") {
    // The message is there, the first taker is on its way to it, and then cancelled.
    run_as_wire([] {
        pool<int> p(1, {.wait = waiting::park});
        std::array<int, 2> got{};
        auto first = spawn([&] { got[0] = p.take().value_or(0); });
        auto second = spawn([&] { got[1] = p.take().value_or(0); });
        for (int i = 0; i < 10; ++i) yield();
        CHECK(p.put(1));
        first.cancel();
        CHECK(first.join());
        if (got[0] == 1) CHECK(p.put(1));
        CHECK(second.join(within(10s)));
        CHECK(got[1] == 1);
    });
}

TEST_CASE("pool wait: a runtime that ends takes its waiting wires along, and no message") {
    pool<int> p(1);
    for (int i = 0; i < 20; ++i) {
        {
            runtime rt({.stack = {.size = 256 * 1024}});
            rt.go([&] { CHECK(p.take().code() == ECANCELED); });
            rt.go([&] { CHECK(p.take().code() == ECANCELED); });
            while (rt.run_once()) {
            }
        }
        CHECK(p.put(i));
        CHECK(p.take().value_or(-1) == i);
    }
}

TEST_CASE("pool wait: a runtime that ends while it is woken takes no message along") {
    pool<int> p(2, {.wait = waiting::park});
    for (int i = 0; i < 100; ++i) {
        std::atomic<int> taken{0};
        std::jthread other;
        {
            runtime rt({.stack = {.size = 256 * 1024}});
            rt.go([&] {
                if (const auto v = p.take()) taken += *v;
            });
            while (rt.run_once()) {
            }
            other = start(as::thread, [&] { CHECK(p.put(1)); });
        }
        other.join();
        CHECK(taken + p.try_take().value_or(0) == 1);
    }
}

TEST_CASE("pool waits: a deadline that has passed lets one look, and nobody sleeps") {
    as_each([](as kind) {
        pool<int> p(1);
        run(kind, [&] {
            CHECK(p.take(within(0s)).code() == ETIMEDOUT);
            CHECK(p.put(1, within(0s)));
            CHECK(p.put(2, within(0s)).code() == ETIMEDOUT);
            CHECK(p.wait_until_empty(within(0s)).code() == ETIMEDOUT);
        });
        CHECK(p.statistics().take_sleeps + p.statistics().put_sleeps == 0);
    });
}

TEST_CASE("pool waits: who is woken for a message that another has taken is the next") {
    pool<int> p(1, {.wait = waiting::park});
    // A call may let others run besides, now and then: not in the next few.
    wire::detail::notes.calls = 0;
    trace seen;
    on_wire([&] {
        auto first = spawn([&] { seen("first", p.take().value_or(-1)); });
        auto second = spawn([&] { seen("second", p.take().value_or(-1)); });
        yield();
        CHECK(p.put(1));  // for the first
        CHECK(p.try_take().value_or(-1) == 1);
        CHECK(sleep(within(1s)));
        CHECK(p.put(2));
        CHECK(first.join());
        CHECK(p.put(3));
        CHECK(second.join());
    });
    CHECK(seen == trace{"first2", "second3"});
}

TEST_CASE("pool waits: a wire that is abandoned while it waits takes nothing") {
    const caught_diagnostics said;
    pool<int> p(1);
    {
        [[maybe_unused]] const leaks_ignored what_an_abandoned_frame_holds;
        runtime rt({.drain = 1ms});
        rt.go({.name = "stubborn"}, [&] {
            const shield protection;
            static_cast<void>(p.take());
        });
        rt.run_once();
        while (p.statistics().take_sleeps == 0) rt.run_once();
    }
    CHECK(said.has(diagnostic::straggler, "\"stubborn\""));
    CHECK(p.put(1));  // its place is still in the queue, and its frame is still there
    CHECK(p.take().value_or(-1) == 1);
}
