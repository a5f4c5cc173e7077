// recv_wait: a channel among the things that a wait_list waits for.
#include <wire/channel.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>

#include <wire/event.hpp>
#include <wire/runtime.hpp>
#include <wire/spawn.hpp>
#include "support/box.hpp"
#include "support/dies.hpp"
#include "support/on_wire.hpp"
#include "support/subject.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

TEST_CASE("recv_wait: the first in the order of chaining that has a value") {
    on_wire([] {
        channel<int> a(1);
        channel<int> b(1);
        recv_wait<int> from_a(a);
        recv_wait<int> from_b(b);
        wait_list list;
        list.chain(from_a);
        list.chain(from_b);
        CHECK(b.send(2));
        CHECK(list.await().value() == &from_b);
        CHECK(a.send(1));
        CHECK(list.await().value() == &from_a);
        CHECK(from_a.take().value() == 1);
        from_a.reset();
        CHECK(list.await().value() == &from_b);
        CHECK(from_b.take().value() == 2);
        from_b.reset();
        CHECK(list.await(within(1ms)).code() == ETIMEDOUT);
    });
}

TEST_CASE("recv_wait: a sender that waits goes on when its value is taken") {
    on_wire([] {
        channel<box> ch;
        recv_wait<box> incoming(ch);
        auto sender = spawn([&] { CHECK(ch.send(boxed(1))); });
        CHECK(incoming.await());
        settle();
        CHECK_FALSE(sender.finished());
        CHECK(*incoming.take().value() == 1);
        CHECK(sender.join());
        CHECK(incoming.take().code() == EAGAIN);
    });
}

TEST_CASE("recv_wait: nobody else gets the value that is promised to it") {
    for (const std::size_t capacity : {0u, 1u, 2u}) {
        on_wire([=] {
            channel<int> ch(capacity);
            recv_wait<int> incoming(ch);
            auto sender = spawn([&] {
                CHECK(ch.send(1));
                CHECK(ch.send(2));
            });
            CHECK(incoming.await());
            CHECK(ch.size() == capacity);
            auto thief = spawn([&] { return ch.recv().value(); });
            settle();
            CHECK(thief.finished() == (capacity > 0));
            CHECK(incoming.take().value() == 1);
            CHECK(thief.join().value() == 2);
            CHECK(sender.join());
        });
    }
}

TEST_CASE("recv_wait: what is not taken is for those who wait, or for who comes next") {
    for (const std::size_t capacity : {0u, 1u}) {
        for (const bool somebody_waits : {false, true}) {
            on_wire([=] {
                channel<int> ch(capacity);
                std::optional<recv_wait<int>> incoming(std::in_place, ch);
                auto sender = spawn([&] { CHECK(ch.send(1)); });
                CHECK(incoming->await());
                CHECK(ch.try_recv().code() == EAGAIN);
                handle<int> other;
                if (somebody_waits) {
                    other = spawn([&] { return ch.recv().value(); });
                    settle();
                }
                incoming.reset();
                CHECK((somebody_waits ? other.join().value() : ch.recv().value()) == 1);
                CHECK(sender.join());
            });
        }
    }
}

TEST_CASE("recv_wait: what one leaves is promised to the next") {
    on_wire([] {
        channel<int> ch;
        std::optional<recv_wait<int>> first(std::in_place, ch);
        recv_wait<int> second(ch);
        auto sender = spawn([&] { CHECK(ch.send(1)); });
        CHECK(first->await());
        CHECK_FALSE(second.triggered());
        first.reset();
        CHECK(second.triggered());
        CHECK(second.take().value() == 1);
        CHECK(sender.join());
    });
}

TEST_CASE("recv_wait: it waits in turn with receivers") {
    on_wire([] {
        channel<int> ch;
        auto before = spawn([&] { return ch.recv().value(); });
        settle();
        recv_wait<int> incoming(ch);
        auto after = spawn([&] { return ch.recv().value(); });
        settle();
        auto senders = spawn([&] {
            for (int i = 1; i <= 3; ++i) CHECK(ch.send(i));
        });
        CHECK(incoming.await());
        CHECK(before.join().value() == 1);
        CHECK(incoming.take().value() == 2);
        CHECK(after.join().value() == 3);
        CHECK(senders.join());
    });
}

