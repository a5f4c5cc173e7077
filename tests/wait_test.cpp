// wait and wait_list: sticky triggers, and the first of several in the order of chaining.
#include <wire/wait.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <optional>

#include <wire/event.hpp>
#include <wire/join_wait.hpp>
#include <wire/runtime.hpp>
#include <wire/semaphore.hpp>
#include "support/count_malloc.hpp"
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/fifo.hpp"
#include "support/on_wire.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

TEST_CASE("wait: a wake that comes before the wait is kept") {
    on_wire([](sim&) {
        wire::wait w;
        CHECK_FALSE(w.triggered());
        CHECK(w.wake());
        CHECK(w.await());
        CHECK(w.await());
        CHECK(w.triggered());
    });
}

TEST_CASE("wait: wake says whether it acted") {
    on_wire([](sim&) {
        wire::wait w;
        CHECK(w.wake());
        CHECK_FALSE(w.wake());
        w.reset();
        CHECK(w.wake());
        w.stop();
        CHECK_FALSE(w.triggered());
        CHECK_FALSE(w.wake());
        w.reset();
        CHECK(w.wake());
    });
}

TEST_CASE("wait: a wire that waits is made ready once, last in the queue" * fifo) {
    trace log;
    on_wire([&](sim&) {
        wire::wait w;
        auto h = spawn([&] {
            CHECK(w.await());
            log.push_back("woken");
        });
        go([&] {
            log.push_back(w.wake() ? "acted" : "in vain");
            log.push_back(w.wake() ? "acted" : "in vain");
        });
        go([&] { log.push_back("before"); });
        CHECK(h.join());
    });
    CHECK(log == trace{"acted", "in vain", "before", "woken"});
}

TEST_CASE("wait: ends at its deadline, and when it is cancelled") {
    on_wire([](sim& s) {
        wire::wait w;
        CHECK(w.await(within(5ms)).code() == ETIMEDOUT);
        CHECK(s.ms() == 5);
        auto h = spawn([&] { CHECK(w.await().code() == ECANCELED); });
        yield();
        h.cancel();
        CHECK(h.join());
        CHECK(w.wake());
        cancel_scope gone;
        gone.cancel();
        CHECK(w.await().code() == ECANCELED);
    });
}

TEST_CASE("wait: a wake in the turn of the deadline wins" * fifo) {
    on_wire([](sim& s) {
        wire::wait w;
        go([&] {
            CHECK(sleep(within(5ms)));
            CHECK(w.wake());
        });
        yield();
        auto h = spawn([&] { CHECK(w.await(within(5ms))); });
        // Both alarms ring in one turn, and the sleeper runs first.
        CHECK(h.join());
        CHECK(s.ms() == 5);
    });
}

TEST_CASE("wait_list: the first in the order of chaining is returned, and others stay triggered") {
    on_wire([](sim&) {
        wire::wait a, b, c;
        wait_list list;
        for (auto* w : {&a, &b, &c}) list.chain(*w);
        CHECK(c.wake());
        CHECK(b.wake());
        CHECK(list.await().value() == &b);
        CHECK(list.await().value() == &b);
        b.reset();
        CHECK(list.await().value() == &c);
        c.stop();
        CHECK(list.await(within(1ms)).code() == ETIMEDOUT);
        CHECK(a.wake());
        CHECK(list.await().value() == &a);
    });
}

TEST_CASE("wait_list: the one that is left is found when the latest is reset or gone") {
    on_wire([](sim&) {
        wire::wait a;
        wait_list list;
        list.chain(a);
        {
            wire::wait b, c;
            list.chain(b);
            list.chain(c);
            CHECK(a.wake());
            CHECK(b.wake());
            b.reset();
            CHECK(list.await().value() == &a);
            CHECK(c.wake());
        }
        CHECK(list.await().value() == &a);
        a.reset();
        CHECK(list.await(within(1ms)).code() == ETIMEDOUT);
    });
}

