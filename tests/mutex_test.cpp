// mutex: who gets it, what ends a wait for it, and misuse.
#include <doctest/doctest.h>

#include <chrono>
#include <mutex>

#include <wire/mutex.hpp>
#include <wire/runtime.hpp>
#include "support/diagnostics.hpp"
#include "support/environment.hpp"
#include "support/fifo.hpp"
#include "support/on_wire.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

TEST_CASE("mutex: one wire at a time holds it, also while it is suspended" * fifo) {
    sim s;
    mutex m;
    trace log;
    for (int i = 0; i < 3; ++i) {
        s.rt.go([&, i] {
            const std::lock_guard hold(m);
            log("in", i);
            CHECK(sleep(within(1ms)));
            log("out", i);
        });
    }
    CHECK(s.rt.run());
    CHECK(log == trace{"in0", "out0", "in1", "out1", "in2", "out2"});
    CHECK(s.ms() == 3);
}

TEST_CASE("mutex: unlock hands it to the first who waits, and nobody can overtake" * fifo) {
    on_wire([](sim&) {
        mutex m;
        trace log;
        m.lock();
        auto waiter = spawn([&] {
            m.lock();
            log("waiter");
            m.unlock();
        });
        yield();
        m.unlock();
        CHECK_FALSE(m.try_lock());  // it is the waiter's already
        m.lock();
        log("again");
        m.unlock();
        CHECK(waiter.join());
        CHECK(log == trace{"waiter", "again"});
    });
}

TEST_CASE("mutex: two wires that lock in turns take turns" * fifo) {
    sim s;
    mutex m;
    trace log;
    for (const char* name : {"a", "b"}) {
        s.rt.go([&, name] {
            for (int i = 0; i < 3; ++i) {
                const std::lock_guard hold(m);
                yield();
                log(name, i);
            }
        });
    }
    CHECK(s.rt.run());
    CHECK(log == trace{"a0", "b0", "a1", "b1", "a2", "b2"});
}

TEST_CASE("mutex: try_lock never waits") {
    on_wire([](sim&) {
        mutex m;
        CHECK(m.try_lock());
        CHECK_FALSE(m.try_lock());
        auto other = spawn([&] { CHECK_FALSE(m.try_lock()); });
        CHECK(other.join());
        m.unlock();
        CHECK(m.try_lock());
        m.unlock();
    });
}

TEST_CASE("mutex: the standard's guards work with it") {
    on_wire([](sim&) {
        mutex a, b;
        { const std::lock_guard hold(a); }
        {
            const std::scoped_lock both(a, b);
            CHECK_FALSE(a.try_lock());
            CHECK_FALSE(b.try_lock());
        }
        std::unique_lock hold(a, std::try_to_lock);
        CHECK(hold.owns_lock());
        hold.unlock();
        hold.lock();
        CHECK_FALSE(a.try_lock());
    });
}

TEST_CASE("mutex: scoped_lock takes two in opposite orders without a deadlock") {
    sim s;
    mutex a, b;
    int done = 0;
    auto work = [&](mutex& first, mutex& second) {
        for (int i = 0; i < 5; ++i) {
            const std::scoped_lock both(first, second);
            yield();
            ++done;
        }
    };
    s.rt.go([&] { work(a, b); });
    s.rt.go([&] { work(b, a); });
    CHECK(s.rt.run());
    CHECK(done == 10);
}

TEST_CASE("mutex: a wait ends at its deadline, and the queue goes on without it") {
    on_wire([](sim& s) {
        mutex m;
        trace log;
        m.lock();
        auto first = spawn([&] {
            CHECK(m.lock(within(2ms)).code() == ETIMEDOUT);
            log("late");
        });
        auto second = spawn([&] {
            CHECK(m.lock(within(9ms)));
            log("got it");
            m.unlock();
        });
        CHECK(sleep(within(5ms)));
        m.unlock();
        CHECK(first.join());
        CHECK(second.join());
        CHECK(log == trace{"late", "got it"});
        CHECK(s.ms() == 5);
    });
}

