// select(): exactly one of several things, fairly, and without harm to the others.
#include <wire/select.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <wire/event.hpp>
#include <wire/runtime.hpp>
#include <wire/semaphore.hpp>
#include <wire/spawn.hpp>
#include "support/box.hpp"
#include "support/count_malloc.hpp"
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/fifo.hpp"
#include "support/never_called.hpp"
#include "support/on_wire.hpp"
#include "support/subject.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

TEST_CASE("select: the one that is ready happens, and its place is returned") {
    on_wire([] {
        channel<int> a;
        channel<int> b(1);
        CHECK(b.send(7));
        int got = 0;
        CHECK(select(on_recv(a, never_called), on_recv(b, [&](result<int> v) { got = *v; }))
                  .value() == 1);
        CHECK(got == 7);
        int value = 8;
        CHECK(select(on_send(a, value, never_called),
                     on_send(b, value, [&](result<void> r) { CHECK(r); }))
                  .value() == 1);
        CHECK(b.recv().value() == 8);
    });
}

TEST_CASE("select: waits until one happens; a sender hands its value over and goes on" * fifo) {
    trace log;
    on_wire([&] {
        channel<int> a;
        channel<int> b;
        auto h = spawn([&] {
            CHECK(select(on_recv(a, never_called),
                         on_recv(b, [&](result<int> v) { log("got ", *v); }))
                      .value() == 1);
        });
        settle();
        CHECK(b.send(1));
        log.push_back("sent");
        CHECK(a.try_send(2).code() == EAGAIN);
        CHECK(h.join());
        CHECK(b.try_send(3).code() == EAGAIN);
    });
    CHECK(log == trace{"sent", "got 1"});
}

TEST_CASE("select: a value is moved only by the branch that happens") {
    on_wire([] {
        channel<box> a;
        channel<box> b;
        box one = boxed(1);
        box two = boxed(2);
        auto h = spawn([&] { return b.recv().value(); });
        settle();
        CHECK(
            select(on_send(a, one, never_called), on_send(b, two, [](result<void> r) { CHECK(r); }))
                .value() == 1);
        CHECK(one);
        CHECK_FALSE(two);
        CHECK(*h.join().value() == 2);
        auto late = spawn([&] {
            return select(on_send(a, one, [](result<void> r) { CHECK(r); }),
                          on_recv(b, never_called))
                .value();
        });
        settle();
        CHECK(*a.recv().value() == 1);
        CHECK(late.join().value() == 0);
        CHECK_FALSE(one);
    });
}

TEST_CASE("select: two selects meet, each with one branch") {
    on_wire([] {
        channel<int> a;
        channel<int> b;
        int value = 1;
        int happened = 0;
        const auto got = [&](result<int> v) { happened += *v; };
        const auto sent = [&](result<void> r) {
            CHECK(r);
            happened += 10;
        };
        auto first = spawn([&] { CHECK(select(on_recv(a, got), on_send(b, value, sent))); });
        settle();
        int other = 2;
        CHECK(select(on_send(a, other, sent), on_recv(b, got)));
        CHECK(first.join());
        CHECK((happened == 12 || happened == 11));
    });
}

TEST_CASE("select: it never meets itself") {
    on_wire([](sim& s) {
        channel<int> ch;
        int value = 1;
        CHECK(select(on_recv(ch, never_called), on_send(ch, value, never_called),
                     on_deadline(within(5ms)))
                  .value() == 2);
        CHECK(s.ms() == 5);
    });
}

TEST_CASE("select: otherwise, if nothing is ready") {
    on_wire([] {
        channel<int> ch;
        event e;
        bool done = false;
        CHECK(select(on_recv(ch, never_called), otherwise([&] { done = true; }),
                     on_event(e, never_called))
                  .value() == 1);
        CHECK(done);
        e.set();
        CHECK(select(otherwise(never_called), on_event(e, [] {})).value() == 1);
    });
}