TEST_CASE("wait_list: wake-ups between two waits are kept" * fifo) {
    trace log;
    on_wire([&](sim&) {
        wire::wait a, b;
        wait_list list;
        list.chain(a);
        list.chain(b);
        auto h = spawn([&] {
            for (int i = 0; i < 3; ++i) {
                wire::wait* const w = list.await().value();
                log.push_back(w == &a ? "a" : "b");
                w->reset();
                yield();  // others wake both meanwhile
            }
        });
        yield();
        CHECK(b.wake());
        yield();
        CHECK(b.wake());
        CHECK(a.wake());
        CHECK(h.join());
    });
    CHECK(log == trace{"b", "a", "b"});
}

TEST_CASE("wait_list: what is reset before the woken wire runs does not end its wait") {
    on_wire([](sim& s) {
        wire::wait a;
        wait_list list;
        list.chain(a);
        auto h = spawn([&] { CHECK(list.await().value() == &a); });
        yield();
        CHECK(a.wake());
        a.reset();
        CHECK(sleep(within(3ms)));
        CHECK_FALSE(h.finished());
        CHECK(a.wake());
        CHECK(h.join());
        CHECK(s.ms() == 3);
    });
}

TEST_CASE("wait_list: chaining something triggered ends the wait of another wire") {
    on_wire([](sim&) {
        wire::wait a, late;
        wait_list list;
        list.chain(a);
        auto h = spawn([&] { CHECK(list.await().value() == &late); });
        yield();
        CHECK(late.wake());
        list.chain(late);
        CHECK(h.join());
    });
}

TEST_CASE("wait_list: an empty list is refused, and a wait that is gone has left its list") {
    on_wire([](sim&) {
        wait_list list;
        CHECK(list.await().code() == EINVAL);
        {
            wire::wait w;
            list.chain(w);
            CHECK(w.wake());
            CHECK(list.await());
        }
        CHECK(list.empty());
        CHECK(list.await().code() == EINVAL);
        wire::wait a, b;
        list.chain(a);
        list.chain(b);
        CHECK(a.wake());
        list.unchain(a);
        CHECK(list.await(within(1ms)).code() == ETIMEDOUT);
    });
}

TEST_CASE("wait_list: misuse is an assertion with a sentence") {
    CHECK(dies(
        [] {
            wire::wait w;
            wait_list a, b;
            a.chain(w);
            b.chain(w);
        },
        "in a list already"));
    CHECK(dies(
        [] {
            wire::wait w;
            wait_list a;
            a.unchain(w);
        },
        "that it is not in"));
    CHECK(dies(
        [] {
            runtime rt;
            wire::wait w;
            wait_list list;
            list.chain(w);
            for (int i = 0; i < 2; ++i) rt.go([&] { static_cast<void>(list.await(within(1s))); });
            static_cast<void>(rt.run());
        },
        "two wires wait for one list"));
    CHECK(dies(
        [] {
            runtime rt;
            rt.go([&] {
                wire::wait w;
                w.stop();
                static_cast<void>(w.await());
            });
            static_cast<void>(rt.run());
        },
        "reset() it before"));
}

TEST_CASE("wait: wires that wait for it and nothing else are a deadlock with its name") {
    const caught_diagnostics said;
    runtime rt;
    wire::wait w;
    rt.go([&] { CHECK(w.await()); });
    CHECK(rt.run().error() == std::errc::resource_deadlock_would_occur);
    CHECK(said.has(diagnostic::deadlock, "a list of waits"));
    CHECK(w.wake());
    CHECK(rt.run());
}

TEST_CASE("timer: rings once, and can be armed again") {
    on_wire([](sim& s) {
        wire::timer t;
        CHECK_FALSE(t.armed());
        t.arm(within(10ms));
        CHECK(t.armed());
        CHECK(t.await());
        CHECK(s.ms() == 10);
        CHECK_FALSE(t.armed());
        t.reset();
        CHECK(t.await(within(5ms)).code() == ETIMEDOUT);
        t.arm(within(1ms));
        CHECK(t.await());
        CHECK(s.ms() == 16);
    });
}

TEST_CASE("timer: arming again replaces the time before, disarming ends it") {
    on_wire([](sim& s) {
        wire::timer t(within(100ms));
        t.arm(within(3ms));
        CHECK(t.await());
        CHECK(s.ms() == 3);
        t.arm(within(1ms));
        t.disarm();
        CHECK(t.await(within(50ms)).code() == ETIMEDOUT);
        t.arm(within(1ms));
        t.stop();
        CHECK_FALSE(t.armed());
        t.arm(never);
        CHECK_FALSE(t.armed());
        t.arm(within(1ms));
        CHECK(t.wake());  // by hand
        CHECK_FALSE(t.armed());
        CHECK(t.await());
    });
}

