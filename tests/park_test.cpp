// park(), the one blocking primitive: queues of waiters, and what ends a wait.
#include <doctest/doctest.h>

#include <chrono>

#include <wire/detail/park.hpp>
#include <wire/runtime.hpp>
#include "support/diagnostics.hpp"
#include "support/fifo.hpp"
#include "support/on_wire.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

// Something to wait for.
struct doorbell {
    int wait(deadline until = never) {
        wire::detail::waiter me;
        queue.push_back(me);
        return wire::detail::park("doorbell", until);
    }
    bool ring() { return wire::detail::wake_first(queue) != nullptr; }
    wire::detail::list<wire::detail::waiter> queue;
};

}  // namespace

TEST_CASE("park: a wake that comes first wins over a cancel of the same turn" * fifo) {
    on_wire([](sim&) {
        doorbell bell;
        int first = -1, second = -1;
        auto h = spawn([&] {
            first = bell.wait();
            second = bell.wait();
        });
        yield();
        CHECK(bell.ring());
        h.cancel();
        CHECK(h.join());
        CHECK(first == 0);
        CHECK(second == ECANCELED);
    });
}

TEST_CASE("park: after a cancel nothing can be handed over, the next in the queue gets it" * fifo) {
    on_wire([](sim&) {
        doorbell bell;
        int first = -1, second = -1;
        auto a = spawn([&] { first = bell.wait(); });
        auto b = spawn([&] { second = bell.wait(); });
        yield();
        a.cancel();
        CHECK(bell.ring());
        CHECK_FALSE(bell.ring());
        CHECK(a.join());
        CHECK(b.join());
        CHECK(first == ECANCELED);
        CHECK(second == 0);
    });
}

TEST_CASE("park: a wake that comes first wins over the deadline of the same turn" * fifo) {
    // stop() ends the run between the wake and the turn of the woken wire, so that run_once()
    // serves the timers in between.
    sim s;
    doorbell bell;
    trace log;
    s.rt.go([&] {
        CHECK(bell.wait(within(5ms)) == 0);
        log("first");
        CHECK(bell.wait(within(5ms)) == ETIMEDOUT);
        log("second");
    });
    s.rt.go([&] {
        s.clock.advance(5ms);
        CHECK(bell.ring());
        s.rt.stop();
    });
    CHECK(s.rt.run());
    CHECK(log.empty());
    s.rt.run_once();
    CHECK(log == trace{"first"});
    CHECK(s.rt.run());
    CHECK(log == trace{"first", "second"});
    CHECK(s.ms() == 10);
}

TEST_CASE("park: a cancel that comes first wins over the deadline of the same turn") {
    sim s;
    doorbell bell;
    auto h = s.rt.spawn([&] { return bell.wait(within(5ms)); });
    s.rt.go([&] {
        s.clock.advance(5ms);
        h.cancel();
        s.rt.stop();
    });
    CHECK(s.rt.run());
    CHECK_FALSE(s.rt.run_once());
    CHECK(*h.join() == ECANCELED);
}

TEST_CASE("park: a deadline that comes first wins over a cancel and a wake of the same turn") {
    on_wire([](sim&) {
        doorbell bell;
        int outcome = -1;
        auto h = spawn([&] { outcome = bell.wait(within(5ms)); });
        CHECK(sleep(within(5ms)));  // both timers ring in one turn, this one first
        h.cancel();
        CHECK_FALSE(bell.ring());
        CHECK(h.join());
        CHECK(outcome == ETIMEDOUT);
    });
}

TEST_CASE("park: a wire that leaves by cancel or deadline is out of every queue" * fifo) {
    // libwire left nodes of dead stacks linked (B13).
    on_wire([](sim&) {
        doorbell bell;
        auto a = spawn([&] { CHECK(bell.wait() == ECANCELED); });
        auto b = spawn([&] { CHECK(bell.wait(within(1ms)) == ETIMEDOUT); });
        yield();
        CHECK_FALSE(bell.queue.empty());
        a.cancel();
        CHECK(a.join());
        CHECK(b.join());
        CHECK(bell.queue.empty());
    });
}

TEST_CASE("park: a wire that waits for two things is woken by one, and the other is told" * fifo) {
    on_wire([](sim&) {
        doorbell left, right;
        int woken = 0;
        auto h = spawn([&] {
            wire::detail::waiter a, b;
            left.queue.push_back(a);
            right.queue.push_back(b);
            CHECK(wire::detail::park("two bells", never) == 0);
            ++woken;
        });
        yield();
        CHECK(right.ring());
        CHECK_FALSE(left.ring());
        CHECK(h.join());
        CHECK(woken == 1);
        CHECK(left.queue.empty());
        CHECK(right.queue.empty());
    });
}

TEST_CASE("park: waiters are woken in the order in which they came, or all at once" * fifo) {
    on_wire([](sim&) {
        doorbell bell;
        trace log;
        for (int i = 0; i < 4; ++i) {
            go([&, i] {
                CHECK(bell.wait() == 0);
                log("", i);
            });
        }
        yield();
        CHECK(bell.ring());
        yield();
        CHECK(log == trace{"0"});
        wire::detail::wake_all(bell.queue);
        yield();
        CHECK(log == trace{"0", "1", "2", "3"});
    });
}

TEST_CASE("park: a deadlock report names what a wire waits for") {
    const caught_diagnostics said;
    runtime rt;
    doorbell bell;
    rt.go({.name = "guest"}, [&] { static_cast<void>(bell.wait()); });
    CHECK(rt.run().code() == EDEADLK);
    CHECK(said.has(diagnostic::deadlock, "\"guest\" waits for doorbell"));
    rt.cancel_all();
    CHECK(rt.run());
}
