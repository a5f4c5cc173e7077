// wire_pool: at most so many wires at once, whose places come back with their stacks.
#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <wire/join_wait.hpp>
#include <wire/runtime.hpp>
#include <wire/wait.hpp>
#include <wire/wire_pool.hpp>
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

constexpr std::size_t small = 16 * 1024;
alignas(cache_line) std::byte static_memory[3 * small];

bool in_static_memory(const void* at) {
    const auto* const p = static_cast<const std::byte*>(at);
    return p >= static_memory && p < static_memory + sizeof static_memory;
}

}  // namespace

TEST_CASE("wire pool: a wire of it is joined, named and detached like any other" * fifo) {
    on_wire([] {
        wire_pool pool(2, {.name = "worker"});
        CHECK(pool.wires_max() == 2);
        CHECK(pool.try_spawn([](int n) { return 2 * n; }, 21)->join().value() == 42);
        CHECK(*pool.spawn(never, [] { return std::string(this_wire::name()); })->join() ==
              "worker");
        bool ran = false;
        CHECK(pool.try_go([&] { ran = true; }));
        CHECK(pool.go(
            never, [](std::unique_ptr<int>) {}, std::make_unique<int>(1)));
        CHECK(pool.available() == 0);
        yield();
        CHECK(ran);
        CHECK(pool.available() == 2);
        auto thrower = pool.try_spawn([] { throw std::runtime_error("no luck"); });
        CHECK_THROWS_WITH(static_cast<void>(thrower->join()), "no luck");
        CHECK(pool.available() == 2);
    });
}

TEST_CASE("wire pool: when it is full, try_ forms fail with EAGAIN and leave the arguments alone") {
    on_wire([] {
        wire_pool pool(1);
        auto first = pool.try_spawn([] {});
        auto argument = std::make_unique<int>(7);
        const auto work = [](std::unique_ptr<int> p) { return *p; };
        CHECK(pool.try_spawn(work, std::move(argument)).code() == EAGAIN);
        CHECK(pool.try_go([] {}).code() == EAGAIN);
        CHECK(argument);
        CHECK(first->join());
        CHECK(pool.try_spawn(work, std::move(argument))->join().value() == 7);
    });
}

TEST_CASE("wire pool: a detached wire frees its place when it ends, a joined one at its join" *
          fifo) {
    on_wire([] {
        wire_pool pool(3);
        CHECK(pool.try_go([] {}));
        auto joined = pool.try_spawn([] {});
        {
            auto dropped = pool.try_spawn([] {});
            CHECK(pool.available() == 0);
            yield();
            CHECK(pool.available() == 1);
        }
        CHECK(pool.available() == 2);
        CHECK(joined->join());
        CHECK(pool.available() == 3);
        auto detached = pool.try_spawn([] { yield(); });
        detached->detach();
        CHECK(pool.available() == 2);
        yield();
        yield();
        CHECK(pool.available() == 3);
    });
}

TEST_CASE("wire pool: those who wait for a place get it in the order of asking" * fifo) {
    trace log;
    on_wire([&] {
        wire_pool pool(1);
        CHECK(pool.try_go([&] {
            yield();
            log("holder ends");
        }));
        std::vector<handle<void>> askers;
        for (const char* const name : {"a", "b", "c"})
            askers.push_back(spawn([&, name] {
                CHECK(pool.go(never, [&log, name] { log(std::string(name) + " runs"); }));
                log(std::string(name) + " has started it");
            }));
        yield();
        for (auto& asker : askers) CHECK(asker.join());
    });
    CHECK(log == trace{"holder ends", "a has started it", "a runs", "b has started it", "b runs",
                       "c has started it", "c runs"});
}

