// Bridges in one thread, where everything is exact: who gets which value, how a wait ends, and what
// becomes of values and memory. Several threads: bridge_threads_test.cpp.
#include <wire/bridge.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <wire/runtime.hpp>
#include <wire/spawn.hpp>
#include "support/box.hpp"
#include "support/count_malloc.hpp"
#include "support/counted.hpp"
#include "support/dies.hpp"
#include "support/fifo.hpp"
#include "support/on_wire.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

// Lets every wire get to its wait: one millisecond of the virtual clock passes when all wait.
void settle_all() {
    CHECK(sleep(within(1ms)));
}

// Runs `body(way)` as a wire for both ways in which wires can wait.
template <class F>
void each_way(F body) {
    for (const waiting way : {waiting::park, waiting::adaptive}) {
        CAPTURE(static_cast<int>(way));
        on_wire([&] { body(way); });
    }
}

}  // namespace

// ---- Without waiting

TEST_CASE("bridge: it holds as many values as its capacity says, and gives them in order") {
    for (const std::size_t capacity : {1u, 2u, 3u, 7u, 64u}) {
        CAPTURE(capacity);
        bridge<int> b(capacity);
        CHECK(b.capacity() == capacity);
        int in = 0;
        int out = 0;
        for (int round = 0; round < 20; ++round) {
            while (b.try_send(in)) ++in;
            CHECK(b.size() == capacity);
            CHECK(in - out == static_cast<int>(capacity));
            for (int n = round % 3; n >= 0; --n)
                if (auto got = b.try_recv()) CHECK(*got == out++);
            CHECK(b.size() == static_cast<std::size_t>(in - out));
        }
        while (auto got = b.try_recv()) CHECK(*got == out++);
        CHECK(in == out);
        CHECK(b.size() == 0);
    }
}

TEST_CASE("bridge: try_send to a full one fails with EAGAIN and leaves the value alone") {
    bridge<box> b(1);
    CHECK(b.try_send(boxed(1)));
    box second = boxed(2);
    CHECK(b.try_send(std::move(second)).code() == EAGAIN);
    CHECK((second && *second == 2));
    CHECK(*b.try_recv().value() == 1);
    CHECK(b.try_send(std::move(second)));
    CHECK_FALSE(second);
}

TEST_CASE("bridge: try_recv of an empty one fails with EAGAIN, and with EPIPE once it is closed") {
    bridge<int> b(2);
    CHECK(b.try_recv().code() == EAGAIN);
    CHECK(b.try_send(1));
    CHECK_FALSE(b.closed());
    b.close();
    CHECK(b.closed());
    CHECK(b.try_recv().value() == 1);
    CHECK(b.try_recv().code() == EPIPE);
    CHECK(b.recv().code() == EPIPE);
}

TEST_CASE("bridge: a closed one takes nothing more, gives what it has, and stays closed") {
    bridge<box> b(3);
    CHECK(b.send(boxed(1)));
    CHECK(b.send(boxed(2)));
    b.close();
    b.close();
    box kept = boxed(3);
    CHECK(b.try_send(std::move(kept)).code() == EPIPE);
    CHECK(b.send(std::move(kept)).code() == EPIPE);
    CHECK((kept && *kept == 3));
    CHECK(b.size() == 2);
    CHECK(*b.recv().value() == 1);
    CHECK(*b.recv().value() == 2);
    CHECK(b.recv().code() == EPIPE);
}

TEST_CASE("bridge: a value that can be copied is copied, and what was sent stays as it was") {
    bridge<std::string> b(2);
    const std::string text(100, 'x');
    CHECK(b.send(text));
    CHECK(b.try_send(text));
    CHECK(text.size() == 100);
    CHECK(b.recv().value() == text);
    CHECK(b.try_recv().value() == text);
}

