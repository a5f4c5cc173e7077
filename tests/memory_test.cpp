// In steady state nothing is allocated: each case warms up, then demands zero calls of malloc.
#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include <wire/detail/park.hpp>
#include <wire/runtime.hpp>
#include <wire/stack.hpp>
#include "support/count_malloc.hpp"
#include "support/environment.hpp"
#include "support/sim_poller.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

#define WIRE_NEEDS_COUNTING() \
    WIRE_LEAVE_OUT_IF(!counts_allocations(), "a sanitizer or valgrind has the heap")

namespace {

constexpr int warm_up = 100;
constexpr int steady = 1000;

// As a wire: does `step(i)` a number of times to warm up, then many times without allocating.
template <class Step>
void demand_no_allocation(Step step) {
    sim s;
    bool measured = false;
    s.rt.go([&] {
        for (int i = 0; i < warm_up; ++i) step(i);
        const allocation_count count;
        for (int i = 0; i < steady; ++i) step(i);
        const auto allocated = count.value();
        CHECK(allocated == 0);
        measured = true;
    });
    CHECK(s.rt.run());
    CHECK(measured);
}

}  // namespace

TEST_CASE("memory: the counter counts (canary)") {
    WIRE_NEEDS_COUNTING();
    const allocation_count count;
    int* p = new int(1);
    asm volatile("" : "+r"(p) : : "memory");  // or clang leaves the pair out
    delete p;
    CHECK(count.value() == 1);
    demand_no_allocation([](int) {});
}

TEST_CASE("memory: switching allocates nothing") {
    WIRE_NEEDS_COUNTING();
    sim s;
    std::size_t allocated = 1;
    bool done = false;
    for (int w = 0; w < 50; ++w) {
        s.rt.go([&] {
            while (!done) yield();
        });
    }
    s.rt.go([&] {
        for (int i = 0; i < warm_up; ++i) yield();
        const allocation_count count;
        for (int i = 0; i < steady; ++i) yield();
        allocated = count.value();
        done = true;
    });
    CHECK(s.rt.run());
    CHECK(allocated == 0);
}

TEST_CASE("memory: spawn and join allocate nothing, with arguments and results") {
    WIRE_NEEDS_COUNTING();
    demand_no_allocation([](int i) {
        auto h = spawn(
            {.name = "a child with a rather long name"},
            [](int a, int b) { return std::pair(a, b); }, i, 2);
        CHECK(h.join()->first == i);
    });
}

TEST_CASE("memory: go allocates nothing") {
    WIRE_NEEDS_COUNTING();
    demand_no_allocation([](int) {
        int ran = 0;
        for (int w = 0; w < 10; ++w) go([&] { ++ran; });
        yield();
        CHECK(ran == 10);
    });
}

TEST_CASE("memory: stacks of other sizes are reused as well") {
    WIRE_NEEDS_COUNTING();
    demand_no_allocation([](int i) {
        const std::size_t size = std::size_t{16 * 1024} << (i % 4);
        CHECK(spawn({.stack = size}, [] {}).join());
    });
}

TEST_CASE("memory: sleeping and waking allocate nothing") {
    WIRE_NEEDS_COUNTING();
    demand_no_allocation([](int i) {
        for (int w = 1; w <= 5; ++w)
            go([=] { CHECK(sleep(within(std::chrono::microseconds((i * 7919 + w) % 5000)))); });
        CHECK(sleep(within(6ms)));
    });
}

TEST_CASE("memory: suspend and resume allocate nothing, with and without deadline") {
    WIRE_NEEDS_COUNTING();
    demand_no_allocation([](int i) {
        auto h = spawn([i] { return i % 2 ? suspend() : suspend(within(1h)); });
        yield();
        CHECK(resume(h.ref()));
        CHECK(h.join());
        CHECK(suspend(within(1us)).code() == ETIMEDOUT);
    });
}

