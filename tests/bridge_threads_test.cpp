// Bridges between threads: plain ones, and wires of several runtimes. Whatever the threads' order
// is, the outcome is the same; a lost wake-up is a hang.
#include <doctest/doctest.h>

#include <pthread.h>

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <latch>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include <wire/bridge.hpp>
#include <wire/runtime.hpp>
#include "support/box.hpp"
#include "support/count_malloc.hpp"
#include "support/counted.hpp"
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/threads.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

constexpr std::array ways{waiting::adaptive, waiting::park, waiting::spin};

constexpr auto seats = wire::detail::basic_biased_lock<wire::detail::thread_sync>::seats;

bool has_seat() {
    return wire::detail::thread_sync::seat() < seats;
}

template <class F>
void each_way(F body) {
    for (const waiting way : ways) {
        CAPTURE(static_cast<int>(way));
        body(way);
    }
}

// Sends 0, 1, ... n - 1.
void send_numbers(bridge<box>& b, int n) {
    for (int i = 0; i < n; ++i) CHECK(b.send(boxed(i)));
}

void receive_numbers(bridge<box>& b, int n) {
    for (int i = 0; i < n; ++i) {
        const auto got = b.recv();
        CHECK((got && **got == i));
    }
}

// Runs `fn()` as the only wire of a runtime on the calling thread, till it has ended.
template <class F>
void run_wire(F fn) {
    runtime rt({.stack = {.size = 256 * 1024}});
    rt.go(fn);
    CHECK(rt.run());
}

}  // namespace

// ---- Plain threads

TEST_CASE("bridge: values go from a thread to another in order") {
    each_way([](waiting way) {
        for (const std::size_t capacity : {1u, 3u, 64u}) {
            bridge<box> b(capacity, way);
            plain_thread sender([&] { send_numbers(b, 500); });
            receive_numbers(b, 500);
        }
    });
}

TEST_CASE("bridge: a thread that waits gets what comes, be it asleep or about to be") {
    for (const bool asleep : {false, true}) {
        each_way([&](waiting way) {
            if (asleep && way == waiting::spin) return;
            bridge<int> b(1, way);
            plain_thread receiver([&] {
                CHECK(b.recv().value_or(-1) == 1);
                CHECK(b.recv().value_or(-1) == 2);
            });
            if (asleep) receiver.let_sleep();
            CHECK(b.send(1));
            if (asleep) receiver.let_sleep();
            CHECK(b.send(2));
        });
    }
}

TEST_CASE("bridge: close ends the wait of threads, and senders keep their values") {
    each_way([](waiting way) {
        bridge<box> full(1, way), empty(1, way);
        CHECK(full.send(boxed(0)));
        std::array<box, 2> mine{boxed(1), boxed(2)};
        std::array<std::optional<plain_thread>, 4> threads;
        for (std::size_t i = 0; i < 2; ++i) {
            threads[i].emplace([&, i] { CHECK(full.send(std::move(mine[i])).code() == EPIPE); });
            threads[i + 2].emplace([&] { CHECK(empty.recv().code() == EPIPE); });
        }
        if (way != waiting::spin)
            for (const auto& t : threads) t->let_sleep();
        full.close();
        empty.close();
        for (auto& t : threads) t.reset();
        for (const box& m : mine) CHECK(m);
        CHECK(*full.recv().value() == 0);
    });
}

TEST_CASE("bridge: what a closed one still holds is shared by the threads that wait for it") {
    each_way([](waiting way) {
        bridge<int> b(3, way);
        for (int i = 1; i <= 3; ++i) CHECK(b.send(i));
        std::atomic<int> sum{0};
        std::vector<std::jthread> receivers;
        for (int t = 0; t < 3; ++t)
            receivers.emplace_back([&] {
                while (auto got = b.recv()) sum += *got;
            });
        b.close();
        receivers.clear();
        CHECK(sum == 6);
    });
}

TEST_CASE("bridge: a thread's wait ends with ETIMEDOUT, and a sender keeps its value") {
    each_way([](waiting way) {
        bridge<box> b(1, way);
        CHECK(b.recv(within(1ms)).code() == ETIMEDOUT);
        CHECK(b.send(boxed(1)));
        box mine = boxed(2);
        const deadline until = within(1ms);
        CHECK(b.send(std::move(mine), until).code() == ETIMEDOUT);
        CHECK(std::chrono::steady_clock::now().time_since_epoch().count() >= until.ns());
        CHECK((mine && *mine == 2));
        CHECK(*b.recv().value() == 1);
        CHECK(b.send(std::move(mine)));
    });
}

