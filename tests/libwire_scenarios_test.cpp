// What libwire's own test programs do, done with ours: the same wires, in the same order, at the
// same times, but on a virtual clock. What its `asyncio` and `log_stdout` do is in the tests of
// files and of the log; `bench` is in the folder of that name.
#include <doctest/doctest.h>
#include <signal.h>

#include <chrono>
#include <string>

#include <wire/channel.hpp>
#include <wire/fault_report.hpp>
#include <wire/mutex.hpp>
#include <wire/runtime.hpp>
#include <wire/wait.hpp>
#include <wire/wire_pool.hpp>
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/fifo.hpp"
#include "support/overflow.hpp"
#include "support/sim_poller.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

// A program: a runtime, and what its wires print and when (virtual milliseconds).
struct program : sim {
    void say(const std::string& line) { log.push_back(std::to_string(ms()) + " " + line); }

    trace log;
};

}  // namespace

TEST_CASE("libwire base: two wires take turns, then sleep five times a second" * fifo) {
    program p;
    const auto do_msg = [&](const std::string& base, const std::string& msg) {
        for (int i = 0; i < 5; ++i) {
            p.say(base + " " + msg);
            yield();
        }
        p.say("Now slowly in " + base);
        for (int i = 0; i < 5; ++i) {
            CHECK(sleep(within(1s)));
            p.say(base + " slowly " + msg);
        }
    };
    p.rt.go({.name = "hello"}, do_msg, "hello", "world!");
    p.rt.go({.name = "bye"}, do_msg, "bye", "world!");
    CHECK(p.rt.run());

    trace expected;
    for (int i = 0; i < 5; ++i) {
        expected.push_back("0 hello world!");
        expected.push_back("0 bye world!");
    }
    expected.push_back("0 Now slowly in hello");
    expected.push_back("0 Now slowly in bye");
    for (const std::string at : {"1000", "2000", "3000", "4000", "5000"}) {
        expected.push_back(at + " hello slowly world!");
        expected.push_back(at + " bye slowly world!");
    }
    CHECK(p.log == expected);
}

TEST_CASE("libwire wait: a wake of a triggered wait has no effect, after a reset it has") {
    program p;
    const auto consumer = [&](wire::wait& wait) {
        p.say("Consumer starting");
        p.say("Wake up producer");
        CHECK(wait.wake());
        CHECK(sleep(within(50ms)));
        p.say("Wake up producer with no impact");
        CHECK_FALSE(wait.wake());
        CHECK(sleep(within(250ms)));
        p.say("Wake up producer last time");
        CHECK(wait.wake());
        p.say("Consumer finished");
    };
    p.rt.go({.name = "producer"}, [&] {
        wire::wait wait;
        wait_list list;
        list.chain(wait);
        p.say("Producer starting");
        go({.name = "consumer"}, [&] { consumer(wait); });
        CHECK(list.await());
        p.say("We've been woken up");
        CHECK(sleep(within(100ms)));
        p.say("Now reset the wait and wait for it again");
        wait.reset();
        CHECK(list.await());
        list.unchain(wait);
        p.say("Producer finished");
    });
    CHECK(p.rt.run());

    CHECK(p.log == trace{"0 Producer starting", "0 Consumer starting", "0 Wake up producer",
                         "0 We've been woken up", "50 Wake up producer with no impact",
                         "100 Now reset the wait and wait for it again",
                         "300 Wake up producer last time", "300 Consumer finished",
                         "300 Producer finished"});
}

namespace {

// What a wire asks of another, with the place for the answer. There it went over channels.
struct request {
    int answer = 0;
    wire::wait answered;
};

// Takes requests one by one; the answer to each comes after a second.
struct server {
    void serve() {
        for (int val = 1; asked.await(); --val) {
            asked.reset();
            request& r = *pending;
            CHECK(sleep(within(1s)));
            r.answer = val;
            CHECK(r.answered.wake());
        }
    }

    int ask() {
        request mine;
        pending = &mine;
        CHECK(asked.wake());
        CHECK(mine.answered.await());
        return mine.answer;
    }

    request* pending = nullptr;
    wire::wait asked;
};

}  // namespace

TEST_CASE("libwire channel: the consumer has the message before the producer goes on" * fifo) {
    program p;
    channel<int> ch;
    p.rt.go({.name = "consumer"},
            [&] { p.say("Consumer got " + std::to_string(ch.recv().value())); });
    p.rt.go({.name = "producer"}, [&] {
        CHECK(ch.send(42));
        yield();
        p.say("Producer finished");
    });
    CHECK(p.rt.run());
    CHECK(p.log == trace{"0 Consumer got 42", "0 Producer finished"});
}