TEST_CASE("memory: scopes, shields and cancellation allocate nothing") {
    WIRE_NEEDS_COUNTING();
    demand_no_allocation([](int) {
        auto h = spawn([] {
            cancel_scope scope(within(1h));
            CHECK(sleep(within(1h)).code() == ECANCELED);
            const shield protection;
            CHECK(sleep(within(1us)));
        });
        yield();
        h.cancel();
        CHECK(h.join());
        const cancel_scope expiring(within(1us));
        CHECK(suspend().code() == ECANCELED);
    });
}

TEST_CASE("memory: the end of a handle, and a detach, allocate nothing") {
    WIRE_NEEDS_COUNTING();
    demand_no_allocation([](int) {
        {
            auto h = spawn([] { CHECK(suspend().code() == ECANCELED); });
        }
        spawn([] {}).detach();
        yield();
    });
}

TEST_CASE("memory: remote::resume, stop and copies of a remote allocate nothing") {
    WIRE_NEEDS_COUNTING();
    sim s;
    const remote r = s.rt.remote();
    wire_ref a;
    bool done = false;
    s.rt.go([&] {
        a = this_wire::ref();
        while (!done) CHECK(suspend());
    });
    s.rt.run_once();
    std::size_t allocated = 1;
    for (const int rounds : {warm_up, steady}) {
        const allocation_count count;
        for (int i = 0; i < rounds; ++i) {
            const remote copy = r;
            CHECK(copy.resume(a));
            s.rt.run_once();
        }
        allocated = count.value();
    }
    CHECK(allocated == 0);
    done = true;
    CHECK(r.resume(a));
    s.rt.run_once();
}

TEST_CASE("memory: remote::go allocates one block") {
    WIRE_NEEDS_COUNTING();
    sim s;
    const remote r = s.rt.remote();
    int ran = 0;
    CHECK(r.go([&] { ++ran; }));
    s.rt.run_once();
    const allocation_count count;
    for (int i = 0; i < steady; ++i) {
        CHECK(r.go([&] { ++ran; }));
        s.rt.run_once();
    }
    CHECK(count.value() <= steady);
    CHECK(ran == steady + 1);
}

TEST_CASE("memory: a queue of waiters allocates nothing") {
    WIRE_NEEDS_COUNTING();
    wire::detail::list<wire::detail::waiter> queue;
    demand_no_allocation([&](int) {
        for (int w = 0; w < 3; ++w) {
            go([&] {
                wire::detail::waiter me;
                queue.push_back(me);
                CHECK(wire::detail::park("test", never) == 0);
            });
        }
        yield();
        wire::detail::wake_all(queue);
        yield();
    });
}

TEST_CASE("memory: a run that ends and starts again allocates nothing") {
    WIRE_NEEDS_COUNTING();
    runtime rt;
    rt.go([] {});
    CHECK(rt.run());
    const allocation_count count;
    for (int i = 0; i < steady; ++i) {
        rt.go([] { yield(); });
        static_cast<void>(rt.run().has_value());
    }
    CHECK(count.value() == 0);
}

TEST_CASE("memory: giving a stack back never allocates") {
    WIRE_NEEDS_COUNTING();
    stack_cache cache({.size = 16 * 1024, .warm_max = 10});
    std::vector<stack> all;
    for (int i = 0; i < 5000; ++i) all.push_back(cache.acquire());
    const allocation_count count;
    for (const stack& s : all) cache.release(s);
    cache.trim(1000);
    for (stack& s : all) s = cache.acquire();
    for (const stack& s : all) cache.release(s);
    CHECK(count.value() == 0);
}

TEST_CASE("memory: wires that were many once leave room for as many, without allocating") {
    WIRE_NEEDS_COUNTING();
    runtime rt({.stack = {.size = 16 * 1024}});
    std::optional<std::size_t> allocated;
    for (int round = 0; round < 3; ++round) {
        const allocation_count count;
        for (int i = 0; i < 2000; ++i) rt.go([] { yield(); });
        CHECK(rt.run());
        allocated = count.value();
    }
    CHECK(allocated == 0u);
}