TEST_CASE("recv_wait: a sender that gives up takes its value with it") {
    on_wire([] {
        channel<box> ch;
        recv_wait<box> incoming(ch);
        box value = boxed(1);
        auto sender = spawn([&] { CHECK(ch.send(std::move(value)).code() == ECANCELED); });
        CHECK(incoming.await());
        sender.cancel();
        CHECK(sender.join());
        CHECK(*value == 1);
        CHECK(incoming.take().code() == EAGAIN);
        incoming.reset();
        CHECK_FALSE(incoming.triggered());
        auto next = spawn([&] { CHECK(ch.send(boxed(2))); });
        CHECK(incoming.await());
        CHECK(*incoming.take().value() == 2);
        CHECK(next.join());
    });
}

TEST_CASE("recv_wait: close triggers it, and values before that are still taken") {
    on_wire([] {
        channel<int> ch(2);
        recv_wait<int> incoming(ch);
        CHECK(ch.send(1));
        ch.close();
        CHECK(incoming.triggered());
        CHECK(incoming.take().value() == 1);
        incoming.reset();
        CHECK(incoming.triggered());
        CHECK(incoming.take().code() == EPIPE);
        channel<int> empty;
        recv_wait<int> none(empty);
        empty.close();
        CHECK(none.await());
        CHECK(none.take().code() == EPIPE);
        channel<int> rendezvous;
        recv_wait<int> promised(rendezvous);
        auto sender = spawn([&] { CHECK(rendezvous.send(1).code() == EPIPE); });
        CHECK(promised.await());
        rendezvous.close();
        CHECK(promised.take().code() == EPIPE);
        CHECK(sender.join());
    });
}

TEST_CASE("recv_wait: receivers that wait behind a promise learn of the close when it is kept") {
    on_wire([] {
        channel<int> ch(1);
        recv_wait<int> incoming(ch);
        CHECK(ch.send(1));
        auto other = spawn([&] { return ch.recv().code(); });
        settle();
        ch.close();
        settle();
        CHECK_FALSE(other.finished());
        CHECK(incoming.take().value() == 1);
        CHECK(other.join().value() == EPIPE);
    });
}

TEST_CASE("recv_wait: stop leaves the value, wake alone brings none, try_send does not tell it") {
    on_wire([] {
        channel<int> ch(1);
        recv_wait<int> incoming(ch);
        CHECK(ch.send(1));
        incoming.stop();
        CHECK(ch.try_recv().value() == 1);
        incoming.reset();
        CHECK(incoming.wake());
        CHECK(incoming.take().code() == EAGAIN);
        channel<int> rendezvous;
        recv_wait<int> told(rendezvous);
        CHECK(rendezvous.try_send(1).code() == EAGAIN);
        CHECK_FALSE(told.triggered());
    });
}

TEST_CASE("recv_wait: a receiver that was cancelled leaves nothing in a channel that ends") {
    on_wire([] {
        std::optional<channel<int>> ch(std::in_place, 1);
        std::optional<recv_wait<int>> incoming(std::in_place, *ch);
        CHECK(ch->send(1));
        auto receiver = spawn([&] { return ch->recv().code(); });
        settle();
        receiver.cancel();
        incoming.reset();
        ch.reset();
        std::memset(static_cast<void*>(&ch), 0, sizeof ch);
        CHECK(receiver.join().value() == ECANCELED);
        const auto* const bytes = reinterpret_cast<const char*>(&ch);
        CHECK(std::all_of(bytes, bytes + sizeof ch, [](char c) { return c == 0; }));
    });
}

TEST_CASE("recv_wait: the channel must not end before a value that is promised is taken") {
    CHECK(wire_dies(
        [] {
            auto ch = std::make_unique<channel<int>>(1);
            recv_wait<int> incoming(*ch);
            CHECK(ch->send(1));
            ch.reset();
        },
        "destroyed before the recv_wait"));
}