TEST_CASE("libwire channel: in lock-step, whoever comes first" * fifo) {
    const auto send_in_lock_step = [](channel<int>& to, int value) {
        const auto sent = to.send(value);
        if (sent) yield();
        return sent;
    };
    for (const bool receiver_first : {false, true}) {
        program p;
        channel<int> ch;
        const auto receiver = [&] {
            for (int i = 0; i < 3; ++i) p.say("received " + std::to_string(ch.recv().value()));
        };
        const auto sender = [&] {
            for (int i = 0; i < 3; ++i) {
                p.say("sends " + std::to_string(i));
                CHECK(send_in_lock_step(ch, i));
                p.say("sent " + std::to_string(i));
            }
        };
        if (receiver_first) p.rt.go(receiver);
        p.rt.go(sender);
        if (!receiver_first) p.rt.go(receiver);
        CHECK(p.rt.run());
        trace expected;
        for (const char* i : {"0", "1", "2"})
            for (const char* what : {"0 sends ", "0 received ", "0 sent "})
                expected.push_back(std::string(what) + i);
        CHECK(p.log == expected);
    }
}

TEST_CASE("libwire waiters: the wire that is left over at the end is named, not forgotten") {
    const caught_diagnostics said;
    server io;
    program p;
    p.rt.go({.name = "master"}, [&] {
        for (int val = 0; val >= 0;) {
            val = io.ask();
            p.say("Got " + std::to_string(val));
        }
    });
    p.rt.go({.name = "io"}, [&] { io.serve(); });
    // There the program ended in silence.
    CHECK(p.rt.run().code() == EDEADLK);

    CHECK(p.log == trace{"1000 Got 1", "2000 Got 0", "3000 Got -1"});
    CHECK(p.rt.size() == 1);
    CHECK(said.has(diagnostic::deadlock, "\"io\" waits for"));
}

TEST_CASE("libwire locks: eight wires get the lock in order, then it is clear" * fifo) {
    program p;
    mutex lock;
    p.rt.go({.name = "lock closer"}, [&] {
        CHECK(sleep(within(5s)));
        p.say("Trying to close the lock now");
        CHECK(lock.wait_clear());
        p.say("Lock is clear");
    });
    for (int num = 0; num < 8; ++num)
        p.rt.go({.name = "lock " + std::to_string(num)}, [&, n = std::to_string(num), num] {
            lock.lock();
            p.say("Lock taken from " + n);
            CHECK(sleep(within(num * 500ms)));
            p.say("Releasing lock from " + n);
            lock.unlock();
            p.say("Lock released from " + n);
        });
    CHECK(p.rt.run());

    trace expected;
    for (int num = 0, at = 0; num < 8; ++num) {
        const std::string n = std::to_string(num);
        expected.push_back(std::to_string(at) + " Lock taken from " + n);
        at += num * 500;
        if (num == 4) expected.push_back("5000 Trying to close the lock now");
        expected.push_back(std::to_string(at) + " Releasing lock from " + n);
        expected.push_back(std::to_string(at) + " Lock released from " + n);
    }
    expected.push_back("14000 Lock is clear");
    CHECK(p.log == expected);
}

TEST_CASE("libwire pool: eight tasks, of which four run at once, twice" * fifo) {
    program p;
    wire_pool pool(p.rt, 4);
    const auto task = [&](int num) {
        p.say("wire started " + std::to_string(num));
        CHECK(sleep(within(num * 50ms)));
        p.say("wire done " + std::to_string(num));
    };
    p.rt.go({.name = "init"}, [&] {
        for (int num = 0; num < 8; ++num) CHECK(pool.go(never, task, num));
        CHECK(sleep(within(500ms)));  // until all places are free
        for (int num = 0; num < 8; ++num) CHECK(pool.go(never, task, num));
    });
    CHECK(p.rt.run());

    // Four start at once. From then on each waits for the end of one of those before it.
    struct event {
        int at;
        const char* what;
        int num;
    };
    constexpr event round[] = {
        {0, "started", 0}, {0, "started", 1},   {0, "started", 2}, {0, "started", 3},
        {0, "done", 0},    {0, "started", 4},   {50, "done", 1},   {50, "started", 5},
        {100, "done", 2},  {100, "started", 6}, {150, "done", 3},  {150, "started", 7},
        {200, "done", 4},  {300, "done", 5},    {400, "done", 6},  {500, "done", 7},
    };
    trace expected;
    for (const int begin : {0, 150 + 500})
        for (const auto& [at, what, num] : round)
            expected.push_back(std::to_string(begin + at) + " wire " + what + " " +
                               std::to_string(num));
    CHECK(p.log == expected);
}

