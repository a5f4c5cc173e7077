// Channels: who gets which value, when, and what becomes of the others.
#include <wire/channel.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <memory>
#include <ranges>
#include <string>
#include <vector>

#include <wire/runtime.hpp>
#include <wire/spawn.hpp>
#include "support/box.hpp"
#include "support/count_malloc.hpp"
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/fifo.hpp"
#include "support/on_wire.hpp"
#include "support/subject.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

static_assert(std::ranges::input_range<channel<int>>);
static_assert(std::ranges::input_range<channel<box>>);

}  // namespace

TEST_CASE("channel: a sender that comes first goes on when a receiver has the value" * fifo) {
    trace log;
    on_wire([&] {
        channel<int> ch;
        auto h = spawn([&] {
            log.push_back("sends");
            CHECK(ch.send(1));
            log.push_back("sent");
        });
        settle();
        log.push_back("receives");
        CHECK(ch.recv().value() == 1);
        log.push_back("received");
        CHECK(h.join());
    });
    CHECK(log == trace{"sends", "receives", "received", "sent"});
}

TEST_CASE("channel: a receiver that comes first gets the value, the sender goes on at once" *
          fifo) {
    trace log;
    on_wire([&] {
        channel<int> ch;
        auto h = spawn([&] {
            log.push_back("receives");
            CHECK(ch.recv().value() == 1);
            log.push_back("received");
        });
        settle();
        log.push_back("sends");
        CHECK(ch.send(1));
        log.push_back("sent");
        CHECK(h.join());
    });
    CHECK(log == trace{"receives", "sends", "sent", "received"});
}

TEST_CASE("channel: senders and receivers are served in the order in which they came" * fifo) {
    trace log;
    on_wire([&] {
        channel<int> ch;
        std::vector<handle<void>> wires;
        for (int i = 0; i < 3; ++i)
            wires.push_back(spawn(
                [&, i] { log("receiver" + std::to_string(i) + " gets ", ch.recv().value()); }));
        settle();
        for (int i = 0; i < 3; ++i) CHECK(ch.send(i));
        for (auto& w : wires) CHECK(w.join());
        wires.clear();
        for (int i = 3; i < 6; ++i) wires.push_back(spawn([&, i] { CHECK(ch.send(i)); }));
        settle();
        for (int i = 0; i < 3; ++i) log("got ", ch.recv().value());
        for (auto& w : wires) CHECK(w.join());
    });
    CHECK(log == trace{"receiver0 gets 0", "receiver1 gets 1", "receiver2 gets 2", "got 3", "got 4",
                       "got 5"});
}

TEST_CASE("channel: nobody takes the value of a receiver that is woken and has not run") {
    on_wire([] {
        channel<int> ch;
        auto waiting = spawn([&] { return ch.recv().value(); });
        settle();
        CHECK(ch.send(7));
        CHECK(ch.try_recv().code() == EAGAIN);
        auto late = spawn([&] { return ch.recv().value(); });
        settle();
        CHECK(ch.send(8));
        CHECK(waiting.join().value() == 7);
        CHECK(late.join().value() == 8);
    });
}

TEST_CASE("channel: a buffer takes what it has room for, in order" * fifo) {
    trace log;
    on_wire([&] {
        channel<int> ch(2);
        CHECK(ch.capacity() == 2);
        auto h = spawn([&] {
            for (int i = 0; i < 5; ++i) {
                CHECK(ch.send(i));
                log("sent ", i);
            }
        });
        settle();
        CHECK(ch.size() == 2);
        while (!h.finished() || ch.size() > 0) {
            log("got ", ch.recv().value());
            settle();
        }
        CHECK(h.join());
    });
    CHECK(log == trace{"sent 0", "sent 1", "got 0", "sent 2", "got 1", "sent 3", "got 2", "sent 4",
                       "got 3", "got 4"});
}

TEST_CASE("channel: a buffer of any capacity wraps around") {
    for (const std::size_t capacity : {1u, 2u, 3u, 7u}) {
        on_wire([&] {
            channel<int> ch(capacity);
            int in = 0;
            int out = 0;
            for (int round = 0; round < 20; ++round) {
                while (ch.try_send(in)) ++in;
                CHECK(ch.size() == capacity);
                for (int n = round % 3; n >= 0; --n)
                    if (auto v = ch.try_recv()) CHECK(*v == out++);
            }
            while (auto v = ch.try_recv()) CHECK(*v == out++);
            CHECK(in == out);
        });
    }
}

