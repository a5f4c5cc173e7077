// Starting wires: go, spawn, and what a handle does.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <wire/runtime.hpp>
#include "support/count_malloc.hpp"
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/fifo.hpp"
#include "support/on_wire.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

// Counts how many of it exist.
struct counted {
    static inline int alive = 0;
    counted() { ++alive; }
    counted(const counted&) { ++alive; }
    counted(counted&&) noexcept { ++alive; }
    ~counted() { --alive; }
};

int twice(int n) {
    return 2 * n;
}

}  // namespace

TEST_CASE("spawn: join returns what the wire returned") {
    on_wire([] {
        CHECK(*spawn(twice, 21).join() == 42);
        CHECK(*spawn([](std::string a, const char* b) { return a + b; }, "ab", "c").join() ==
              "abc");
        CHECK(spawn([] {}).join());
    });
}

TEST_CASE("spawn: arguments and results may be move-only") {
    on_wire([] {
        auto h = spawn([](std::unique_ptr<int> p) { return std::make_unique<int>(*p + 1); },
                       std::make_unique<int>(6));
        CHECK(**h.join() == 7);
    });
}

TEST_CASE("spawn: a result needs no default constructor") {
    struct number {
        explicit number(int n) : n_(n) {}
        int n_;
    };
    on_wire([] { CHECK(spawn([] { return number(5); }).join()->n_ == 5); });
}

TEST_CASE("spawn: members, references and function objects can be started") {
    struct account {
        int balance = 1;
        int add(int n) { return balance += n; }
    };
    on_wire([] {
        account a;
        CHECK(*spawn(&account::add, &a, 4).join() == 5);
        CHECK(a.balance == 5);
        int n = 0;
        CHECK(spawn([](int& out) { out = 3; }, std::ref(n)).join());
        CHECK(n == 3);
    });
}

TEST_CASE("spawn: join rethrows what the wire threw") {
    on_wire([] {
        auto h = spawn([]() -> int { throw std::runtime_error("no luck"); });
        CHECK_THROWS_WITH_AS(static_cast<void>(h.join()), "no luck", std::runtime_error);
        CHECK_FALSE(h.joinable());
        auto thrower = spawn([] { throw 7; });
        CHECK_THROWS_AS(static_cast<void>(thrower.join()), int);
    });
}

TEST_CASE("spawn: callable, arguments and result are destroyed, each once" * fifo) {
    counted::alive = 0;
    on_wire([] {
        auto h = spawn([c = counted()](counted) { return counted(); }, counted());
        CHECK(h.join());
        CHECK(counted::alive == 0);
        go([c = counted()](counted) { return counted(); }, counted());
        yield();
        CHECK(counted::alive == 0);
        {
            auto dropped = spawn([c = counted()] { return counted(); });
        }
        CHECK(counted::alive == 0);
        spawn([c = counted()] { return counted(); }).detach();
        yield();
        CHECK(counted::alive == 0);
        auto thrower = spawn([c = counted()]() -> counted { throw 1; });
        CHECK_THROWS_AS(static_cast<void>(thrower.join()), int);
        CHECK(counted::alive == 0);
    });
}

TEST_CASE("spawn: a callable that cannot be copied onto the stack leaves nothing behind") {
    struct fragile {
        fragile() = default;
        fragile(const fragile&) { throw std::runtime_error("copy"); }
        void operator()() const {}
    };
    runtime rt;
    const fragile f;
    CHECK_THROWS_WITH_AS(rt.go(f), "copy", std::runtime_error);
    CHECK(rt.size() == 0);
    CHECK(rt.run());
}

TEST_CASE("join: fails with ETIMEDOUT and the wire stays joinable") {
    sim s;
    s.rt.go([&] {
        auto h = spawn([] {
            CHECK(sleep(within(10ms)));
            return 3;
        });
        CHECK(h.join(within(4ms)).code() == ETIMEDOUT);
        CHECK(s.ms() == 4);
        CHECK(h.joinable());
        CHECK_FALSE(h.finished());
        CHECK(h.join(within(-1s)).code() == ETIMEDOUT);
        CHECK(*h.join(within(60ms)) == 3);
        CHECK(s.ms() == 10);
        CHECK_FALSE(h.joinable());
    });
    CHECK(s.rt.run());
}