TEST_CASE("bridge: more threads than can own a lock's bias use it at once") {
    constexpr int threads = 70, each = 20;
    bridge<int> to(3), from(2);
    std::barrier all(threads);
    std::atomic<int> without_seat{0};
    {
        std::vector<std::jthread> echoes;
        for (int t = 0; t < threads; ++t) {
            echoes.emplace_back([&] {
                if (!has_seat()) ++without_seat;
                all.arrive_and_wait();
                for (int i = 0; i < each; ++i) CHECK(from.send(to.recv().value_or(1'000'000)));
            });
        }
        std::jthread feeder([&] {
            for (int i = 0; i < threads * each; ++i) CHECK(to.send(1));
        });
        int sum = 0;
        for (int i = 0; i < threads * each; ++i) sum += from.recv().value_or(1'000'000);
        CHECK(sum == threads * each);
    }
    CHECK(without_seat >= threads - int{seats});
}

TEST_CASE("bridge: threads that come and go use it one after the other, and reuse their seats") {
    constexpr int threads = 200;
    bridge<box> b(2);
    std::atomic<int> without_seat{0};
    std::jthread receiver([&] {
        for (int i = 0; i < threads; ++i) receive_numbers(b, 5);
    });
    for (int i = 0; i < threads; ++i) {
        std::jthread([&] {
            if (!has_seat()) ++without_seat;
            send_numbers(b, 5);
        }).join();
    }
    receiver.join();
    CHECK(without_seat == 0);
}

TEST_CASE("bridge: where membarrier is refused there is no heavy fence, and all else is as ever") {
    const char* const refused = std::getenv("WIRE_TEST_REFUSED");
    if (refused && std::string_view(refused) == "membarrier")
        CHECK_FALSE(wire::detail::thread_sync::has_heavy_fence());
}

TEST_CASE("bridge: a lock that is biased to a thread goes to another, also after that has ended") {
    // A thousand calls in a row make a thread the owner of the bias.
    bridge<box> b(1);
    for (int round = 0; round < 3; ++round) {
        std::jthread([&] {
            for (int i = 0; i < 1000; ++i) {
                CHECK(b.try_send(boxed(i)));
                CHECK(*b.try_recv().value() == i);
            }
        }).join();
        for (int i = 0; i < 1000; ++i) {
            CHECK(b.try_send(boxed(i)));
            CHECK(*b.try_recv().value() == i);
        }
    }
}

TEST_CASE("bridge: a thread may use it while it ends") {
    struct farewell {
        bridge<int>* to = nullptr;
        ~farewell() { CHECK(to->send(1)); }
    };
    bridge<int> b(1);
    pthread_key_t at_end;
    REQUIRE(pthread_key_create(
                &at_end, [](void* to) { CHECK(static_cast<bridge<int>*>(to)->send(2)); }) == 0);
    std::jthread other([&] {
        thread_local farewell f;
        f.to = &b;
        CHECK(pthread_setspecific(at_end, &b) == 0);
        CHECK(b.send(0));
    });
    for (int i = 0; i < 3; ++i) CHECK(b.recv().value_or(-1) == i);
    other.join();
    pthread_key_delete(at_end);
}

TEST_CASE("bridge: between threads nothing allocates, be it that they sleep or not") {
    if (!counts_allocations()) return;
    for (const waiting way : {waiting::adaptive, waiting::park}) {
        bridge<int> there(1, way), back(1, way);
        plain_thread echo([&] {
            while (auto got = there.recv()) CHECK(back.send(*got));
        });
        const auto exchange = [&] {
            for (int i = 0; i < 200; ++i) {
                CHECK(there.send(i));
                CHECK(back.recv().value_or(-1) == i);
            }
        };
        exchange();
        const allocation_count count;
        exchange();
        CHECK(count.value() == 0);
        there.close();
        echo.join();
    }
}

// ---- Wires and threads

void echo(bridge<box>& there, bridge<box>& back) {
    while (auto got = there.recv()) CHECK(back.send(std::move(*got)));
    back.close();
}

// From one wire of a runtime to another, by way of somebody who echoes.
void send_there_and_back(bridge<box>& there, bridge<box>& back) {
    runtime rt({.stack = {.size = 256 * 1024}});
    rt.go([&] {
        send_numbers(there, 300);
        there.close();
    });
    rt.go([&] {
        receive_numbers(back, 300);
        CHECK(back.recv().code() == EPIPE);
    });
    CHECK(rt.run());
}