TEST_CASE("bridge: a call that need not wait does not mind a deadline that has passed") {
    bridge<int> b(1);
    CHECK(b.send(1, within(0s)));
    CHECK(b.send(2, within(0s)).code() == ETIMEDOUT);
    CHECK(b.recv(within(0s)).value() == 1);
    CHECK(b.recv(within(0s)).code() == ETIMEDOUT);
}

// ---- Wires that wait

TEST_CASE("bridge: a wire that parks lets the others of its thread run") {
    trace log;
    each_way([&](waiting way) {
        log.clear();
        bridge<int> b(1, way);
        auto receiver = spawn([&] {
            log("waits");
            log("got ", b.recv().value_or(-1));
        });
        settle_all();
        log("sends");
        CHECK(b.send(1));
        log("sent");
        CHECK(receiver.join());
        CHECK(log == trace{"waits", "sends", "sent", "got 1"});
    });
}

TEST_CASE("bridge: values that wait in it and those of a sender that parked arrive in order") {
    each_way([](waiting way) {
        bridge<int> b(2, way);
        auto sender = spawn([&] {
            for (int i = 0; i < 10; ++i) CHECK(b.send(i));
        });
        settle_all();
        CHECK(b.size() == 2);
        for (int i = 0; i < 10; ++i) CHECK(b.recv().value_or(-1) == i);
        CHECK(sender.join());
        CHECK(b.size() == 0);
    });
}

TEST_CASE("bridge: every one of several receivers that wait gets a value") {
    each_way([](waiting way) {
        bridge<int> b(4, way);
        std::vector<handle<int>> receivers;
        for (int i = 0; i < 4; ++i)
            receivers.push_back(spawn([&] { return b.recv().value_or(100); }));
        settle_all();
        for (int i = 1; i <= 4; ++i) CHECK(b.send(i));
        int sum = 0;
        for (auto& r : receivers) sum += r.join().value_or(100);
        CHECK(sum == 10);
    });
}

TEST_CASE("bridge: a receiver whose value somebody else took waits for the next") {
    each_way([](waiting way) {
        bridge<int> b(1, way);
        auto receiver = spawn([&] { return b.recv().value_or(-1); });
        settle_all();
        CHECK(b.try_send(1));
        CHECK(b.try_recv().value() == 1);  // before the receiver runs
        settle_all();
        CHECK_FALSE(receiver.finished());
        CHECK(b.try_send(2));
        CHECK(receiver.join().value_or(-1) == 2);
    });
}

TEST_CASE("bridge: close ends the wait of all, and a sender keeps its value") {
    each_way([](waiting way) {
        bridge<box> full(1, way), empty(1, way);
        CHECK(full.send(boxed(0)));
        std::array<box, 2> mine{boxed(1), boxed(2)};
        std::vector<handle<int>> wires;
        for (box& m : mine) {
            wires.push_back(spawn([&] { return full.send(std::move(m)).code(); }));
            wires.push_back(spawn([&] { return empty.recv().code(); }));
        }
        settle_all();
        full.close();
        empty.close();
        for (auto& w : wires) CHECK(w.join().value_or(-1) == EPIPE);
        for (const box& m : mine) CHECK(m);
        CHECK(*full.recv().value() == 0);
        CHECK(full.recv().code() == EPIPE);
    });
}

TEST_CASE("bridge: a wait ends with ETIMEDOUT at its deadline, and a sender keeps its value") {
    for (const waiting way : {waiting::park, waiting::adaptive}) {
        on_wire([&](sim& s) {
            bridge<box> b(1, way);
            CHECK(b.recv(within(5ms)).code() == ETIMEDOUT);
            CHECK(s.ms() == 5);
            CHECK(b.send(boxed(1)));
            box mine = boxed(2);
            CHECK(b.send(std::move(mine), within(7ms)).code() == ETIMEDOUT);
            CHECK(s.ms() == 12);
            CHECK((mine && *mine == 2));
        });
    }
}