TEST_CASE("mutex: lock with a deadline fails in a cancelled scope, even if it is free") {
    on_wire([](sim&) {
        mutex m;
        cancel_scope scope;
        scope.cancel();
        CHECK(m.lock(never).code() == ECANCELED);
        CHECK(m.wait_clear().code() == ECANCELED);
        m.lock();  // shielded
        CHECK(m.try_lock() == false);
        m.unlock();
    });
}

TEST_CASE("mutex: cancellation ends lock(deadline), not lock()") {
    on_wire([](sim&) {
        mutex m;
        trace log;
        m.lock();
        auto shielded = spawn([&] {
            m.lock();
            log("locked");
            CHECK(this_wire::cancelled());
            CHECK(sleep(within(1ms)).code() == ECANCELED);  // the shield was lock()'s only
            m.unlock();
        });
        auto open = spawn([&] {
            CHECK(m.lock(never).code() == ECANCELED);
            log("cancelled");
        });
        yield();
        shielded.cancel();
        open.cancel();
        CHECK(open.join());
        m.unlock();
        CHECK(shielded.join());
        CHECK(log == trace{"cancelled", "locked"});
    });
}

TEST_CASE("mutex: what follows a shielded wait can be cancelled again") {
    on_wire([](sim&) {
        mutex m;
        m.lock();
        auto h = spawn([&] {
            const std::lock_guard hold(m);
            CHECK(sleep(never).code() == ECANCELED);
        });
        yield();
        m.unlock();
        yield();
        h.cancel();
        CHECK(h.join());
    });
}

TEST_CASE("mutex: a hand-over wins over a cancel that comes later in the same turn" * fifo) {
    on_wire([](sim&) {
        mutex m;
        m.lock();
        auto h = spawn([&] {
            CHECK(m.lock(never));
            CHECK(this_wire::cancelled());
            m.unlock();
        });
        yield();
        m.unlock();
        h.cancel();
        CHECK(h.join());
        CHECK(m.try_lock());
        m.unlock();
    });
}

TEST_CASE("mutex: a cancel that comes first leaves the lock to the next, or to nobody" * fifo) {
    on_wire([](sim&) {
        mutex m;
        m.lock();
        auto a = spawn([&] { CHECK(m.lock(never).code() == ECANCELED); });
        auto b = spawn([&] {
            CHECK(m.lock(never));
            m.unlock();
        });
        yield();
        a.cancel();
        m.unlock();
        CHECK_FALSE(m.try_lock());
        CHECK(a.join());
        CHECK(b.join());
        m.lock();
        auto c = spawn([&] { CHECK(m.lock(never).code() == ECANCELED); });
        yield();
        c.cancel();
        m.unlock();
        CHECK(m.try_lock());
        m.unlock();
        CHECK(c.join());
    });
}

TEST_CASE("mutex: of a hand-over and a deadline in one turn the first wins" * fifo) {
    on_wire([](sim&) {
        mutex m;
        m.lock();
        auto late = spawn([&] { CHECK(m.lock(within(5ms)).code() == ETIMEDOUT); });
        CHECK(sleep(within(5ms)));  // both timers ring in one turn
        m.unlock();
        CHECK(m.try_lock());
        m.unlock();
        CHECK(late.join());
    });
    // stop() ends the run between the hand-over and the turn of the woken wire, so that run_once()
    // serves the timers in between.
    sim s;
    mutex m;
    bool locked = false;
    s.rt.go([&] {
        m.lock();
        yield();
        s.clock.advance(5ms);
        m.unlock();
        s.rt.stop();
    });
    s.rt.go([&] {
        locked = m.lock(within(5ms)).has_value();
        m.unlock();
    });
    CHECK(s.rt.run());
    CHECK_FALSE(locked);
    CHECK(s.rt.run());
    CHECK(locked);
}