TEST_CASE("channel: the buffer may be the caller's memory, and nothing is allocated") {
    alignas(64) std::array<std::byte, 100> memory;
    CHECK(allocations_of([&] {
              channel<std::uint64_t> ch{std::span<std::byte>(memory).subspan(1)};
              CHECK(ch.capacity() == 11);
              auto h = spawn([&] {
                  for (std::uint64_t i = 0; i < 100; ++i) CHECK(ch.send(i));
                  ch.close();
              });
              std::uint64_t next = 0;
              for (const std::uint64_t v : ch) CHECK(v == next++);
              CHECK(next == 100);
              CHECK(h.join());
          }) == 0);
}

TEST_CASE("channel: a rendezvous allocates nothing") {
    CHECK(allocations_of([] {
              channel<int> ch;
              auto h = spawn([&] {
                  for (int i = 0; i < 100; ++i) CHECK(ch.send(i));
              });
              for (int i = 0; i < 100; ++i) CHECK(ch.recv(within(1s)).value() == i);
              CHECK(h.join());
          }) == 0);
}

TEST_CASE("channel: what can only be moved is moved, and stays with the sender on failure") {
    on_wire([] {
        channel<box> ch;
        box mine = boxed(1);
        CHECK(ch.try_send(std::move(mine)).code() == EAGAIN);
        CHECK(mine);
        CHECK(ch.send(std::move(mine), within(1ms)).code() == ETIMEDOUT);
        CHECK(mine);
        auto h = spawn([&] { CHECK(ch.send(std::move(mine)).code() == ECANCELED); });
        settle();
        h.cancel();
        CHECK(h.join());
        CHECK(mine);
        {
            cancel_scope gone;
            gone.cancel();
            CHECK(ch.send(std::move(mine)).code() == ECANCELED);
            CHECK(ch.recv().code() == ECANCELED);
        }
        auto late = spawn([&] { CHECK(ch.send(std::move(mine)).code() == EPIPE); });
        settle();
        ch.close();
        CHECK(late.join());
        CHECK(ch.send(std::move(mine)).code() == EPIPE);
        CHECK(ch.try_send(std::move(mine)).code() == EPIPE);
        CHECK(*mine == 1);
        channel<box> other;
        auto taker = spawn([&] { CHECK(*other.recv().value() == 1); });
        settle();
        CHECK(other.send(std::move(mine)));
        CHECK_FALSE(mine);
        CHECK(taker.join());
    });
}

TEST_CASE("channel: a copy that throws is thrown by send, and nothing is sent") {
    struct fragile {
        fragile() = default;
        fragile(fragile&&) noexcept = default;
        fragile(const fragile&) { throw 42; }
    };
    on_wire([] {
        channel<fragile> ch(1);
        const fragile f;
        CHECK_THROWS_AS(static_cast<void>(ch.send(f)), int);
        CHECK_THROWS_AS(static_cast<void>(ch.try_send(f)), int);
        CHECK(ch.size() == 0);
    });
}

TEST_CASE("channel: a receive ends at its deadline; what comes later is for the next") {
    on_wire([](sim& s) {
        channel<int> ch;
        CHECK(ch.recv(within(5ms)).code() == ETIMEDOUT);
        CHECK(s.ms() == 5);
        CHECK(ch.try_send(1).code() == EAGAIN);
        auto h = spawn([&] { CHECK(ch.recv().value() == 2); });
        settle();
        CHECK(ch.try_send(2));
        CHECK(h.join());
    });
}

TEST_CASE("channel: a wire whose park is over gets nothing") {
    on_wire([] {
        channel<box> ch;
        auto first = spawn([&] { CHECK(ch.recv().code() == ECANCELED); });
        auto second = spawn([&] { CHECK(*ch.recv().value() == 1); });
        settle();
        first.cancel();
        CHECK(ch.send(boxed(1)));
        CHECK(first.join());
        CHECK(second.join());
        box value = boxed(2);
        auto sender = spawn([&] { CHECK(ch.send(std::move(value)).code() == ECANCELED); });
        settle();
        sender.cancel();
        CHECK(ch.try_recv().code() == EAGAIN);
        CHECK(sender.join());
        CHECK(*value == 2);
    });
}

TEST_CASE("channel: what was delivered wins over a cancel in the same turn") {
    on_wire([] {
        channel<box> ch;
        auto receiver = spawn([&] { CHECK(*ch.recv().value() == 1); });
        settle();
        CHECK(ch.send(boxed(1)));
        receiver.cancel();
        CHECK(receiver.join());
        auto sender = spawn([&] { CHECK(ch.send(boxed(2))); });
        settle();
        CHECK(*ch.recv().value() == 2);
        sender.cancel();
        CHECK(sender.join());
    });
}