TEST_CASE("join: a wire that has ended is joined without waiting, also from outside") {
    runtime rt;
    auto h = rt.spawn(twice, 4);
    CHECK_FALSE(h.finished());
    CHECK(rt.run());
    CHECK(h.finished());
    CHECK(*h.join() == 8);
}

TEST_CASE("join: the joiner becomes ready when the wire ends, after those that were ready before" *
          fifo) {
    runtime rt;
    trace log;
    rt.go([&] {
        auto h = spawn([&] { log("child"); });
        go([&] { log("other"); });
        CHECK(h.join());
        log("joined");
    });
    CHECK(rt.run());
    CHECK(log == trace{"child", "other", "joined"});
}

TEST_CASE("join: a result that a wire returns lies inside that of the join") {
    sim s;
    s.rt.go([] {
        const auto ask = [](bool known) -> result<int> {
            if (!known) return failure{ENOENT};
            CHECK(sleep(within(2ms)));
            return 7;
        };
        auto knows = spawn(ask, true);
        CHECK(knows.join(within(1ms)).code() == ETIMEDOUT);
        const result<result<int>> joined = knows.join();
        CHECK(joined);
        CHECK(**joined == 7);
        auto does_not = spawn(ask, false);
        CHECK(does_not.join().value().code() == ENOENT);
    });
    CHECK(s.rt.run());
}

TEST_CASE("handle: moves, and the empty one has no wire") {
    on_wire([] {
        handle<int> empty;
        CHECK_FALSE(empty.joinable());
        auto a = spawn(twice, 1);
        handle<int> b = std::move(a);
        CHECK_FALSE(a.joinable());
        CHECK(*b.join() == 2);
    });
}

TEST_CASE("handle: assignment ends the wire that was there before") {
    on_wire([] {
        bool cancelled = false;
        handle<void> h = spawn([&] { cancelled = sleep(never).code() == ECANCELED; });
        yield();
        h = spawn([] {});
        CHECK(cancelled);
        CHECK(h.join());
    });
}

TEST_CASE("handle: the destructor cancels an unfinished wire and waits for it") {
    on_wire([] {
        trace log;
        {
            auto h = spawn([&] {
                CHECK(sleep(never).code() == ECANCELED);
                log("cancelled");
                yield();
                log("ended");
            });
            yield();
            log("leaving");
        }
        log("left");
        CHECK(log == trace{"leaving", "cancelled", "ended", "left"});
    });
}

TEST_CASE("handle: its destructor waits although the wire that destroys it is cancelled") {
    sim s;
    s.rt.go([&] {
        bool ended = false;
        auto parent = spawn([&] {
            auto child = spawn([&] {
                const shield protection;
                CHECK(sleep(within(5ms)));
                ended = true;
            });
            CHECK(sleep(never).code() == ECANCELED);
        });
        yield();
        yield();
        parent.cancel();
        CHECK(parent.join());
        CHECK(ended);
        CHECK(s.ms() == 5);
    });
    CHECK(s.rt.run());
}

TEST_CASE("handle: an exception that nobody joins is reported when the handle goes") {
    const caught_diagnostics said;
    on_wire([] {
        auto h = spawn({.name = "unlucky"}, [] { throw std::runtime_error("lost"); });
        yield();
    });
    CHECK(said.has(diagnostic::failure, "\"unlucky\""));
    CHECK(said.has(diagnostic::failure, "lost"));
}