TEST_CASE("mutex: wait_clear returns once nobody holds it or waits for it" * fifo) {
    sim s;
    mutex m;
    trace log;
    for (int i = 0; i < 3; ++i) {
        s.rt.go([&, i] {
            const std::lock_guard hold(m);
            CHECK(sleep(within(1ms)));
            log("", i);
        });
    }
    for (const char* name : {"clear", "clear too"}) {
        s.rt.go([&, name] {
            CHECK(m.wait_clear());
            CHECK(m.try_lock());
            m.unlock();
            log(name);
        });
    }
    CHECK(s.rt.run());
    CHECK(log == trace{"0", "1", "2", "clear", "clear too"});
}

TEST_CASE("mutex: wait_clear waits again if the lock is taken before it runs") {
    on_wire([](sim& s) {
        mutex m;
        CHECK(m.wait_clear());  // at once
        m.lock();
        auto h = spawn([&] { CHECK(m.wait_clear(within(9ms))); });
        auto late = spawn([&] { CHECK(m.wait_clear(within(1ms)).code() == ETIMEDOUT); });
        yield();
        m.unlock();
        m.lock();
        CHECK(sleep(within(5ms)));
        CHECK_FALSE(h.finished());
        m.unlock();
        CHECK(h.join());
        CHECK(late.join());
        CHECK(s.ms() == 5);
    });
}

TEST_CASE("mutex: wait_clear ends at its deadline and by cancellation") {
    on_wire([](sim&) {
        mutex m;
        m.lock();
        auto a = spawn([&] { CHECK(m.wait_clear(within(1ms)).code() == ETIMEDOUT); });
        auto b = spawn([&] { CHECK(m.wait_clear().code() == ECANCELED); });
        yield();
        b.cancel();
        CHECK(a.join());
        CHECK(b.join());
        m.unlock();
    });
}

TEST_CASE("mutex: a deadlock report says that wires wait for a mutex" * fifo) {
    const caught_diagnostics said;
    runtime rt;
    mutex m;
    rt.go({.name = "one"}, [&] {
        m.lock();
        static_cast<void>(suspend());
        m.unlock();
    });
    rt.go({.name = "two"}, [&] { static_cast<void>(m.lock(never)); });
    rt.go({.name = "three"}, [&] { static_cast<void>(m.wait_clear()); });
    CHECK(rt.run().code() == EDEADLK);
    CHECK(said.has(diagnostic::deadlock, "\"two\" waits for mutex"));
    CHECK(said.has(diagnostic::deadlock, "\"three\" waits for a clear mutex"));
    rt.cancel_all();
    CHECK(rt.run());
}

TEST_CASE("mutex: misuse is told in a sentence") {
    mutex m;
    CHECK(wire_dies([&] { m.unlock(); }, "unlock of a mutex that nobody holds"));
    CHECK(wire_dies(
        [&] {
            m.lock();
            go([&] { m.unlock(); });
            yield();
        },
        "unlock of a mutex that another wire holds"));
    const char* const twice = "a wire locks a mutex that it holds";
    CHECK(wire_dies([&] { m.lock(), m.lock(); }, twice));
    CHECK(wire_dies([&] { m.lock(), static_cast<void>(m.lock(within(1ms))); }, twice));
    CHECK(wire_dies([&] { m.lock(), static_cast<void>(m.wait_clear()); }, twice));
    CHECK(wire_dies([] { mutex().lock(); }, "a mutex is destroyed while a wire holds it"));
}

TEST_CASE("mutex: outside a wire it is told so, and try_lock gets nothing") {
    mutex m;
    CHECK_FALSE(m.try_lock());
    CHECK(dies([&] { m.lock(); }, "a mutex is locked outside a wire"));
    CHECK(dies([&] { m.unlock(); }, "unlock of a mutex that nobody holds"));
}

TEST_CASE("mutex: contention allocates nothing") {
    WIRE_LEAVE_OUT_IF(!counts_allocations(), "a sanitizer or valgrind has the heap");
    const auto contend = [] {
        mutex m;
        auto other = spawn([&] {
            for (int i = 0; i < 100; ++i) {
                const std::lock_guard hold(m);
                yield();
            }
        });
        for (int i = 0; i < 100; ++i) {
            CHECK(m.lock(within(1s)));
            yield();
            m.unlock();
        }
        CHECK(other.join());
    };
    CHECK(allocations_of(contend) == 0);
}