TEST_CASE("select: the earliest deadline, also one that has passed") {
    on_wire([](sim& s) {
        channel<int> ch;
        CHECK(select(on_deadline(within(9ms), never_called), on_recv(ch, never_called),
                     on_deadline(within(5ms), [] {}), on_deadline(never, never_called))
                  .value() == 2);
        CHECK(s.ms() == 5);
        CHECK(select(on_recv(ch, never_called), on_deadline(within(0ms))).value() == 1);
        CHECK(select(otherwise(never_called), on_deadline(within(-1ms))).value() == 1);
    });
}

TEST_CASE("select: a closed channel happens, with EPIPE, also one that is closed meanwhile") {
    on_wire([] {
        channel<box> gone;
        gone.close();
        box value = boxed(1);
        CHECK(select(on_recv(gone, [](result<box> v) { CHECK(v.code() == EPIPE); })));
        CHECK(select(on_send(gone, value, [](result<void> r) { CHECK(r.code() == EPIPE); })));
        channel<box> open;
        auto receiver = spawn(
            [&] { CHECK(select(on_recv(open, [](result<box> v) { CHECK(v.code() == EPIPE); }))); });
        settle();
        open.close();
        CHECK(receiver.join());
        channel<box> full;
        auto sender = spawn([&] {
            CHECK(select(on_send(full, value, [](result<void> r) { CHECK(r.code() == EPIPE); })));
        });
        settle();
        full.close();
        CHECK(sender.join());
        CHECK(*value == 1);
        channel<int> drained(2);
        CHECK(drained.send(1));
        drained.close();
        CHECK(select(on_recv(drained, [](result<int> v) { CHECK(v.value() == 1); })));
        CHECK(select(on_recv(drained, [](result<int> v) { CHECK(v.code() == EPIPE); })));
    });
}

TEST_CASE("select: events, permits and the ends of wires") {
    on_wire([] {
        event e;
        semaphore s(0);
        event gate;
        auto h = spawn([&] {
            CHECK(gate.await());
            return 5;
        });
        const auto chosen = [&] {
            return select(on_event(e, [&] { e.reset(); }), on_acquire(s, [] {}),
                          on_join(h, [&] { CHECK(h.join().value() == 5); }))
                .value();
        };
        auto waiting = spawn([&] {
            for (std::size_t expected : {1u, 0u, 2u}) CHECK(chosen() == expected);
        });
        settle();
        s.release();
        CHECK_FALSE(s.try_acquire());
        settle();
        e.set();
        settle();
        gate.set();
        CHECK(waiting.join());
        s.release();
        CHECK(select(on_event(e, never_called), on_acquire(s, [] {})).value() == 1);
        CHECK(s.available() == 0);
        e.set();
        CHECK(select(on_event(e, [] {}), on_acquire(s, never_called)).value() == 0);
    });
}

TEST_CASE("select: what a loser would have got goes to the next in the queue") {
    on_wire([] {
        channel<int> ch;
        channel<int> other;
        semaphore s(0);
        auto chooser = spawn([&] {
            CHECK(select(on_recv(ch, [](result<int> v) { CHECK(*v == 1); }),
                         on_acquire(s, never_called), on_recv(other, never_called))
                      .value() == 0);
        });
        settle();
        auto acquirer = spawn([&] { CHECK(s.acquire()); });
        auto receiver = spawn([&] { return other.recv().value(); });
        settle();
        CHECK(ch.send(1));  // decides the select, which has not run yet
        s.release();
        CHECK(other.send(2));
        CHECK(acquirer.join());
        CHECK(receiver.join().value() == 2);
        CHECK(chooser.join());
        CHECK(s.available() == 0);
    });
}

TEST_CASE("select: cancelled, nothing happens and no handler is called") {
    on_wire([] {
        channel<box> ch;
        box value = boxed(1);
        auto h = spawn([&] {
            CHECK(select(on_recv(ch, never_called), on_deadline(within(1h), never_called)).code() ==
                  ECANCELED);
            CHECK(select(otherwise(never_called)).code() == ECANCELED);
        });
        auto sender =
            spawn([&] { CHECK(select(on_send(ch, value, never_called)).code() == ECANCELED); });
        h.cancel();
        sender.cancel();
        CHECK(h.join());
        CHECK(sender.join());
        auto parked = spawn([&] { CHECK(select(on_recv(ch, never_called)).code() == ECANCELED); });
        settle();
        parked.cancel();
        CHECK(ch.try_send(std::move(value)).code() == EAGAIN);
        CHECK(*value == 1);
        CHECK(parked.join());
    });
}