TEST_CASE("bridge: cancellation ends a wait with ECANCELED, and a sender keeps its value") {
    each_way([](waiting way) {
        bridge<box> full(1, way), empty(1, way);
        CHECK(full.send(boxed(0)));
        box mine = boxed(1);
        auto sender = spawn([&] { return full.send(std::move(mine)).code(); });
        auto receiver = spawn([&] { return empty.recv().code(); });
        settle_all();
        sender.cancel();
        receiver.cancel();
        CHECK(sender.join().value_or(-1) == ECANCELED);
        CHECK(receiver.join().value_or(-1) == ECANCELED);
        CHECK((mine && *mine == 1));
    });
}

TEST_CASE("bridge: a wire that is cancelled is told so on entry, but not by the try_ forms") {
    on_wire([] {
        bridge<int> b(2);
        CHECK(b.send(1));
        cancel_scope scope;
        scope.cancel();
        CHECK(b.send(2).code() == ECANCELED);
        CHECK(b.recv().code() == ECANCELED);
        CHECK(b.try_send(2));
        CHECK(b.try_recv().value() == 1);
        const shield protection;
        CHECK(b.recv().value_or(-1) == 2);
    });
}

TEST_CASE("bridge: a shield keeps a wait from being cancelled") {
    each_way([](waiting way) {
        bridge<int> b(1, way);
        auto receiver = spawn([&] {
            const shield protection;
            return b.recv().value_or(-1);
        });
        settle_all();
        receiver.cancel();
        settle_all();
        CHECK_FALSE(receiver.finished());
        CHECK(b.send(1));
        CHECK(receiver.join().value_or(-1) == 1);
    });
}

TEST_CASE("bridge: a wait that ends by delivery and cancellation at once loses no value") {
    for (const bool cancel_first : {false, true}) {
        CAPTURE(cancel_first);
        each_way([&](waiting way) {
            bridge<int> b(1, way);
            auto first = spawn([&] { return b.recv().code(); });
            auto second = spawn([&] { return b.recv().code(); });
            settle_all();
            if (cancel_first) first.cancel();
            CHECK(b.send(1));
            if (!cancel_first) first.cancel();
            const int outcome = first.join().value_or(-1);
            CHECK((outcome == 0 || outcome == ECANCELED));
            settle_all();
            // Who was cancelled has taken it, or the other one has.
            CHECK(second.finished() == (outcome == ECANCELED));
            b.close();
            CHECK(second.join().value_or(-1) == (outcome == 0 ? EPIPE : 0));
        });
    }
}

TEST_CASE("bridge: a wire whose calls never wait lets others run now and then" * fifo) {
    on_wire([] {
        constexpr int calls = 1000, at_a_stretch = 128;
        bridge<int> b(calls);
        bool over = false;
        int turns = 0;
        auto other = spawn([&] {
            while (!over) {
                ++turns;
                yield();
            }
        });
        for (int i = 0; i < calls; ++i) CHECK(b.send(i));
        CHECK(turns >= calls / at_a_stretch);
        turns = 0;
        for (int i = 0; i < calls; ++i) CHECK(b.recv().value_or(-1) == i);
        CHECK(turns >= calls / at_a_stretch);
        over = true;
        CHECK(other.join());
    });
}

TEST_CASE("bridge: what comes from outside wires wakes one that waits, on any poller") {
    // The simulated poller has nothing to wait for and calls `idle`, where no wire runs.
    on_wire([](sim& s) {
        bridge<int> b(1, waiting::park);
        int sent = 0;
        s.clock.idle = [&] { CHECK(b.try_send(++sent)); };
        for (int i = 1; i <= 3; ++i) CHECK(b.recv().value_or(-1) == i);
        s.clock.idle = [&] { b.close(); };
        CHECK(b.recv().code() == EPIPE);
        s.clock.idle = nullptr;
    });
}

// ---- Values