TEST_CASE("handle: a detached wire runs on without it" * fifo) {
    trace log;
    on_wire([&] {
        auto h = spawn([&] {
            yield();
            log("detached ended");
        });
        h.detach();
        CHECK_FALSE(h.joinable());
        auto finished = spawn([] { return std::string("dropped"); });
        yield();
        finished.detach();
        log("starter ends");
    });
    CHECK(log == trace{"starter ends", "detached ended"});
}

TEST_CASE("handle: a wire may return a handle, which nobody takes") {
    trace log;
    on_wire([&] {
        go([&] {
            return spawn([&] {
                CHECK(sleep(never).code() == ECANCELED);
                log("grandchild cancelled");
            });
        });
    });
    CHECK(log == trace{"grandchild cancelled"});
}

TEST_CASE("handle: a wire may return a handle, which its joiner joins") {
    on_wire([] {
        auto outer = spawn([] { return spawn(twice, 5); });
        auto inner = outer.join();
        CHECK(*inner->join() == 10);
    });
}

TEST_CASE("go: a result whose destructor blocks is waited for by run") {
    struct slow {
        explicit slow(bool& g) : gone(&g) {}
        slow(slow&& other) noexcept : gone(std::exchange(other.gone, nullptr)) {}
        ~slow() {
            if (gone && sleep(within(5ms))) *gone = true;
        }
        bool* gone;
    };
    bool gone = false;
    sim s;
    s.rt.go([&] { return slow(gone); });
    CHECK(s.rt.run());
    CHECK(gone);
    CHECK(s.rt.size() == 0);
}

TEST_CASE("go: an exception that leaves a detached wire ends the program with name and message") {
    CHECK(dies(
        [] {
            runtime rt;
            rt.go({.name = "worker"}, [] { throw std::runtime_error("out of luck"); });
            static_cast<void>(rt.run());
        },
        "wire: exception left the detached wire \"worker\": out of luck"));
    CHECK(dies(
        [] {
            runtime rt;
            rt.go([] { throw 5; });
            static_cast<void>(rt.run());
        },
        "an exception that is no std::exception"));
    CHECK(dies(
        [] {
            runtime rt;
            rt.spawn({.name = "late"}, [] { throw std::runtime_error("x"); }).detach();
            static_cast<void>(rt.run());
        },
        "\"late\": x"));
    CHECK(dies(
        [] {
            runtime rt;
            auto h = rt.spawn({.name = "later"}, [] { throw std::runtime_error("y"); });
            static_cast<void>(rt.run());
            h.detach();
        },
        "\"later\": y"));
}

TEST_CASE("name: up to 31 characters are kept, \"wire\" stands for none") {
    runtime rt;
    const std::string long_name = "0123456789abcdefghijklmnopqrstuvwxyz";
    rt.go([] { CHECK(this_wire::name() == "wire"); });
    rt.go({.name = "short"}, [] { CHECK(this_wire::name() == "short"); });
    rt.go({.name = long_name}, [&] { CHECK(this_wire::name() == long_name.substr(0, 31)); });
    rt.go({.name = std::string_view(long_name).substr(0, 31)},
          [&] { CHECK(this_wire::name() == long_name.substr(0, 31)); });
    {
        std::string temporary = "temporary";
        rt.go({.name = temporary}, [] { CHECK(this_wire::name() == "temporary"); });
        temporary = "overwrite";
    }
    CHECK(rt.run());
}

TEST_CASE("id: unique in a runtime and never used again") {
    runtime rt;
    std::set<std::uint64_t> ids;
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < 10; ++i) rt.go([&] { ids.insert(this_wire::id()); });
        CHECK(rt.run());
    }
    CHECK(ids.size() == 100);
    CHECK_FALSE(ids.contains(0));
}

TEST_CASE("slot: one pointer a wire, null at its start") {
    runtime rt;
    int a = 1, b = 2;
    for (int* mine : {&a, &b}) {
        rt.go([mine] {
            CHECK(this_wire::slot() == nullptr);
            this_wire::slot() = mine;
            yield();
            CHECK(this_wire::slot() == mine);
        });
    }
    CHECK(rt.run());
    rt.go([] { CHECK(this_wire::slot() == nullptr); });  // on a stack that was used before
    CHECK(rt.run());
}

