// wait_group, once and barrier: wires that wait for each other.
#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>

#include <wire/barrier.hpp>
#include <wire/once.hpp>
#include <wire/runtime.hpp>
#include <wire/wait_group.hpp>
#include "support/diagnostics.hpp"
#include "support/environment.hpp"
#include "support/fifo.hpp"
#include "support/on_wire.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

TEST_CASE("wait_group: those who wait go on when the last thing is done" * fifo) {
    on_wire([](sim& s) {
        wait_group jobs;
        trace log;
        CHECK(jobs.wait());  // nothing to be done
        for (int i = 1; i <= 3; ++i) {
            jobs.add();
            go([&, i] {
                CHECK(sleep(within(std::chrono::milliseconds(i))));
                log("done", i);
                jobs.done();
            });
        }
        auto other = spawn([&] {
            CHECK(jobs.wait());
            log("other");
        });
        CHECK(jobs.left() == 3);
        CHECK(jobs.wait());
        log("all");
        CHECK(other.join());
        CHECK(log == trace{"done1", "done2", "done3", "all", "other"});
        CHECK(s.ms() == 3);
    });
}

TEST_CASE("wait_group: may be used again, also before those who were woken have run" * fifo) {
    on_wire([](sim&) {
        wait_group jobs(1);
        int woken = 0;
        auto h = spawn([&] {
            CHECK(jobs.wait());
            ++woken;
        });
        yield();
        jobs.done();
        jobs.add(2);
        CHECK(h.join());
        CHECK(woken == 1);
        CHECK(jobs.wait(within(1ms)).code() == ETIMEDOUT);
        jobs.done();
        jobs.done();
        CHECK(jobs.wait());
    });
}

TEST_CASE("wait_group: a wait ends by deadline and cancellation, but not if it is done before" *
          fifo) {
    on_wire([](sim&) {
        wait_group jobs(1);
        auto late = spawn([&] { CHECK(jobs.wait(within(1ms)).code() == ETIMEDOUT); });
        auto cancelled = spawn([&] { CHECK(jobs.wait().code() == ECANCELED); });
        yield();
        cancelled.cancel();
        CHECK((late.join() && cancelled.join()));
        auto in_time = spawn([&] {
            CHECK(jobs.wait());
            CHECK(jobs.wait().code() == ECANCELED);  // level-triggered
        });
        yield();
        jobs.done();
        in_time.cancel();
        CHECK(in_time.join());
    });
}

TEST_CASE("wait_group: misuse is told in a sentence" * fifo) {
    CHECK(wire_dies([] { wait_group().done(); }, "done() of a wait_group more often than add()"));
    CHECK(wire_dies(
        [] {
            auto* const jobs = new wait_group(1);
            go([&] { static_cast<void>(jobs->wait()); });
            yield();
            delete jobs;
        },
        "a wait_group is destroyed while somebody waits for it"));
}

TEST_CASE("once: the first runs it, the others wait until it has ended" * fifo) {
    on_wire([](sim& s) {
        once only;
        trace log;
        for (int i = 0; i < 3; ++i) {
            go([&, i] {
                CHECK(only.call([&] {
                    log("runs", i);
                    CHECK(sleep(within(2ms)));
                }));
                log("goes on", i);
            });
        }
        CHECK(sleep(within(5ms)));
        CHECK(only.done());
        CHECK(only.call([&] { log("again"); }));
        CHECK(log == trace{"runs0", "goes on0", "goes on1", "goes on2"});
        CHECK(s.ms() == 5);
    });
}

TEST_CASE("once: if it throws, the caller sees that and the next waiter runs it" * fifo) {
    on_wire([](sim&) {
        once only;
        trace log;
        auto attempt = [&](const char* name, bool fails) {
            return spawn([&only, &log, name, fails] {
                static_cast<void>(only.call([&] {
                    log(name);
                    yield();
                    if (fails) throw std::runtime_error(name);
                }));
            });
        };
        auto a = attempt("a", true), b = attempt("b", true), c = attempt("c", false),
             d = attempt("d", false);
        CHECK_THROWS_WITH(static_cast<void>(a.join()), "a");
        CHECK_THROWS_WITH(static_cast<void>(b.join()), "b");
        CHECK((c.join() && d.join()));
        CHECK(log == trace{"a", "b", "c"});
        CHECK(only.done());
    });
}