TEST_CASE("bridge: every value is destroyed once, those in it with it") {
    using value = counted<>;
    on_wire([] {
        bridge<value> b(3);
        value mine(7);
        for (int i = 0; i < 3; ++i) CHECK(b.send(value(i)));
        CHECK(value::live == 4);
        CHECK(b.try_send(std::move(mine)).code() == EAGAIN);
        CHECK(b.send(std::move(mine), within(1ms)).code() == ETIMEDOUT);
        CHECK(mine.id() == 7);
        {
            auto got = b.recv();
            CHECK(got->id() == 0);
            CHECK(value::live == 4);
        }
        CHECK(value::live == 3);
        auto receiver = spawn([&] { return b.recv()->id() + b.recv()->id() + b.recv()->id(); });
        settle_all();
        CHECK(b.send(std::move(mine)));
        CHECK(receiver.join().value_or(-1) == 10);
        CHECK(value::live == 1);  // what is left of `mine`
        CHECK(b.send(value(1)));
        b.close();
    });
    CHECK(all_well<value>());
}

TEST_CASE_TEMPLATE("bridge: values stand where their alignment wants them", value, counted<8>,
                   counted<64>, counted<128>, counted<4096>) {
    {
        bridge<value> own(3);
        std::vector<std::byte> memory(bridge<value>::storage_size(3) + 1);
        bridge<value> elsewhere{std::span(memory).subspan(1)};
        for (bridge<value>* b : {&own, &elsewhere}) {
            CHECK(b->capacity() >= 3);
            for (int i = 0; i < 3; ++i) CHECK(b->send(value(i)));
            for (int i = 0; i < 2; ++i) CHECK(b->recv()->id() == i);
        }
    }
    CHECK(all_well<value>());
}

// ---- Memory

TEST_CASE("bridge: storage of the caller's has room for what storage_size says, wherever it is") {
    struct odd {
        char text[3];
    };
    for (const std::size_t capacity : {1u, 2u, 3u, 64u, 1000u}) {
        for (const std::size_t offset : {0u, 1u, 8u, 63u}) {
            std::vector<std::byte> memory(offset + bridge<odd>::storage_size(capacity) + 1);
            memory.back() = std::byte{0xAB};
            bridge<odd> b{std::span(memory).subspan(offset).first(memory.size() - offset - 1)};
            CHECK(b.capacity() >= capacity);
            for (std::size_t i = 0; i < b.capacity(); ++i) CHECK(b.try_send(odd{"ab"}));
            CHECK(b.try_send(odd{"no"}).code() == EAGAIN);
            while (auto got = b.try_recv()) CHECK(got->text[1] == 'b');
            CHECK(memory.back() == std::byte{0xAB});
        }
    }
}

TEST_CASE("bridge: no capacity, and storage without room for one value, end the program") {
    CHECK(dies([] { bridge<int>(0); }, "a capacity is at least 1"));
    static std::byte small[4];
    CHECK(dies([] { bridge<int>{std::span<std::byte>(small)}; },
               "the storage has no room for one element: see storage_size()"));
    CHECK(dies([] { bridge<int>{std::span<std::byte>()}; },
               "the storage has no room for one element: see storage_size()"));
}

TEST_CASE("bridge: in steady state nothing allocates, be it that wires wait or not") {
    if (!counts_allocations()) return;
    for (const waiting way : {waiting::park, waiting::adaptive}) {
        bridge<int> b(2, way), back(1, way);
        CHECK(allocations_of([&] {
                  auto echo = spawn([&] {
                      for (int i = 0; i < 100; ++i) CHECK(back.send(b.recv().value_or(-1)));
                  });
                  for (int i = 0; i < 100; ++i) {
                      CHECK(b.send(i));
                      CHECK(back.recv().value_or(-1) == i);
                  }
                  CHECK(b.recv(within(1ms)).code() == ETIMEDOUT);
                  CHECK(echo.join());
              }) == 0);
    }
}
