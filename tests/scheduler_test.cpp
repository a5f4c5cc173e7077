// The scheduler: in which order wires run, and when run() and run_once() return.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <wire/runtime.hpp>
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/sim_poller.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

void spin_for(std::chrono::nanoseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
}

// The order in which wires that yield a few times run, drawn with `seed`.
trace order_of(std::uint64_t seed) {
    sim s({.seed = seed});
    trace log;
    for (int i = 0; i < 6; ++i) {
        s.rt.go([&log, i] {
            for (int n = 0; n < 4; ++n) {
                log("", i);
                yield();
            }
        });
    }
    CHECK(s.rt.run());
    return log;
}

}  // namespace

TEST_CASE("scheduler: wires run in the order in which they were started") {
    runtime rt;
    trace log;
    for (int i = 0; i < 4; ++i) rt.go([&log, i] { log("wire", i); });
    CHECK(log.empty());  // nothing runs before run()
    CHECK(rt.run());
    CHECK(log == trace{"wire0", "wire1", "wire2", "wire3"});
}

TEST_CASE("scheduler: a wire runs until it yields, then all others run once") {
    runtime rt;
    trace log;
    for (const char* name : {"a", "b", "c"}) {
        rt.go([&log, name] {
            for (int i = 1; i <= 3; ++i) {
                log(name, i);
                yield();
            }
        });
    }
    CHECK(rt.run());
    CHECK(log == trace{"a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3"});
}

TEST_CASE("scheduler: a wire that is started goes last, its starter runs on") {
    runtime rt;
    trace log;
    rt.go([&] {
        log("first");
        go([&] { log("child"); });
        log("still first");
        yield();
        log("first again");
    });
    rt.go([&] { log("second"); });
    CHECK(rt.run());
    CHECK(log == trace{"first", "still first", "second", "child", "first again"});
}

TEST_CASE("scheduler: waking a wire makes it ready last and never runs it") {
    runtime rt;
    trace log;
    wire_ref sleeper;
    rt.go([&] {
        sleeper = this_wire::ref();
        CHECK(suspend());
        log("woken");
    });
    rt.go([&] {
        CHECK(resume(sleeper));
        log("waker goes on");
        yield();
        log("waker again");
    });
    rt.go([&] { log("third"); });
    CHECK(rt.run());
    CHECK(log == trace{"waker goes on", "third", "woken", "waker again"});
}

TEST_CASE("scheduler: every ready wire runs before any runs twice, whatever interrupts") {
    // Wires that hold the thread for longer than the 20 us after which the runtime serves timers
    // and other threads, and one that always has a timer due: the rotation must stay exact.
    constexpr int wires = 40, rounds = 20;
    runtime rt;
    std::vector<int> order;
    bool done = false;
    rt.go([&] {
        while (!done) CHECK(sleep(within(1us)));
    });
    for (int i = 0; i < wires; ++i) {
        rt.go([&, i] {
            for (int n = 0; n < rounds; ++n) {
                order.push_back(i);
                if (i % 10 == n % 10) spin_for(30us);
                yield();
            }
            done = true;
        });
    }
    CHECK(rt.run());
    bool exact = order.size() == wires * rounds;
    for (std::size_t i = 0; exact && i < order.size(); ++i)
        exact = order[i] == static_cast<int>(i % wires);
    CHECK(exact);
}

TEST_CASE("scheduler: ready wires do not starve timers") {
    runtime rt;
    bool rang = false;
    rt.go([&] {
        CHECK(sleep(within(100us)));
        rang = true;
    });
    for (int i = 0; i < 3; ++i) {
        rt.go([&] {
            const auto limit = std::chrono::steady_clock::now() + 10s;
            while (!rang && std::chrono::steady_clock::now() < limit) yield();
            CHECK(rang);
        });
    }
    CHECK(rt.run());
}

TEST_CASE("scheduler: ready wires do not starve the poller") {
    struct counting : poller {
        void poll(deadline) override { ++polls; }
        void notify() noexcept override {}
        bool armed() const noexcept override { return true; }
        int polls = 0;
    } events;
    runtime rt;
    rt.attach(&events);
    rt.go([&] {
        const auto limit = std::chrono::steady_clock::now() + 10s;
        while (events.polls < 5 && std::chrono::steady_clock::now() < limit) yield();
        CHECK(events.polls >= 5);
    });
    CHECK(rt.run());
    rt.attach(nullptr);
}

TEST_CASE("scheduler: a yield without another ready wire returns at once") {
    sim s;
    s.rt.go([&] {
        for (int i = 0; i < 1000; ++i) yield();
    });
    CHECK(s.rt.run());
    CHECK(s.clock.sleeps == 0);
}