TEST_CASE("bridge: from a thread to a wire, and back") {
    each_way([](waiting way) {
        bridge<box> there(2, way), back(1, way);
        plain_thread other([&] { echo(there, back); });
        send_there_and_back(there, back);
    });
}

TEST_CASE("bridge: between the wires of two runtimes") {
    each_way([](waiting way) {
        bridge<box> there(3, way), back(3, way);
        std::jthread other([&] { run_wire([&] { echo(there, back); }); });
        send_there_and_back(there, back);
    });
}

TEST_CASE("bridge: wires that wait for a thread are no deadlock, and run ends when they have") {
    caught_diagnostics said;
    bridge<int> b(1, waiting::park);
    std::atomic<bool> waits{false};
    std::jthread other([&] {
        waits.wait(false);
        CHECK(b.send(1));
        b.close();
    });
    runtime rt;
    std::vector<int> codes;
    for (int i = 0; i < 3; ++i) rt.go([&] { codes.push_back(b.recv().code()); });
    rt.go([&] {
        waits = true;
        waits.notify_one();
    });
    CHECK(rt.run());
    std::ranges::sort(codes);
    CHECK(codes == std::vector{0, EPIPE, EPIPE});
    CHECK(said.size() == 0);
}

TEST_CASE("bridge: a deadlock is reported once nobody waits for a bridge any more") {
    caught_diagnostics said;
    bridge<int> b(1);
    runtime rt;
    wire_ref stuck;
    rt.go({.name = "stuck"}, [&] {
        stuck = this_wire::ref();
        static_cast<void>(suspend());
    });
    rt.go({.name = "fed"}, [&] {
        CHECK(b.recv().value_or(-1) == 1);
        CHECK(b.recv().code() == EPIPE);
    });
    plain_thread other([&] {
        CHECK(b.send(1));
        b.close();
    });
    CHECK(rt.run().code() == EDEADLK);
    CHECK(said.has(diagnostic::deadlock, "stuck"));
    CHECK_FALSE(said.has(diagnostic::deadlock, "fed"));
}

TEST_CASE("bridge: a report says which wires wait for one") {
    bridge<int> b(1, waiting::park);
    runtime rt;
    rt.go({.name = "fed"}, [&] { CHECK(b.recv().code() == EPIPE); });
    rt.run_once();
    int n = 0;
    for (const wire_info& w : rt.wires()) {
        ++n;
        CHECK(w.state == wire_state::waiting);
        CHECK(std::string(w.waits_for) == "a pool or bridge");
    }
    CHECK(n == 1);
    b.close();
    CHECK(rt.run());
}

TEST_CASE("bridge: a runtime that is destroyed cancels the wires that wait for one") {
    bridge<int> empty(1, waiting::park);
    int code = -1;
    {
        runtime rt;
        rt.go([&] { code = empty.recv().code(); });
        rt.run_once();
    }
    CHECK(code == ECANCELED);
    CHECK(empty.try_send(1));  // nobody who is gone is told
    CHECK(empty.try_recv().value() == 1);
}

TEST_CASE("bridge: a value that comes while a runtime is destroyed is received or stays") {
    bridge<int> b(1, waiting::park);
    int code = -1;
    {
        runtime rt;
        rt.go([&] { code = b.recv().code(); });
        rt.run_once();
        std::jthread([&] { CHECK(b.send(1)); }).join();
    }
    CHECK((code == 0 || code == ECANCELED));
    CHECK(b.size() == (code == 0 ? 0 : 1));
}

TEST_CASE("bridge: a wire is cancelled from another thread while it waits for one") {
    each_way([](waiting way) {
        bridge<int> b(1, way);
        std::optional<std::jthread> other;
        run_wire([&] {
            other.emplace(
                [r = this_wire::remote(), me = this_wire::ref()] { CHECK(r.cancel(me)); });
            CHECK(b.recv().code() == ECANCELED);
        });
    });
}

TEST_CASE("bridge: a runtime with one wire that waits serves its others meanwhile") {
    each_way([](waiting way) {
        bridge<int> b(1, way);
        std::latch enough(1);
        std::jthread other([&] {
            enough.wait();
            CHECK(b.send(1));
        });
        runtime rt;
        rt.go([&] { CHECK(b.recv().value_or(-1) == 1); });
        rt.go([&] {
            for (int i = 0; i < 10; ++i) CHECK(sleep(within(100us)));
            enough.count_down();
        });
        CHECK(rt.run());
    });
}