TEST_CASE("once: if it fails and nobody waits, the next caller runs it") {
    on_wire([](sim&) {
        once only;
        CHECK(only.call([]() -> result<void> { return failure{EIO}; }).code() == EIO);
        CHECK_FALSE(only.done());
        CHECK(only.call([]() -> result<void> { return {}; }));
        CHECK(only.done());
        CHECK(only.call([]() -> result<void> { return failure{EIO}; }));
    });
}

TEST_CASE("once: cancelling the wire that runs it costs the others nothing") {
    on_wire([](sim&) {
        once only;
        int ready = 0;
        auto make = [&] {
            const auto r = sleep(within(2ms));
            if (r) ++ready;
            return r;
        };
        auto first = spawn([&] { CHECK(only.call(make).code() == ECANCELED); });
        auto second = spawn([&] { CHECK(only.call(make)); });
        yield();
        first.cancel();
        CHECK((first.join() && second.join()));
        CHECK(ready == 1);
    });
}

TEST_CASE("once: a wait ends by deadline and cancellation, and the turn goes past such a wire" *
          fifo) {
    on_wire([](sim&) {
        once only;
        trace log;
        auto runner = spawn([&] {
            CHECK(only.call([&]() -> result<void> {
                          CHECK(sleep(within(5ms)));
                          return failure{EIO};
                      })
                      .code() == EIO);
        });
        auto late =
            spawn([&] { CHECK(only.call(within(5ms), [&] { log("late"); }).code() == ETIMEDOUT); });
        auto cancelled =
            spawn([&] { CHECK(only.call([&] { log("cancelled"); }).code() == ECANCELED); });
        auto last = spawn([&] { CHECK(only.call(within(6ms), [&] { log("last"); })); });
        yield();
        cancelled.cancel();
        CHECK((runner.join() && late.join() && cancelled.join() && last.join()));
        CHECK(log == trace{"last"});
    });
}

TEST_CASE("once: in a cancelled scope it fails, also when it is done") {
    on_wire([](sim&) {
        once only;
        CHECK(only.call([] {}));
        cancel_scope scope;
        scope.cancel();
        CHECK(only.call([] {}).code() == ECANCELED);
    });
}

TEST_CASE("once: misuse is told in a sentence" * fifo) {
    once only;
    CHECK(wire_dies(
        [&] { static_cast<void>(only.call([&] { static_cast<void>(only.call([] {})); })); },
        "call() of a once from within its function"));
    CHECK(wire_dies(
        [&] {
            auto* const o = new once;
            go([&] { static_cast<void>(o->call([] { yield(); })); });
            yield();
            delete o;
        },
        "a once is destroyed while a wire runs its function"));
}

TEST_CASE("barrier: wires go on together, and one of them is told that it was the last" * fifo) {
    on_wire([](sim& s) {
        barrier line(3);
        trace log;
        for (int i = 1; i <= 3; ++i) {
            go([&, i] {
                for (int lap = 0; lap < 2; ++lap) {
                    CHECK(sleep(within(std::chrono::milliseconds(i))));
                    log("at", i);
                    const auto last = line.arrive_and_wait();
                    CHECK(*last == (i == 3));
                    log("past", i);
                }
            });
        }
        CHECK(sleep(within(7ms)));
        CHECK(log == trace{"at1", "at2", "at3", "past3", "past1", "past2",  //
                           "at1", "at2", "at3", "past3", "past1", "past2"});
        CHECK(s.ms() == 7);
    });
}

TEST_CASE("barrier: for one wire it never waits") {
    on_wire([](sim&) {
        barrier line(1);
        CHECK(*line.arrive_and_wait());
        CHECK(*line.arrive_and_wait());
        cancel_scope scope;
        scope.cancel();
        CHECK(line.arrive_and_wait().code() == ECANCELED);
    });
}