TEST_CASE("scheduler: more wires than there was room for all run, in order") {
    constexpr int wires = 1000;
    runtime rt({.wires = 1});
    std::vector<int> order;
    for (int i = 0; i < wires; ++i)
        rt.go({.stack = 16 * 1024}, [&order, i] {
            order.push_back(i);
            yield();
            order.push_back(i);
        });
    CHECK(rt.size() == wires);
    CHECK(rt.run());
    CHECK(rt.size() == 0);
    CHECK(order.size() == 2 * wires);
    CHECK(std::is_sorted(order.begin(), order.begin() + wires));
    CHECK(std::is_sorted(order.begin() + wires, order.end()));
}

TEST_CASE("scheduler: room for no wires is made when the first is started") {
    runtime rt({.wires = 0});
    bool ran = false;
    rt.go([&] { ran = true; });
    CHECK(rt.run());
    CHECK(ran);
}

TEST_CASE("scheduler: a seed fixes the order, other seeds give others, and all wires run") {
    const trace fifo = order_of(0), one = order_of(1), two = order_of(2);
    CHECK(one == order_of(1));
    CHECK(two == order_of(2));
    CHECK(one != two);
    CHECK(one != fifo);
    const auto sorted = [](trace t) {
        std::sort(t.begin(), t.end());
        return t;
    };
    CHECK(sorted(one) == sorted(fifo));
    CHECK(sorted(two) == sorted(fifo));
}

TEST_CASE("run: returns when the last wire has ended, and may be called again") {
    runtime rt;
    int runs = 0;
    CHECK(rt.run());
    for (int i = 1; i <= 3; ++i) {
        rt.go([&] {
            yield();
            go([&] { ++runs; });
        });
        CHECK(rt.run());
        CHECK(runs == i);
    }
}

TEST_CASE("run: stop ends it before the next wire runs, and what was ready runs next time") {
    runtime rt;
    trace log;
    rt.go([&] {
        log("a");
        rt.stop();
        log("a runs on");
        yield();
        log("a again");
    });
    rt.go([&] { log("b"); });
    CHECK(rt.run());
    CHECK(log == trace{"a", "a runs on"});
    CHECK(rt.size() == 2);
    CHECK(rt.run());
    CHECK(log == trace{"a", "a runs on", "b", "a again"});
}

TEST_CASE("run: a stop that comes before makes the next run return at once, once") {
    runtime rt;
    int ran = 0;
    rt.go([&] { ++ran; });
    rt.stop();
    rt.stop();
    CHECK(rt.run());
    CHECK(ran == 0);
    CHECK(rt.run());
    CHECK(ran == 1);
}

TEST_CASE("run: stop ends it while wires sleep, and they sleep on in the next run") {
    sim s;
    s.rt.go([&] {
        CHECK(sleep(within(1ms)));
        s.rt.stop();
        CHECK(sleep(within(9ms)));
    });
    CHECK(s.rt.run());
    CHECK(s.ms() == 1);
    CHECK(s.rt.run());
    CHECK(s.ms() == 10);
}

TEST_CASE("run_once: runs what is ready and says whether more is") {
    sim s;
    trace log;
    CHECK_FALSE(s.rt.run_once());
    s.rt.go([&] { log("ran"); });
    CHECK_FALSE(s.rt.run_once());
    CHECK(log == trace{"ran"});
}

TEST_CASE("run_once: never blocks: a wire that sleeps is left for later") {
    sim s;
    bool woke = false;
    s.rt.go([&] {
        CHECK(sleep(within(5ms)));
        woke = true;
    });
    CHECK_FALSE(s.rt.run_once());
    CHECK_FALSE(s.rt.run_once(1h));
    CHECK(s.ms() == 0);
    CHECK(s.clock.sleeps == 0);
    s.clock.advance(5ms);
    s.rt.run_once();
    CHECK(woke);
}

TEST_CASE("run_once: ends after about its budget although wires stay ready") {
    runtime rt;
    bool done = false;
    for (int i = 0; i < 2; ++i) {
        rt.go([&] {
            while (!done) yield();
        });
    }
    const auto before = std::chrono::steady_clock::now();
    CHECK(rt.run_once(2ms));
    const auto took = std::chrono::steady_clock::now() - before;
    CHECK(took >= 2ms);
    CHECK(took < 10s);  // a machine may be busy; without a bound it would take for ever
    CHECK(rt.run_once(0ms));
    CHECK(rt.run_once(-1s));
    done = true;
    CHECK_FALSE(rt.run_once(std::chrono::nanoseconds::max()));
    CHECK(rt.size() == 0);
}