TEST_CASE("channel: close wakes both sides, is idempotent, and lets the buffer drain") {
    on_wire([] {
        channel<int> empty;
        auto receiver = spawn([&] { CHECK(empty.recv().code() == EPIPE); });
        settle();
        empty.close();
        empty.close();
        CHECK(empty.closed());
        CHECK(receiver.join());
        CHECK(empty.recv().code() == EPIPE);
        channel<int> full(2);
        CHECK(full.send(1));
        CHECK(full.send(2));
        auto sender = spawn([&] { CHECK(full.send(3).code() == EPIPE); });
        settle();
        full.close();
        CHECK(sender.join());
        CHECK(full.send(4).code() == EPIPE);
        CHECK(full.recv().value() == 1);
        CHECK(full.try_recv().value() == 2);
        CHECK(full.try_recv().code() == EPIPE);
        CHECK(full.recv().code() == EPIPE);
    });
}

TEST_CASE("channel: its end closes it for those who wait, and destroys what it holds") {
    auto counted = std::make_shared<int>(1);
    on_wire([&] {
        auto ch = std::make_unique<channel<std::shared_ptr<int>>>(2);
        CHECK(ch->send(counted));
        CHECK(ch->send(counted));
        auto sender = spawn([&] { CHECK(ch->send(counted).code() == EPIPE); });
        settle();
        ch.reset();
        CHECK(sender.join());
        channel<int>* gone = nullptr;
        auto receiver = spawn([&] { CHECK(gone->recv().code() == EPIPE); });
        {
            channel<int> here;
            gone = &here;
            settle();
        }
        CHECK(receiver.join());
    });
    CHECK(counted.use_count() == 1);
}

TEST_CASE("channel: a loop over it ends when it is closed and empty, or when it is cancelled") {
    on_wire([] {
        channel<box> ch(3);
        for (int i = 0; i < 3; ++i) CHECK(ch.send(boxed(i)));
        ch.close();
        int sum = 0;
        for (box& b : ch) sum += *std::exchange(b, nullptr);
        CHECK(sum == 3);
        channel<int> open;
        auto h = spawn([&] {
            for ([[maybe_unused]] int v : open) CHECK(false);
            return this_wire::cancelled();
        });
        settle();
        h.cancel();
        CHECK(h.join().value());
    });
}

TEST_CASE("channel: it is a range for algorithms") {
    on_wire([] {
        channel<int> ch(10);
        for (int i = 0; i < 10; ++i) CHECK(ch.send(i));
        ch.close();
        std::vector<int> even;
        for (int v : ch | std::views::filter([](int n) { return n % 2 == 0; })) even.push_back(v);
        CHECK(even == std::vector{0, 2, 4, 6, 8});
    });
}

TEST_CASE("channel: answers come through channels that travel with the questions") {
    struct question {
        int number;
        channel<int>* answer;
    };
    on_wire([] {
        channel<question> questions;
        auto server = spawn([&] {
            for (const question& q : questions) CHECK(q.answer->send(q.number * q.number));
        });
        channel<int> answer;
        for (int i = 0; i < 3; ++i) {
            CHECK(questions.send({i, &answer}));
            CHECK(answer.recv().value() == i * i);
        }
        questions.close();
        CHECK(server.join());
    });
}

TEST_CASE("channel: over-aligned values") {
    struct alignas(32) wide {
        int n;
    };
    on_wire([] {
        channel<wide> ch(3);
        for (int i = 0; i < 3; ++i) CHECK(ch.send(wide{i}));
        for (int i = 0; i < 3; ++i) CHECK(ch.recv().value().n == i);
        auto h = spawn([&] { return ch.recv().value().n; });
        settle();
        CHECK(ch.send(wide{9}));
        CHECK(h.join().value() == 9);
    });
}

TEST_CASE("channel: a deadlock names what its wires wait for") {
    const caught_diagnostics said;
    channel<int> ch;
    channel<int> other;
    sim s;
    s.rt.go({.name = "eager"}, [&] { CHECK(ch.send(1).code() == ECANCELED); });
    s.rt.go({.name = "hungry"}, [&] { CHECK(other.recv().code() == ECANCELED); });
    CHECK(s.rt.run().code() == EDEADLK);
    for (const char* text : {"eager", "send to a channel", "hungry", "receive from a channel"})
        CHECK(said.has(diagnostic::deadlock, text));
}

TEST_CASE("channel: misuse dies with a sentence") {
    CHECK(dies([] { static_cast<void>(channel<int>().send(1)); }, "call it from a wire"));
    CHECK(dies([] { static_cast<void>(channel<int>().recv()); }, "call it from a wire"));
    CHECK(dies([] { const channel<int> tiny(std::span<std::byte>{}); }, "no room for one value"));
}
