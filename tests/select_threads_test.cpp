// Select at what other threads share: bridges and pools.
#include <wire/select.hpp>

#include <thread>

#include <wire/bridge.hpp>
#include <wire/channel.hpp>
#include <wire/pool.hpp>
#include <wire/spawn.hpp>

#include "support/box.hpp"
#include "support/count_malloc.hpp"
#include "support/io.hpp"
#include "support/never_called.hpp"
#include "support/on_wire.hpp"

namespace wire::test {
namespace {

using namespace std::chrono_literals;

TEST_CASE("select: a value that a bridge holds is received, one that it has room for is sent") {
    on_wire([] {
        bridge<box> b(1);
        box mine = boxed(7);
        CHECK(*select(on_recv(b, never_called),
                      on_send(b, mine, [](result<void> r) { CHECK(r); })) == 1);
        CHECK(mine == nullptr);
        box next = boxed(8);
        CHECK(*select(on_send(b, next, never_called),
                      on_recv(b, [](result<box> got) { CHECK(**got == 7); })) == 1);
        CHECK(*next == 8);
    });
}

TEST_CASE("select: the same of a pool") {
    on_wire([] {
        pool<box> p(1);
        box mine = boxed(7);
        CHECK(*select(on_take(p, never_called),
                      on_put(p, mine, [](result<void> r) { CHECK(r); })) == 1);
        CHECK(*select(on_put(p, mine, never_called),
                      on_take(p, [](result<box> got) { CHECK(**got == 7); })) == 1);
    });
}

TEST_CASE("select: a closed bridge or pool happens with EPIPE") {
    on_wire([] {
        bridge<int> b(1);
        pool<int> p(1);
        b.close();
        p.close();
        int value = 1;
        const auto closed = [](auto outcome) { CHECK(outcome.code() == EPIPE); };
        CHECK(select(on_recv(b, closed)));
        CHECK(select(on_send(b, value, closed)));
        CHECK(select(on_take(p, closed)));
        CHECK(select(on_put(p, value, closed)));
    });
}

TEST_CASE("select: otherwise, if a bridge is empty and a pool is full") {
    on_wire([] {
        bridge<int> b(1);
        pool<int> p(1);
        CHECK(p.put(1));
        int value = 2;
        CHECK(*select(on_recv(b, never_called), on_put(p, value, never_called), otherwise()) == 2);
    });
}

TEST_CASE("select: a wire that sleeps is woken by what another wire sends, and takes it") {
    on_wire([] {
        bridge<int> b(1);
        auto taker = spawn([&] {
            int got = 0;
            CHECK(*select(on_deadline(within(1h), never_called),
                          on_recv(b, [&](result<int> r) { got = *r; })) == 1);
            return got;
        });
        yield();
        CHECK(b.send(5));
        CHECK(taker.join().value() == 5);

        CHECK(b.send(6));
        auto giver = spawn([&] {
            int seven = 7;
            CHECK(*select(on_send(b, seven, [](result<void> r) { CHECK(r); })) == 0);
        });
        yield();
        CHECK(b.recv().value() == 6);
        CHECK(giver.join());
        CHECK(b.recv().value() == 7);
    });
}

TEST_CASE("select: who is signalled and chooses something else passes the signal on") {
    on_wire([] {
        bridge<int> b(1);
        channel<int> ch;
        auto first = spawn([&] {
            CHECK(*select(on_recv(b, never_called), on_recv(ch, [](result<int>) {})) == 1);
        });
        yield();
        auto second = spawn([&] { return *b.recv(); });
        // Not by yielding until it sleeps: it would look for a while on the true clock.
        CHECK(sleep(within(1s)));
        CHECK(ch.send(0));  // decides the first's select
        CHECK(b.send(5));   // signals the first, which has waited longest
        CHECK(second.join(within(1h)).value() == 5);
        CHECK(first.join());
    });
}

TEST_CASE("select: a wire whose deadline passes, or that is cancelled, leaves the bridge") {
    on_wire([] {
        bridge<int> b(1);
        CHECK(*select(on_recv(b, never_called), on_deadline(within(1s))) == 1);
        auto cancelled = spawn([&] { return select(on_recv(b, never_called)).code(); });
        yield();
        cancelled.cancel();
        CHECK(cancelled.join().value() == ECANCELED);
        CHECK(b.send(1));
        CHECK(b.recv().value() == 1);
    });
}

TEST_CASE("select: while it waits for a signal's delivery nothing else happens to it") {
    on_wire([] {
        bridge<box> b(1);
        channel<box> ch;
        auto cancelled = spawn(
            [&] { return select(on_recv(ch, never_called), on_recv(b, never_called)).code(); });
        yield();
        CHECK(b.send(boxed(1)));  // the signal is on its way through the inbox
        cancelled.cancel();       // ready, before it has come
        auto sender = spawn([&] { return ch.send(boxed(2)); });
        CHECK(cancelled.join().value() == ECANCELED);
        CHECK(**ch.recv() == 2);
        CHECK(sender.join().value());
        CHECK(**b.recv() == 1);
    });
}

TEST_CASE("select: a bridge that is closed wakes who waits") {
    on_wire([] {
        bridge<int> b(1);
        auto taker = spawn(
            [&] { CHECK(select(on_recv(b, [](result<int> r) { CHECK(r.code() == EPIPE); }))); });
        yield();
        b.close();
        CHECK(taker.join());
    });
}

TEST_CASE("select: at a bridge and a pool allocates nothing") {
    bridge<int> b(1);
    pool<int> p(1);
    const auto steps = [&] {
        int one = 1, two = 2;
        CHECK(select(on_send(b, one, [](result<void>) {}), on_take(p, never_called)));
        CHECK(select(on_recv(b, [](result<int>) {}), on_take(p, never_called)));
        CHECK(select(on_put(p, two, [](result<void>) {}), on_recv(b, never_called)));
        CHECK(select(on_recv(b, never_called), on_take(p, [](result<int>) {})));
        CHECK(*select(on_recv(b, never_called), on_deadline(within(1ms))) == 1);
    };
    if (counts_allocations()) CHECK(allocations_of(steps) == 0);
}

TEST_CASE("select: threads feed a wire that chooses among their bridges") {
    constexpr int values = 20'000;
    bridge<int> odd(7), even(100);
    pool<int> done(3);
    std::thread first([&] {
        for (int i = 1; i < values; i += 2) CHECK(odd.send(i));
        odd.close();
    });
    std::thread second([&] {
        for (int i = 0; i < values; i += 2) CHECK(even.send(i));
        even.close();
    });
    std::thread last([&] {
        long sum = 0;
        while (const auto n = done.take()) sum += *n;
        CHECK(sum == static_cast<long>(values) * (values - 1) / 2);
    });
    on_wires([&] {
        int open = 2;
        const auto pass_on = [&](result<int> got) {
            if (!got) --open;
            int value = got ? *got : 0;
            CHECK(select(on_put(done, value, [](result<void> r) { CHECK(r); })));
        };
        while (open == 2) CHECK(select(on_recv(odd, pass_on), on_recv(even, pass_on)));
        bridge<int>& rest = odd.closed() && odd.size() == 0 ? even : odd;
        while (open > 0) CHECK(select(on_recv(rest, pass_on)));
    });
    done.close();
    first.join();
    second.join();
    last.join();
}

}  // namespace
}  // namespace wire::test