TEST_CASE("libwire cancel: what is to be cleaned up is, and the rest does not happen" * fifo) {
    program p;
    struct cleanup {
        program& p;
        ~cleanup() { p.say("Cleanup in cancelled wire"); }
    };
    auto to_cancel = p.rt.spawn({.name = "to cancel"}, [&] {
        p.say("First print");
        const cleanup at_the_end{p};  // there: DEFER
        // A point of cancellation, which yield() is no more: nothing is unwound by force.
        if (!sleep(within(0s))) return;
        p.say("Second print (shouldn't happen)");
    });
    p.rt.go({.name = "canceller"}, [&] {
        p.say("Cancelling other wire before second print");
        to_cancel.cancel();
        p.say("Other wire cancelled");
        yield();
        p.say("Done");
    });
    CHECK(p.rt.run());

    CHECK(p.log == trace{"0 First print", "0 Cancelling other wire before second print",
                         "0 Other wire cancelled", "0 Cleanup in cancelled wire", "0 Done"});
}

TEST_CASE("libwire recurser: endless recursion is reported and ends the program") {
    for (const auto recurse : {unoptimised::descend, optimised::descend}) {
        const death d = run_in_child([&] {
            must(install_fault_report(), "the report can be installed");
            sim s;
            s.rt.go({.name = "recurser", .stack = 16 * 1024},
                    [&] { static_cast<void>(recurse(100'000)); });
            static_cast<void>(s.rt.run());
        });
        CAPTURE(d.said);
        CHECK(d.signal == SIGSEGV);
        CHECK(d.says("fault in wire \"recurser\" (stack of 16384 bytes"));
        CHECK(d.says("guard hit: stack overflow"));
    }
}

TEST_CASE("libwire ct_arg: null, an object, and one of each arrive" * fifo) {
    trace log;
    int object = 0;
    const auto receive = [&](const void* arg) {
        log.push_back(arg == &object ? "object" : arg ? "another" : "null");
    };
    const auto run_with = [&](std::initializer_list<const void*> args) {
        sim s;
        for (const void* arg : args) s.rt.go({.name = "wire"}, receive, arg);
        CHECK(s.rt.run());
    };
    run_with({nullptr});
    run_with({&object});
    run_with({nullptr, &object});
    CHECK(log == trace{"null", "object", "null", "object"});
}

TEST_CASE("libwire ct_wait: who is waited for goes on after the wake, before the waiter") {
    for (const bool late : {false, true}) {
        program p;
        p.rt.go({.name = "waiter"}, [&] {
            wire::wait wait;
            go({.name = "releaser"}, [&] {
                p.say("stage 1");
                if (late) {
                    yield();
                    p.say("stage 3");
                }
                CHECK(wait.wake());
                p.say("stage 2");
            });
            CHECK(wait.await());
            p.say("waited");
        });
        CHECK(p.rt.run());
        CHECK(p.log == (late ? trace{"0 stage 1", "0 stage 3", "0 stage 2", "0 waited"}
                             : trace{"0 stage 1", "0 stage 2", "0 waited"}));
    }
}

namespace {

// wire_wait_two(): which of two waits came first; both are stopped then. Wakes each after as many
// yields as said, and logs what the wakes achieved.
int first_of_two(int yields1, int yields2, trace& log) {
    sim s;
    wire::wait first;
    wire::wait second;
    int came = 0;
    const auto releaser = [&](const char* name, wire::wait& wait, int yields) {
        for (; yields > 0; --yields) yield();
        log.push_back(std::string(name) + (wait.wake() ? " wakes" : " comes too late"));
    };
    s.rt.go({.name = "waiter"}, [&] {
        go([&] { releaser("first", first, yields1); });
        go([&] { releaser("second", second, yields2); });
        wait_list both;
        both.chain(first);
        both.chain(second);
        came = both.await().value() == &first ? 1 : 2;
        first.stop();
        second.stop();
    });
    CHECK(s.rt.run());
    return came;
}

}  // namespace

TEST_CASE("libwire ct_wait2: of two waits the one that is woken first counts" * fifo) {
    trace log;
    CHECK(first_of_two(0, 1, log) == 1);
    CHECK(log == trace{"first wakes", "second comes too late"});
    log.clear();
    CHECK(first_of_two(2, 0, log) == 2);
    CHECK(log == trace{"second wakes", "first comes too late"});
}

TEST_CASE("libwire ct_wait2: of two waits that are woken in one turn the first counts" * fifo) {
    trace log;
    CHECK(first_of_two(0, 0, log) == 1);
    CHECK(log == trace{"first wakes", "second wakes"});
}