TEST_CASE("select: what was delivered wins over a cancel in the same turn") {
    on_wire([] {
        channel<box> ch;
        int got = 0;
        auto h = spawn([&] {
            CHECK(select(on_recv(ch, [&](result<box> v) { got = **v; })));
            CHECK(this_wire::cancelled());
        });
        settle();
        CHECK(ch.send(boxed(1)));
        h.cancel();
        CHECK(h.join());
        CHECK(got == 1);
    });
}

TEST_CASE("select: the handler may select, block, and throw; branches are used again") {
    on_wire([] {
        channel<int> ch(4);
        for (int i = 0; i < 4; ++i) CHECK(ch.send(i));
        int calls = 0;
        auto inner = on_recv(ch, [&](result<int> v) { calls += *v; });
        auto outer = on_recv(ch, [&](result<int>) {
            settle();
            CHECK(select(inner));
        });
        CHECK(select(outer));
        CHECK(select(outer, otherwise(never_called)));
        CHECK(calls == 4);
        event e;
        e.set();
        auto throws = on_event(e, [] { throw std::runtime_error("handler"); });
        CHECK_THROWS_AS(static_cast<void>(select(throws)), std::runtime_error);
        CHECK_THROWS_AS(static_cast<void>(select(throws)), std::runtime_error);
    });
}

TEST_CASE("select: branches in lists that are made at run time") {
    on_wire([] {
        std::deque<channel<int>> channels;
        for (int i = 0; i < 5; ++i) channels.emplace_back();
        int sum = 0;
        const auto add = [&](result<int> v) { sum += *v; };
        std::vector<decltype(on_recv(channels[0], add))> branches;
        for (auto& ch : channels) branches.push_back(on_recv(ch, add));
        for (std::size_t i = 0; i < channels.size(); ++i) {
            auto sender = spawn([&] { CHECK(channels[i].send(static_cast<int>(i))); });
            CHECK(select(std::span(branches)).value() == i);
            CHECK(sender.join());
        }
        CHECK(sum == 10);
        auto late = on_deadline(within(1ms), [&] { sum = 0; });
        std::vector<branch*> mixed;
        for (auto& b : branches) mixed.push_back(&b);
        mixed.push_back(&late);
        CHECK(select(std::span<branch* const>(mixed)).value() == 5);
        CHECK(sum == 0);
        CHECK(select(std::span<branch* const>()).code() == EINVAL);
    });
}

// (One order of wires is enough for a million rounds.)
TEST_CASE("select: each that is ready is as likely as the others" * fifo) {
    on_wire([] {
        // Two, three and one of eight are always ready; the ready ones lie side by side.
        for (const std::size_t always : {2u, 3u, 7u}) {
            event on;
            event off;
            on.set();
            std::array<int, 8> count{};
            std::deque<event*> events;
            std::vector<int> index;
            auto of = [&](std::size_t i) {
                return on_event(i < always ? on : off, [&count, i] { ++count[i]; });
            };
            std::vector<decltype(of(0))> branches;
            for (std::size_t i = 0; i < 8; ++i) branches.push_back(of(i));
            const int rounds = under_valgrind() ? 20'000 : 1'000'000;
            int failed = 0;
            for (int i = 0; i < rounds; ++i) failed += !select(std::span(branches));
            CHECK(failed == 0);
            for (std::size_t i = 0; i < 8; ++i) {
                const double share = i < always ? 1.0 / static_cast<double>(always) : 0;
                CHECK(count[i] >= 0.95 * share * rounds);
                CHECK(count[i] <= 1.05 * share * rounds);
            }
        }
    });
}