TEST_CASE("timer: a time-out that comes while the wire is elsewhere is not lost") {
    on_wire([](sim& s) {
        wire::wait data;
        wire::timer limit(within(5ms));
        wait_list either;
        either.chain(data);
        either.chain(limit);
        CHECK(sleep(within(20ms)));
        CHECK(either.await().value() == &limit);
        CHECK(s.ms() == 20);
    });
}

TEST_CASE("event_wait: triggered by set, at once if it is set already") {
    on_wire([](sim&) {
        event e;
        event_wait early(e);
        CHECK_FALSE(early.triggered());
        e.set();
        CHECK(early.triggered());
        event_wait late(e);
        CHECK(late.triggered());
        late.reset();
        CHECK(late.triggered());
        e.reset();
        late.reset();
        CHECK_FALSE(late.triggered());
        late.stop();
        e.set();
        CHECK_FALSE(late.triggered());
    });
}

TEST_CASE("semaphore_wait: holds the permit that triggered it until somebody takes it") {
    on_wire([](sim&) {
        semaphore s(1);
        {
            semaphore_wait w(s);
            CHECK(w.triggered());
            CHECK(s.available() == 0);
        }
        CHECK(s.available() == 1);
        semaphore_wait w(s);
        CHECK(w.take());
        CHECK_FALSE(w.take());
        w.reset();
        CHECK_FALSE(w.triggered());
        s.release();
        CHECK(w.triggered());
        CHECK(s.available() == 0);
        w.stop();
        CHECK(s.available() == 1);
        CHECK(s.try_acquire());
        w.reset();
        CHECK(w.wake());  // by hand: no permit
        CHECK_FALSE(w.take());
        s.release();
        CHECK(s.available() == 1);
    });
}

TEST_CASE("semaphore_wait: queues with wires, first come, first served" * fifo) {
    trace log;
    on_wire([&](sim&) {
        semaphore s(0);
        auto first = spawn([&] {
            CHECK(s.acquire());
            log.push_back("wire");
        });
        yield();
        semaphore_wait second(s);
        auto third = spawn([&] {
            CHECK(s.acquire());
            log.push_back("last");
        });
        yield();
        s.release(2);
        CHECK(second.triggered());
        CHECK(first.join());
        CHECK_FALSE(third.finished());
        second.stop();  // passes its permit on
        CHECK(third.join());
    });
    CHECK(log == trace{"wire", "last"});
}

TEST_CASE("join_wait: triggered when the wire ends, whatever its handle does") {
    on_wire([](sim& s) {
        auto quick = spawn([] { CHECK(sleep(within(2ms))); });
        auto slow = spawn([] { CHECK(sleep(within(9ms))); });
        join_wait a(slow), b(quick);
        wait_list either;
        either.chain(a);
        either.chain(b);
        CHECK(either.await().value() == &b);
        CHECK(s.ms() == 2);
        CHECK(quick.join());
        b.reset();
        CHECK(b.triggered());
        slow.detach();
        either.unchain(a);
        CHECK(a.await());
        CHECK(s.ms() == 9);
        auto next = spawn([] {});  // on the stack of one that has ended
        a.reset();
        CHECK(a.triggered());
        CHECK(next.join());
    });
}

TEST_CASE("join_wait: a wire can be joined while waits stand for its end") {
    on_wire([](sim&) {
        auto h = spawn([] { CHECK(sleep(within(2ms))); });
        join_wait w(h);
        CHECK(h.join());
        CHECK(w.triggered());
    });
}

TEST_CASE("wait_list: allocates nothing") {
    on_wire([](sim&) {
        wire::wait a;
        event e;
        semaphore s(0);
        const allocation_count taken;
        for (int i = 0; i < 100; ++i) {
            event_wait b(e);
            semaphore_wait c(s);
            wire::timer t(within(1ms));
            wait_list list;
            list.chain(a);
            list.chain(b);
            list.chain(c);
            list.chain(t);
            CHECK(list.await().value() == &t);
        }
        if (counts_allocations()) CHECK(taken.value() == 0);
    });
}