TEST_CASE("spawn: a callable may take a quarter of the stack") {
    runtime rt;
    std::array<char, 15 * 1024> large;
    large.fill(7);
    bool intact = false;
    rt.go([large, &intact] {
        yield();
        intact = large.front() == 7 && large.back() == 7;
    });
    CHECK(rt.run());
    CHECK(intact);
    CHECK(dies(
        [] {
            runtime other;
            std::array<char, 20 * 1024> too_large{};
            other.go([too_large] { static_cast<void>(too_large.size()); });
        },
        "take more than a quarter of its stack"));
}

TEST_CASE("spawn: a callable may ask for any alignment") {
    struct alignas(4096) page {
        char bytes[4096] = {};
        bool aligned() const { return reinterpret_cast<std::uintptr_t>(this) % 4096 == 0; }
    };
    struct alignas(64) line {
        char c = 1;
        bool aligned() const { return reinterpret_cast<std::uintptr_t>(this) % 64 == 0; }
    };
    constexpr std::size_t roomy = 256 * 1024;  // for copies of a page, unoptimised and sanitized
    runtime rt;
    rt.go({.stack = roomy}, [] {
        for (int i = 0; i < 3; ++i) {
            CHECK(*spawn({.stack = roomy}, [p = page()] { return p.aligned(); }).join());
            CHECK(*spawn([p = line()] { return p.aligned(); }).join());
            CHECK(spawn({.stack = roomy}, [] { return page(); }).join()->aligned());
        }
    });
    CHECK(rt.run());
}

TEST_CASE("spawn: stack sizes are rounded up to powers of two of at least 16 KiB") {
    on_wire([] {
        const auto deep = [](std::size_t bytes) {
            volatile char* const p = static_cast<volatile char*>(__builtin_alloca(bytes));
            for (std::size_t i = 0; i < bytes; i += 512) p[i] = 1;
            return p[0];
        };
        CHECK(*spawn({.stack = 1}, deep, 8u * 1024).join() == 1);
        CHECK(*spawn({.stack = 100 * 1024}, deep, 110u * 1024).join() == 1);
        CHECK(*spawn({.stack = 1024 * 1024}, deep, 1000u * 1024).join() == 1);
        CHECK(*spawn({.stack = 64 * 1024}, deep, 50u * 1024).join() == 1);
        CHECK(*spawn(deep, 50u * 1024).join() == 1);
    });
}

TEST_CASE("spawn: a hundred thousand wires, one after the other, on one stack") {
    // ThreadSanitizer keeps a record of each flow, which must not grow with its wires.
    on_wire([] {
        const int all = under_valgrind() ? 1'000 : 100'000;
        int ended = 0;
        for (int i = 0; i < all; ++i) static_cast<void>(spawn([&] { ++ended; }).join());
        CHECK(ended == all);
    });
}

TEST_CASE("spawn: when memory runs out while room is made, nothing is lost" * fifo) {
    WIRE_LEAVE_OUT_IF(!counts_allocations(), "a sanitizer or valgrind has the heap");
    // Whichever allocation fails on the way: the wire is started or std::bad_alloc is thrown, and
    // the rest works on.
    for (long nth = 1; nth < 40; ++nth) {
        runtime rt({.wires = 1});
        std::vector<int> ran;
        ran.reserve(1000);
        int refused = 0;
        for (int i = 0; i < 400; ++i) {
            if (i == 60) fail_allocation(nth);
            try {
                rt.go({.stack = 16 * 1024}, [&ran, i] { ran.push_back(i); });
            } catch (const std::bad_alloc&) {
                ++refused;
            }
        }
        fail_allocation(0);
        CHECK(rt.run());
        CHECK(ran.size() + static_cast<std::size_t>(refused) == 400);
        CHECK(std::is_sorted(ran.begin(), ran.end()));
    }
}