TEST_CASE("wire pool: nobody who comes later gets a place before those who wait" * fifo) {
    trace log;
    on_wire([&] {
        wire_pool pool(1);
        CHECK(pool.try_go([] {}));
        auto waiter = spawn([&] { CHECK(pool.go(never, [&] { log("waiter's"); })); });
        yield();  // the wire ends and its place goes to the waiter, which is only ready
        CHECK(pool.available() == 0);
        CHECK(pool.try_go([&] { log("mine"); }).code() == EAGAIN);
        CHECK(waiter.join());
        CHECK(pool.go(never, [&] { log("mine"); }));
    });
    CHECK(log == trace{"waiter's", "mine"});
}

TEST_CASE("wire pool: a deadline ends the wait for a place, and nothing is lost") {
    on_wire([] {
        wire_pool pool(1);
        wire::wait free;
        CHECK(pool.try_go([&] { CHECK(free.await()); }));
        auto argument = std::make_unique<int>(7);
        const auto work = [](std::unique_ptr<int> p) { return *p; };
        CHECK(pool.spawn(within(1ms), work, std::move(argument)).code() == ETIMEDOUT);
        CHECK(argument);
        free.wake();
        CHECK(pool.spawn(within(1ms), work, std::move(argument))->join().value() == 7);
        CHECK(pool.available() == 1);
    });
}

TEST_CASE("wire pool: a wire that waits for a place can be cancelled, and the next gets it") {
    trace log;
    on_wire([&] {
        wire_pool pool(1);
        wire::wait free;
        CHECK(pool.try_go([&] { CHECK(free.await()); }));
        auto first = spawn([&] { return pool.go(never, [&] { log("first's"); }).code(); });
        auto second = spawn([&] { return pool.go(never, [&] { log("second's"); }).code(); });
        yield();
        first.cancel();
        free.wake();
        CHECK(first.join().value() == ECANCELED);
        CHECK(second.join().value() == 0);
        CHECK(pool.go(never, [&] { log("mine"); }));
        cancel_scope cancelled;
        cancelled.cancel();
        CHECK(pool.go(never, [] {}).code() == ECANCELED);  // level-triggered, as everywhere
    });
    CHECK(log == trace{"second's", "mine"});
}

TEST_CASE("wire pool: a place that was given wins over a cancellation in the same turn" * fifo) {
    on_wire([] {
        wire_pool pool(1);
        CHECK(pool.try_go([] {}));
        bool ran = false;
        auto asker = spawn([&] { return pool.go(never, [&] { ran = true; }).code(); });
        yield();  // the wire ends; the asker has its place
        asker.cancel();
        CHECK(asker.join().value() == 0);
        yield();
        CHECK(ran);
        CHECK(pool.available() == 1);
    });
}

TEST_CASE("wire pool: one place and trivial tasks, started while the last one still ends") {
    // libwire made a new wire of one that was still queued.
    for (const std::uint64_t seed : {0u, 1u, 2u, 3u}) {
        runtime rt({.seed = seed});
        int ran = 0;
        rt.go([&] {
            wire_pool pool(1, {.stack = {.size = small}});
            std::vector<handle<void>> askers;
            for (int i = 0; i < 10; ++i)
                askers.push_back(spawn([&] {
                    for (int n = 0; n < 100; ++n) {
                        if (n % 3 == 0)
                            CHECK(pool.spawn(never, [&] { return ++ran; })->join().value() > 0);
                        else
                            CHECK(pool.go(never, [&] { ++ran; }));
                        if (n % 7 == 0) yield();
                    }
                }));
            for (auto& asker : askers) CHECK(asker.join());
        });
        CHECK(rt.run());
        CHECK(ran == 1000);
    }
}