TEST_CASE("run_once: ends although wires only yield and the poller's clock stands still") {
    const caught_diagnostics said;
    bool done = false;
    {
        sim s({.drain = 1ms});
        s.rt.go([&] {
            while (!done) yield();
        });
        CHECK(s.rt.run_once());
        CHECK(s.rt.run_once(1h));
        CHECK(s.ms() == 0);
    }  // nor does it keep the runtime from its end
    CHECK(said.of(diagnostic::straggler).size() == 1);
}

TEST_CASE("run_once: stop ends it as it ends run") {
    runtime rt;
    int turns = 0;
    rt.go([&] {
        for (; turns < 10; ++turns) {
            if (turns == 3) rt.stop();
            yield();
        }
    });
    CHECK(rt.run_once(10s));
    CHECK(turns == 3);
    CHECK_FALSE(rt.run_once(10s));
    CHECK(turns == 10);
}

TEST_CASE("poller: it is bound once, before the first poll, on the runtime's thread") {
    sim s;
    CHECK(s.clock.binds == 0);
    CHECK(s.rt.run());
    CHECK(s.clock.binds == 1);
    CHECK(s.rt.run());
    CHECK(s.clock.binds == 1);
}

TEST_CASE("poller: one that cannot be bound makes run throw, and run may be called again") {
    struct moody : poller {
        void bind() override {
            if (refuse) throw std::system_error(EMFILE, std::system_category(), "epoll_create1");
        }
        void poll(deadline) override {}
        void notify() noexcept override {}
        bool armed() const noexcept override { return false; }
        bool refuse = true;
    } events;
    runtime rt;
    rt.attach(&events);
    bool ran = false;
    rt.go([&] { ran = true; });
    CHECK_THROWS_AS(static_cast<void>(rt.run()), std::system_error);
    CHECK_FALSE(ran);
    events.refuse = false;
    CHECK(rt.run());
    CHECK(ran);
}

TEST_CASE("trace: WIRE_TRACE=switch prints each switch") {
    const death d = run_in_child([] {
        ::setenv("WIRE_TRACE", "switch", 1);
        sim s;
        for (const char* name : {"ann", "bob"}) {
            s.rt.go({.name = name}, [] {
                for (int i = 0; i < 2; ++i) yield();
            });
        }
        static_cast<void>(s.rt.run());
    });
    CAPTURE(d.said);
    CHECK(d.code == 0);
    CHECK(d.times("wire: switch ") == 6);  // each wire starts once and comes back twice
    CHECK(d.times(" -> ann\n") == 3);
    CHECK(d.times(" -> bob\n") == 3);
    CHECK(d.says("wire: switch (runtime) -> ann\n"));
    // A switch goes from wire to wire, or through the runtime when timers and such are due.
    CHECK(d.times("switch ann -> bob\n") + d.times("switch (runtime) -> bob\n") == 3);
    CHECK(d.times("switch bob -> ann\n") + d.times("switch (runtime) -> ann\n") == 3);
}

TEST_CASE("trace: without WIRE_TRACE nothing is printed") {
    const death d = run_in_child([] {
        ::unsetenv("WIRE_TRACE");
        runtime rt;
        rt.go([] { yield(); });
        static_cast<void>(rt.run());
    });
    CHECK(d.said == "");
}

TEST_CASE("runtime: several run in several threads, each with its own wires") {
    constexpr int threads = 4;
    std::vector<trace> logs(threads);
    {
        std::vector<std::jthread> all;
        for (int t = 0; t < threads; ++t) {
            all.emplace_back([&log = logs[static_cast<std::size_t>(t)]] {
                runtime rt;
                const auto thread = std::this_thread::get_id();
                for (const char* name : {"a", "b"}) {
                    rt.go([&log, name, thread] {
                        for (int i = 0; i < 100; ++i) {
                            if (std::this_thread::get_id() != thread) log("migrated");
                            yield();
                        }
                        log(name);
                    });
                }
                static_cast<void>(rt.run());
            });
        }
    }
    for (const trace& log : logs) CHECK(log == trace{"a", "b"});
}

TEST_CASE("runtime: several on one thread take turns") {
    runtime one, two;
    trace log;
    one.go([&] {
        log("one");
        yield();
        log("one again");
    });
    two.go([&] { log("two"); });
    CHECK(one.run());
    CHECK(two.run());
    CHECK(log == trace{"one", "one again", "two"});
}