TEST_CASE("barrier: who gives up has not arrived" * fifo) {
    on_wire([](sim&) {
        barrier line(3);
        const auto arrive = [&](int code, deadline until = never) {
            return spawn(
                [&line, code, until] { CHECK(line.arrive_and_wait(until).code() == code); });
        };
        auto late = arrive(ETIMEDOUT, within(1ms)), cancelled = arrive(ECANCELED);
        yield();
        CHECK(line.waiting() == 2);
        cancelled.cancel();
        CHECK((late.join() && cancelled.join()));
        CHECK(line.waiting() == 0);
        auto a = arrive(0), b = arrive(0);
        yield();
        CHECK(*line.arrive_and_wait());
        CHECK((a.join() && b.join()));
    });
}

TEST_CASE("barrier: nor has one that was cancelled in the turn in which the last arrives" * fifo) {
    on_wire([](sim&) {
        barrier line(3);
        trace log;
        const auto arrive = [&](const char* name) {
            return spawn([&line, &log, name] { log(name, line.arrive_and_wait().code()); });
        };
        auto a = arrive("a"), b = arrive("b");
        yield();
        auto c = arrive("c");
        a.cancel();
        CHECK_FALSE(*line.arrive_and_wait());  // the third with a, which has not run since
        CHECK((a.join() && b.join() && c.join()));
        CHECK(log == trace{"c0", with_number("a", ECANCELED), "b0"});
        CHECK(line.waiting() == 0);
    });
}

TEST_CASE("barrier: who was let go is past it, also if cancelled in the same turn") {
    on_wire([](sim&) {
        barrier line(2);
        auto h = spawn([&] { CHECK(line.arrive_and_wait()); });
        yield();
        CHECK(line.arrive_and_wait());
        h.cancel();
        CHECK(h.join());
    });
}

TEST_CASE("barrier: misuse is told in a sentence" * fifo) {
    CHECK(wire_dies([] { barrier(0); }, "a barrier for no wires"));
    CHECK(wire_dies(
        [] {
            auto* const line = new barrier(2);
            go([&] { static_cast<void>(line->arrive_and_wait()); });
            yield();
            delete line;
        },
        "a barrier is destroyed while somebody waits for it"));
}

TEST_CASE("wait_group, once, barrier: a deadlock report says what for wires wait" * fifo) {
    const caught_diagnostics said;
    runtime rt;
    wait_group jobs(1);
    once only;
    barrier line(2);
    rt.go({.name = "a"}, [&] { static_cast<void>(jobs.wait()); });
    rt.go([&] { static_cast<void>(only.call([] { return suspend(); })); });
    rt.go({.name = "b"}, [&] { static_cast<void>(only.call([] {})); });
    rt.go({.name = "c"}, [&] { static_cast<void>(line.arrive_and_wait()); });
    CHECK(rt.run().code() == EDEADLK);
    CHECK(said.has(diagnostic::deadlock, "\"a\" waits for wait_group"));
    CHECK(said.has(diagnostic::deadlock, "\"b\" waits for once"));
    CHECK(said.has(diagnostic::deadlock, "\"c\" waits for barrier"));
    rt.cancel_all();
    CHECK(rt.run());
}

TEST_CASE("wait_group, once, barrier: they allocate nothing") {
    WIRE_LEAVE_OUT_IF(!counts_allocations(), "a sanitizer or valgrind has the heap");
    CHECK(allocations_of([] {
              wait_group jobs(1);
              once only;
              barrier line(2);
              const auto work = [&] {
                  CHECK(only.call(within(1s), [] { yield(); }));
                  for (int i = 0; i < 100; ++i) CHECK(line.arrive_and_wait(within(1s)));
              };
              auto other = spawn([&] {
                  work();
                  jobs.done();
              });
              work();
              CHECK(jobs.wait(within(1s)));
              CHECK(other.join());
          }) == 0);
}