TEST_CASE("wire pool: a callable whose copy throws gives the place back") {
    struct bomb {
        bomb() = default;
        bomb(const bomb&) { throw std::runtime_error("cannot be copied"); }
        void operator()() const {}
    };
    struct late_bomb {  // thrown when it is moved onto the wire's stack
        explicit late_bomb(int n) : moves(n) {}
        late_bomb(late_bomb&& o) : moves(o.moves - 1) {
            if (moves == 0) throw std::runtime_error("cannot be moved");
        }
        void operator()() const {}
        int moves;
    };
    on_wire([] {
        wire_pool pool(1, {.stack = {.size = small, .memory = static_memory}});
        const bomb b;
        CHECK_THROWS(static_cast<void>(pool.try_spawn(b)));
        CHECK_THROWS(static_cast<void>(pool.go(never, b)));
        for (int moves = 1; moves <= 2; ++moves)
            CHECK_THROWS(static_cast<void>(pool.try_go(late_bomb(moves))));
        CHECK(pool.available() == 1);
        CHECK(pool.try_go([] {}));
    });
}

TEST_CASE("wire pool: the stacks lie in the caller's memory, and as many as fit never fail") {
    on_wire([] {
        wire_pool pool(3, {.stack = {.size = small, .memory = static_memory}});
        int there = 0;
        for (int round = 0; round < 50; ++round) {
            std::vector<handle<void>> all;
            for (int i = 0; i < 3; ++i) {
                auto h = pool.spawn(never, [&] {
                    there += in_static_memory(__builtin_frame_address(0));
                    if (round % 2) yield();
                });
                CHECK(h);
                all.push_back(*std::move(h));
            }
            CHECK(pool.try_go([] {}).code() == EAGAIN);
            if (round % 3 == 0)
                for (auto& h : all) h.detach();
            for (auto& h : all)
                if (h.joinable()) CHECK(h.join());
        }
        while (pool.available() < 3) yield();
        if (!under_asan) CHECK(there == 150);  // whose frames may be elsewhere
    });
}

TEST_CASE("wire pool: memory for fewer stacks than wires is an error that says so" * fifo) {
    on_wire([] {
        wire_pool pool(4, {.stack = {.size = small, .memory = static_memory}});
        for (int i = 0; i < 3; ++i) CHECK(pool.try_go([] {}));
        CHECK_THROWS_WITH_AS(static_cast<void>(pool.try_go([] {})),
                             doctest::Contains("room for 3 stacks of 16384 bytes"),
                             std::system_error);
        CHECK(pool.available() == 1);
        yield();
        CHECK(pool.try_go([] {}));
    });
}

TEST_CASE("wire pool: its destructor cancels its wires and waits for them" * fifo) {
    trace log;
    on_wire([&] {
        {
            wire_pool pool(3);
            CHECK(pool.try_go([&] { log("sleeper", suspend().code() == ECANCELED); }));
            CHECK(pool.try_go([&] {
                static_cast<void>(suspend());
                const shield farewell;
                CHECK(sleep(within(1ms)));
                log("farewell");
            }));
            yield();
            CHECK(pool.try_go([&] { log("late", this_wire::cancelled()); }));
        }
        log("pool is gone");
    });
    CHECK(log == trace{"late1", "sleeper1", "farewell", "pool is gone"});
}

TEST_CASE("wire pool: its destructor waits although the wire that destroys it is cancelled") {
    on_wire([] {
        bool ended = false;
        auto owner = spawn([&] {
            wire_pool pool(1);
            CHECK(pool.try_go([&] {
                CHECK(suspend().code() == ECANCELED);
                yield();
                ended = true;
            }));
            CHECK(suspend().code() == ECANCELED);
        });
        yield();
        owner.cancel();
        CHECK(owner.join());
        CHECK(ended);
    });
}

TEST_CASE("wire pool: its destructor waits for handles that others still have") {
    trace log;
    on_wire([&] {
        std::optional<wire_pool> pool(1);
        auto task = pool->try_spawn([] { return 7; });
        auto joiner = spawn([&, h = *std::move(task)]() mutable {
            yield();
            yield();
            log("joined", h.join().value());
        });
        yield();
        pool.reset();
        log("pool is gone");
        CHECK(joiner.join());
    });
    CHECK(log == trace{"joined7", "pool is gone"});
}

