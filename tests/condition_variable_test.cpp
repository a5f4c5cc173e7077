// condition_variable: notifications, the way back to the mutex, and what ends a wait.
#include <doctest/doctest.h>

#include <chrono>
#include <deque>

#include <wire/condition_variable.hpp>
#include <wire/runtime.hpp>
#include "support/diagnostics.hpp"
#include "support/environment.hpp"
#include "support/fifo.hpp"
#include "support/on_wire.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

struct monitor {
    // Waits once; notes the outcome with the mutex held.
    auto waiter(const char* name, deadline until = never) {
        return spawn([this, name, until] {
            std::unique_lock lock(m);
            const auto notified = changed.wait(lock, until);
            CHECK(lock.owns_lock());
            log(name, notified.code());
        });
    }
    [[nodiscard]] bool is_free() {
        if (!m.try_lock()) return false;
        m.unlock();
        return true;
    }
    mutex m;
    condition_variable changed;
    trace log;
};

}  // namespace

TEST_CASE("condition_variable: a bounded buffer between wires") {
    on_wire([](sim&) {
        mutex m;
        condition_variable not_empty, not_full;
        std::deque<int> buffer;
        auto producer = spawn([&] {
            for (int i = 0; i < 20; ++i) {
                std::unique_lock lock(m);
                CHECK(not_full.wait(lock, [&] { return buffer.size() < 3; }));
                buffer.push_back(i);
                not_empty.notify_one();
            }
        });
        for (int i = 0; i < 20; ++i) {
            std::unique_lock lock(m);
            CHECK(not_empty.wait(lock, [&] { return !buffer.empty(); }));
            CHECK(buffer.front() == i);
            buffer.pop_front();
            not_full.notify_one();
        }
        CHECK(producer.join());
    });
}

TEST_CASE("condition_variable: wires are notified in the order in which they came" * fifo) {
    on_wire([](sim&) {
        monitor at;
        auto a = at.waiter("a"), b = at.waiter("b"), c = at.waiter("c");
        yield();
        CHECK(at.is_free());
        at.changed.notify_one();
        yield();
        CHECK(at.log == trace{"a0"});
        at.changed.notify_all();
        yield();
        yield();
        CHECK(at.log == trace{"a0", "b0", "c0"});
        at.changed.notify_one();  // nobody waits: it is not kept
        at.changed.notify_all();
        CHECK((a.join() && b.join() && c.join()));
    });
}

TEST_CASE("condition_variable: a notified wire is not woken to wait for the mutex again" * fifo) {
    on_wire([](sim&) {
        monitor at;
        auto a = at.waiter("a"), b = at.waiter("b");
        yield();
        at.m.lock();
        at.changed.notify_all();
        yield();
        CHECK(at.log.empty());
        at.log("unlock");
        at.m.unlock();
        CHECK_FALSE(at.is_free());  // it is the first one's
        CHECK((a.join() && b.join()));
        CHECK(at.log == trace{"unlock", "a0", "b0"});
        CHECK(at.is_free());
    });
}

TEST_CASE("condition_variable: a notified wire queues for the mutex behind those who asked before" *
          fifo) {
    on_wire([](sim&) {
        monitor at;
        auto notified = at.waiter("notified");
        yield();
        at.m.lock();
        const auto locker = [&](const char* name) {
            return spawn([&at, name] {
                const std::lock_guard hold(at.m);
                at.log(name);
            });
        };
        auto before = locker("before");
        yield();
        at.changed.notify_one();
        auto after = locker("after");
        yield();
        at.m.unlock();
        CHECK((before.join() && notified.join() && after.join()));
        CHECK(at.log == trace{"before", "notified0", "after"});
    });
}

TEST_CASE("condition_variable: a wait that fails has the mutex again, however long that takes" *
          fifo) {
    on_wire([](sim& s) {
        monitor at;
        auto late = at.waiter("late", within(2ms));
        auto cancelled = at.waiter("cancelled");
        yield();
        at.m.lock();
        CHECK(sleep(within(5ms)));
        cancelled.cancel();
        yield();
        CHECK(at.log.empty());
        at.m.unlock();
        CHECK((late.join() && cancelled.join()));
        CHECK(at.log == trace{with_number("late", ETIMEDOUT), with_number("cancelled", ECANCELED)});
        CHECK(s.ms() == 5);
        CHECK(at.is_free());
    });
}

TEST_CASE(
    "condition_variable: who waits for the mutex after its time was up takes no notification" *
    fifo) {
    on_wire([](sim&) {
        monitor at;
        auto late = at.waiter("late", within(1ms));
        auto other = at.waiter("other");
        yield();
        at.m.lock();
        CHECK(sleep(within(2ms)));
        at.changed.notify_one();  // for the other one
        at.m.unlock();
        CHECK((late.join() && other.join()));
        CHECK(at.log == trace{with_number("late", ETIMEDOUT), "other0"});
    });
}