TEST_CASE("select: a wire that need not wait still lets others run") {
    on_wire([] {
        event e;
        e.set();
        bool stop = false;
        auto other = spawn([&] { stop = true; });
        int rounds = 0;
        while (!stop && rounds < 1'000) {
            ++rounds;
            CHECK(select(on_event(e, [] {})));
        }
        CHECK(stop);
        CHECK(other.join());
    });
}

TEST_CASE("select: a cancel is not lost while others run first") {
    on_wire([] {
        event on;
        on.set();
        channel<int> ch;
        auto h = spawn([&] {
            int code = 0;
            while (code == 0) {
                const auto r = select(on_event(on, [] {}));
                code = r.code();
                if (code == 0) code = select(on_recv(ch, never_called), otherwise()).code();
            }
            CHECK(code == ECANCELED);
            CHECK(select(on_recv(ch, never_called)).code() == ECANCELED);
        });
        auto waits = spawn([&] {
            // One of 64 selects lets others run before it waits.
            for (int i = 0; i < 64; ++i) {
                auto w = spawn([&] { return select(on_recv(ch, never_called)).code(); });
                yield();
                w.cancel();
                CHECK(w.join(within(1s)).value() == ECANCELED);
            }
        });
        CHECK(waits.join());
        h.cancel();
        CHECK(h.join());
    });
}

TEST_CASE("select: allocates nothing") {
    CHECK(allocations_of([] {
              channel<int> a;
              std::array<std::byte, 8> memory;
              channel<int> b{std::span<std::byte>(memory)};
              event e;
              auto h = spawn([&] {
                  for (int i = 0; i < 10; ++i)
                      CHECK(select(on_send(a, i, [](result<void>) {}),
                                   on_send(b, i, [](result<void>) {})));
              });
              for (int i = 0; i < 10; ++i)
                  CHECK(select(on_recv(a, [](result<int>) {}), on_recv(b, [](result<int>) {}),
                               on_event(e, [] {}), on_deadline(within(1s), [] {})));
              CHECK(h.join());
          }) == 0);
}

TEST_CASE("select: a promise to a recv_wait that a select makes and does not keep") {
    on_wire([] {
        channel<int> ch;
        channel<int> other;
        recv_wait<int> incoming(ch);
        int value = 1;
        auto h = spawn([&] {
            CHECK(select(on_send(ch, value, never_called), on_recv(other, [](result<int>) {}))
                      .value() == 1);
        });
        CHECK(incoming.await());
        CHECK(other.send(0));
        CHECK(incoming.take().code() == EAGAIN);
        CHECK(h.join());
        incoming.reset();
        auto again = spawn([&] {
            CHECK(select(on_send(ch, value, [](result<void> r) { CHECK(r); })).value() == 0);
        });
        CHECK(incoming.await());
        CHECK(incoming.take().value() == 1);
        CHECK(again.join());
    });
}

TEST_CASE("select: a deadlock says so") {
    const caught_diagnostics said;
    channel<int> ch;
    sim s;
    s.rt.go({.name = "chooser"},
            [&] { CHECK(select(on_recv(ch, never_called)).code() == ECANCELED); });
    CHECK(s.rt.run().code() == EDEADLK);
    CHECK(said.has(diagnostic::deadlock, "chooser"));
    CHECK(said.has(diagnostic::deadlock, "select"));
}

TEST_CASE("select: misuse dies with a sentence") {
    CHECK(dies([] { static_cast<void>(select(otherwise())); }, "call it from a wire"));
    CHECK(wire_dies(
        [] {
            event e;
            auto b = on_event(e, never_called);
            branch* const twice[] = {&b, &b};
            static_cast<void>(select(std::span<branch* const>(twice)));
        },
        "two selects at once, or twice by one"));
    CHECK(wire_dies(
        [] {
            event e;
            auto b =
                std::make_unique<decltype(on_event(e, never_called))>(on_event(e, never_called));
            auto h = spawn([&] { static_cast<void>(select(*b)); });
            settle();
            b.reset();
        },
        "destroyed while a select uses it"));
}