TEST_CASE("wire pool: who waits for a place when it ends gets ECANCELED") {
    for (const std::uint64_t seed : {0u, 1u, 2u, 3u, 4u, 5u}) {
        runtime rt({.seed = seed});
        int cancelled = 0;
        rt.go([&] {
            std::vector<handle<void>> askers;
            {
                wire_pool pool(2);
                for (int i = 0; i < 2; ++i)
                    CHECK(pool.try_go([&pool, &cancelled] {
                        CHECK(suspend().code() == ECANCELED);
                        cancelled += pool.try_go([] {}).code() == ECANCELED;
                    }));
                for (int i = 0; i < 5; ++i)
                    askers.push_back(spawn([&pool, &cancelled] {
                        auto h = pool.spawn(never, [] {});
                        cancelled += h.code() == ECANCELED;
                    }));
                for (int i = 0; i < 20; ++i) yield();
            }
            for (auto& asker : askers) CHECK(asker.join());
        });
        CHECK(rt.run());
        CHECK(cancelled == 7);
    }
}

TEST_CASE("wire pool: a wait for the end of a wire outlives the pool and its memory") {
    on_wire([] {
        auto memory = std::make_unique<std::array<std::byte, 3 * small>>();
        std::optional<join_wait> ended;
        {
            wire_pool pool(1, {.stack = {.size = small, .memory = *memory}});
            auto h = pool.try_spawn([] { CHECK(sleep(within(1ms))); });
            ended.emplace(*h);
            CHECK(ended->await());
            CHECK(h->join());
        }
        memory->fill(std::byte{0xff});
        memory.reset();
        ended->reset();
        CHECK(ended->triggered());
    });
}

TEST_CASE("wire pool: a reference to a wire stays safe when the pool and its memory are gone" *
          fifo) {
    on_wire([] {
        std::vector<wire_ref> refs;
        auto memory = std::make_unique<std::array<std::byte, 3 * small>>();
        {
            wire_pool pool(2, {.stack = {.size = small, .memory = *memory}});
            auto a = pool.try_spawn([] { CHECK(suspend()); });
            auto b = pool.try_spawn([] {});
            refs = {a->ref(), b->ref()};
            CHECK(refs[0] == a->ref());
            yield();
            CHECK(resume(refs[0]));
            CHECK_FALSE(resume(refs[1]));
            CHECK(a->join());
            CHECK_FALSE(resume(refs[0]));
        }
        memory.reset();
        for (const wire_ref& ref : refs) CHECK_FALSE(resume(ref));
        const auto r = this_wire::remote();
        for (const wire_ref& ref : refs)
            CHECK(r.resume(ref));  // the runtime is there, they are not
        yield();
        std::vector<handle<void>> others;  // they get the slots of those that are gone
        for (int i = 0; i < 4; ++i)
            others.push_back(spawn([] { CHECK(suspend().code() == ECANCELED); }));
        yield();
        for (const wire_ref& ref : refs) {
            CHECK_FALSE(resume(ref));
            CHECK(r.resume(ref));
        }
        yield();
        for (auto& other : others) CHECK_FALSE(other.finished());
        for (auto& other : others) other.cancel();
        for (auto& other : others) CHECK(other.join());
    });
}

TEST_CASE("wire pool: ids go on, and pools may come and go") {
    on_wire([] {
        std::uint64_t last = this_wire::id();
        for (int i = 0; i < 100; ++i) {
            wire_pool pool(2, {.stack = {.size = small, .memory = static_memory}});
            const auto id = pool.try_spawn([] { return this_wire::id(); })->join().value();
            CHECK(id == last + 1);
            last = id;
        }
    });
}

