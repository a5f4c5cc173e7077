// suspend() and resume(): how a wire waits for whoever knows it.
#include <doctest/doctest.h>

#include <chrono>
#include <thread>
#include <vector>

#include <wire/runtime.hpp>
#include "support/dies.hpp"
#include "support/fifo.hpp"
#include "support/sim_poller.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

TEST_CASE("suspend: lasts until resume" * fifo) {
    runtime rt;
    trace log;
    wire_ref a;
    rt.go([&] {
        a = this_wire::ref();
        CHECK(suspend());
        log("resumed");
    });
    rt.go([&] {
        yield();
        log("resuming");
        CHECK(resume(a));
    });
    CHECK(rt.run());
    CHECK(log == trace{"resuming", "resumed"});
}

TEST_CASE("suspend: a resume that came before is remembered, once") {
    sim s;
    s.rt.go([&] {
        const wire_ref me = this_wire::ref();
        CHECK(resume(me));
        CHECK(resume(me));
        CHECK(suspend());
        CHECK(suspend(within(1ms)).code() == ETIMEDOUT);
    });
    CHECK(s.rt.run());
    CHECK(s.ms() == 1);
}

TEST_CASE("suspend: a resume while the wire waits for something else is remembered") {
    sim s;
    wire_ref a;
    s.rt.go([&] {
        a = this_wire::ref();
        CHECK(resume(a));
        CHECK(suspend());
        CHECK(suspend(within(0ms)).code() == ETIMEDOUT);  // has been in suspend() before
        CHECK(sleep(within(5ms)));
        CHECK(s.ms() == 5);  // the sleep is not cut short
        CHECK(suspend(within(5ms)));
        CHECK(s.ms() == 5);
    });
    s.rt.go([&] {
        CHECK(sleep(within(1ms)));
        CHECK(resume(a));
    });
    CHECK(s.rt.run());
}

TEST_CASE("suspend: a resume of a wire that is already ready again is remembered" * fifo) {
    sim s;
    wire_ref a;
    s.rt.go([&] {
        a = this_wire::ref();
        CHECK(suspend());
        CHECK(suspend(within(1ms)));
        CHECK(suspend(within(1ms)).code() == ETIMEDOUT);
    });
    s.rt.go([&] {
        CHECK(resume(a));
        CHECK(resume(a));
    });
    CHECK(s.rt.run());
}

TEST_CASE("suspend: fails with ETIMEDOUT at its deadline") {
    sim s;
    s.rt.go([&] {
        CHECK(suspend(within(7ms)).code() == ETIMEDOUT);
        CHECK(s.ms() == 7);
        CHECK(suspend(within(-1s)).code() == ETIMEDOUT);
    });
    CHECK(s.rt.run());
}

TEST_CASE("suspend: a resume wins over the deadline that passes in the same turn" * fifo) {
    sim s;
    wire_ref a;
    s.rt.go([&] {
        a = this_wire::ref();
        CHECK(suspend(within(5ms)));
        CHECK(s.ms() == 5);
        CHECK(suspend(within(5ms)).code() == ETIMEDOUT);
    });
    s.rt.go([&] {
        s.clock.advance(5ms);
        CHECK(resume(a));
        s.rt.stop();  // run() ends here, the next one serves the timers first
    });
    CHECK(s.rt.run());
    s.rt.run_once();
    CHECK(s.rt.run());
    CHECK(s.ms() == 10);
}

TEST_CASE("resume: says false once the wire has ended" * fifo) {
    runtime rt;
    wire_ref a;
    rt.go([&] { a = this_wire::ref(); });
    rt.go([&] { CHECK_FALSE(resume(a)); });
    CHECK(rt.run());
}

TEST_CASE("resume: says false also when the wire has ended and its handle still lives" * fifo) {
    runtime rt;
    rt.go([] {
        auto h = spawn([] {});
        const wire_ref a = h.ref();
        CHECK(resume(a));
        yield();
        CHECK_FALSE(resume(a));
        CHECK(h.join());
        CHECK_FALSE(resume(a));
    });
    CHECK(rt.run());
}

TEST_CASE("resume: does not reach another wire that has taken over the stack" * fifo) {
    runtime rt;
    rt.go([] {
        const char* first = nullptr;
        const char* second = nullptr;
        auto h = spawn([&first] { first = static_cast<const char*>(__builtin_frame_address(0)); });
        const wire_ref old = h.ref();
        CHECK(h.join());
        auto successor = spawn([&second] {
            second = static_cast<const char*>(__builtin_frame_address(0));
            return suspend().code();
        });
        yield();
        CHECK(first - second < 4096);
        CHECK(second - first < 4096);  // it has the same stack
        CHECK(successor.ref() != old);
        CHECK_FALSE(resume(old));
        yield();
        CHECK_FALSE(successor.finished());
        CHECK(resume(successor.ref()));
        CHECK(*successor.join() == 0);
    });
    CHECK(rt.run());
}

TEST_CASE("resume: a remembered resume does not outlive its wire") {
    sim s;
    s.rt.go([] {
        auto h = spawn([] { yield(); });
        CHECK(resume(h.ref()));
        CHECK(h.join());
        auto successor = spawn([] { return suspend(within(1ms)).code(); });
        CHECK(*successor.join() == ETIMEDOUT);
    });
    CHECK(s.rt.run());
}

TEST_CASE("resume: of the wire itself lets its next suspend return at once") {
    runtime rt;
    rt.go([] {
        CHECK(resume(this_wire::ref()));
        CHECK(suspend());
    });
    CHECK(rt.run());
}

TEST_CASE("resume: of a wire that never ran yet is remembered") {
    runtime rt;
    trace log;
    rt.go([&] {
        auto h = spawn([&] {
            CHECK(suspend());
            log("did not wait");
        });
        CHECK(resume(h.ref()));
        CHECK(h.join());
    });
    CHECK(rt.run());
    CHECK(log == trace{"did not wait"});
}

TEST_CASE("resume: many wires that suspend in turn are all woken, in order" * fifo) {
    runtime rt;
    trace log;
    std::vector<wire_ref> waiting;
    for (int i = 0; i < 5; ++i) {
        rt.go([&, i] {
            waiting.push_back(this_wire::ref());
            CHECK(suspend());
            log("", i);
        });
    }
    rt.go([&] {
        for (const wire_ref& w : waiting) CHECK(resume(w));
    });
    CHECK(rt.run());
    CHECK(log == trace{"0", "1", "2", "3", "4"});
}

TEST_CASE("ref: compares equal for the same wire, and the empty one has id 0") {
    runtime rt;
    wire_ref a, b, again;
    rt.go([&] {
        a = this_wire::ref();
        again = this_wire::ref();
        CHECK(a.id() == this_wire::id());
    });
    rt.go([&] { b = this_wire::ref(); });
    CHECK(rt.run());
    CHECK(a == again);
    CHECK(a != b);
    CHECK(wire_ref().id() == 0);
    CHECK(wire_ref() == wire_ref());
}