TEST_CASE("condition_variable: a notification wins over a cancel and a deadline that come later" *
          fifo) {
    on_wire([](sim& s) {
        monitor at;
        auto a = at.waiter("a"), b = at.waiter("b", within(3ms));
        yield();
        at.m.lock();
        at.changed.notify_all();
        a.cancel();
        CHECK(sleep(within(5ms)));  // also the deadline passes while they wait for the mutex
        b.cancel();
        CHECK(at.log.empty());
        at.m.unlock();
        CHECK((a.join() && b.join()));
        CHECK(at.log == trace{"a0", "b0"});
        CHECK(s.ms() == 5);
    });
}

TEST_CASE("condition_variable: a notification goes past those who have given up in the same turn" *
          fifo) {
    on_wire([](sim&) {
        monitor at;
        auto a = at.waiter("a"), b = at.waiter("b", within(3ms)), c = at.waiter("c");
        CHECK(sleep(within(3ms)));  // b's deadline rings in the same turn
        a.cancel();
        at.changed.notify_one();
        CHECK((a.join() && b.join() && c.join()));
        // c had the mutex at once; the others asked for it when they ran.
        CHECK(at.log == trace{"c0", with_number("b", ETIMEDOUT), with_number("a", ECANCELED)});
    });
}

TEST_CASE("condition_variable: in a cancelled scope it fails at once, with the mutex held") {
    on_wire([](sim&) {
        monitor at;
        cancel_scope scope;
        scope.cancel();
        std::unique_lock lock(at.m);
        CHECK(at.changed.wait(lock).code() == ECANCELED);
        CHECK(at.changed.wait(lock, [] { return true; }).code() == ECANCELED);
        CHECK(lock.owns_lock());
        CHECK_FALSE(at.m.try_lock());
    });
}

TEST_CASE("condition_variable: with a predicate it waits again until that holds") {
    on_wire([](sim& s) {
        monitor at;
        int value = 0;
        auto h = spawn([&] {
            std::unique_lock lock(at.m);
            CHECK(at.changed.wait(lock, [&] { return value == 3; }));
            at.log("three");
            CHECK(at.changed
                      .wait(
                          lock, [&] { return value == 4; }, within(2ms))
                      .code() == ETIMEDOUT);
            CHECK(at.changed.wait(
                lock, [&] { return value == 5; }, within(2ms)));
            at.log("five");
        });
        for (; value < 3; ++value, at.changed.notify_one()) yield();
        CHECK(sleep(within(3ms)));
        CHECK(at.log == trace{"three"});
        value = 5;  // without a notification: seen when time is up
        CHECK(h.join());
        CHECK(at.log == trace{"three", "five"});
        CHECK(s.ms() == 4);
    });
}

TEST_CASE("condition_variable: a deadlock report says what for wires wait") {
    const caught_diagnostics said;
    runtime rt;
    monitor at;
    rt.go({.name = "idle"}, [&] {
        std::unique_lock lock(at.m);
        CHECK(at.changed.wait(lock).code() == ECANCELED);
    });
    CHECK(rt.run().code() == EDEADLK);
    CHECK(said.has(diagnostic::deadlock, "\"idle\" waits for condition_variable"));
    rt.cancel_all();
    CHECK(rt.run());
}

TEST_CASE("condition_variable: a notified wire that never gets the mutex waits for that" * fifo) {
    const caught_diagnostics said;
    runtime rt;
    monitor at;
    rt.go({.name = "notified"}, [&] {
        std::unique_lock lock(at.m);
        CHECK(at.changed.wait(lock));
    });
    rt.go([&] {
        const std::lock_guard hold(at.m);
        at.changed.notify_one();
        static_cast<void>(suspend());
    });
    CHECK(rt.run().code() == EDEADLK);
    CHECK(said.has(diagnostic::deadlock, "\"notified\" waits for mutex"));
    rt.cancel_all();
    CHECK(rt.run());
}

TEST_CASE("condition_variable: misuse is told in a sentence" * fifo) {
    mutex m;
    CHECK(wire_dies(
        [&] {
            std::unique_lock lock(m, std::defer_lock);
            static_cast<void>(condition_variable().wait(lock));
        },
        "wait() of a condition_variable without holding the mutex"));
    CHECK(wire_dies(
        [&] {
            auto* const c = new condition_variable;
            go([&] {
                std::unique_lock lock(m);
                static_cast<void>(c->wait(lock));
            });
            yield();
            delete c;
        },
        "a condition_variable is destroyed while somebody waits for it"));
}

TEST_CASE("condition_variable: waiting and notifying allocates nothing") {
    WIRE_LEAVE_OUT_IF(!counts_allocations(), "a sanitizer or valgrind has the heap");
    CHECK(allocations_of([] {
              mutex m;
              condition_variable changed;
              int turn = 0;
              const auto play = [&](int mine) {
                  for (int i = 0; i < 100; ++i) {
                      std::unique_lock lock(m);
                      CHECK(changed.wait(
                          lock, [&] { return turn % 2 == mine; }, within(1s)));
                      ++turn;
                      changed.notify_one();
                  }
              };
              auto other = spawn([&] { play(1); });
              play(0);
              CHECK(other.join());
          }) == 0);
}