TEST_CASE("wire pool: it may be made, filled and destroyed outside wires" * fifo) {
    runtime rt;
    int ran = 0;
    {
        wire_pool pool(rt, 2, {.stack = {.size = small, .memory = static_memory}});
        CHECK(pool.try_go([&] { ++ran; }));
        auto h = pool.try_spawn([&] { return ++ran; });
        CHECK(pool.try_go([&] { ++ran; }).code() == EAGAIN);
        CHECK(rt.run());
        CHECK(h->join().value() == 2);
    }
    CHECK(ran == 2);
}

TEST_CASE("wire pool: a runtime that ends cancels its wires, too") {
    int cancelled = 0;
    {
        runtime rt;
        rt.go([&] {
            wire_pool pool(1);
            CHECK(pool.try_go([&] { cancelled += suspend().code() == ECANCELED; }));
            cancelled += suspend().code() == ECANCELED;
        });
        rt.go([&rt] { rt.stop(); });
        CHECK(rt.run());
    }
    CHECK(cancelled == 2);
}

TEST_CASE("wire pool: pages of idle wires go back when the runtime sleeps") {
    WIRE_LEAVE_OUT_IF(under_valgrind() || under_asan, "frames are elsewhere");
    on_wire([] {
        wire_pool pool(10, {.stack = {.warm_max = 2}});
        std::vector<std::byte*> frames;
        for (int i = 0; i < 10; ++i)
            CHECK(pool.try_go(
                [&] { frames.push_back(static_cast<std::byte*>(__builtin_frame_address(0))); }));
        yield();
        CHECK(sleep(within(1ms)));
        int zeroed = 0;
        for (const std::byte* f : frames) zeroed += *reinterpret_cast<const std::uint64_t*>(f) == 0;
        CHECK(zeroed >= 8);
    });
}

TEST_CASE("wire pool: starting wires allocates nothing once all places were in use") {
    WIRE_LEAVE_OUT_IF(!counts_allocations(), "a sanitizer or valgrind has the heap");
    on_wire([] {
        wire_pool pool(2, {.stack = {.size = small, .memory = static_memory}});
        const auto round = [&] {
            auto a = pool.try_spawn([] {});
            CHECK(pool.go(never, [] {}));
            CHECK(pool.go(never, [] {}));
            CHECK(a->join());
            yield();
        };
        round();
        const auto before = allocations();
        for (int i = 0; i < 100; ++i) round();
        CHECK(allocations() == before);
    });
}

TEST_CASE("wire pool: misuse is told in a sentence" * fifo) {
    const auto in_wire = [](auto fn) {
        return [fn] {
            runtime rt;
            rt.go(fn);
            static_cast<void>(rt.run());
        };
    };
    CHECK(dies([] { wire_pool pool(1); }, "a wire_pool is made outside a wire"));
    CHECK(dies(in_wire([] { wire_pool pool(0); }), "room for one wire at least"));
    CHECK(dies(in_wire([] {
                   std::optional<wire_pool> pool(1);
                   CHECK(pool->try_go([&] { pool.reset(); }));
                   yield();
               }),
               "a wire destroys the wire_pool that it runs in"));
    CHECK(dies(
        [] {
            runtime rt;
            wire_pool pool(rt, 1);
            static_cast<void>(pool.try_go([] { static_cast<void>(suspend()); }));
            static_cast<void>(rt.run());
        },
        "a wire_pool is destroyed outside a wire while it has wires"));
    CHECK(dies(
        [] {
            std::optional<runtime> rt(std::in_place);
            wire_pool pool(*rt, 1);
            rt.reset();
        },
        "a wire_pool outlives its runtime"));
}

TEST_CASE("wire pool: a handle that its destroyer still has is a deadlock, which says so") {
    const death d = run_in_child([] {
        runtime rt;
        rt.go([] {
            result<handle<void>> mine = failure{EAGAIN};
            wire_pool pool(1);
            mine = pool.try_spawn([] {});
        });
        must(rt.run().code() == EDEADLK, "it is a deadlock");
        ::_exit(0);
    });
    CHECK(d.says("waits for the wires and handles of a wire_pool"));
}
