// The life of a runtime: deadlocks, guards, and its end.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <wire/runtime.hpp>
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/sim_poller.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

TEST_CASE("deadlock: run fails with EDEADLK and names each wire and what it waits for") {
    const caught_diagnostics said;
    runtime rt;
    rt.go({.name = "alone"}, [] { static_cast<void>(suspend()); });
    rt.go({.name = "joiner"}, [] {
        auto h = spawn({.name = "child"}, [] { static_cast<void>(suspend()); });
        static_cast<void>(h.join());
    });
    CHECK(rt.run().code() == EDEADLK);
    const auto lines = said.of(diagnostic::deadlock);
    CHECK(lines.size() == 4);
    CHECK(lines.front() ==
          "deadlock: 3 wires wait and no timer, fd, remote or guard can wake them");
    CHECK(said.has(diagnostic::deadlock, "wire 1 \"alone\" waits for resume for "));
    CHECK(said.has(diagnostic::deadlock, "wire 2 \"joiner\" waits for join for "));
    CHECK(said.has(diagnostic::deadlock, "wire 3 \"child\" waits for resume for "));
}

TEST_CASE("deadlock: the report says for how long each wire has waited") {
    const caught_diagnostics said;
    sim s;
    s.rt.go({.name = "early"}, [] { static_cast<void>(suspend()); });
    s.rt.go([] {
        CHECK(sleep(within(5ms)));
        go({.name = "late"}, [] { static_cast<void>(suspend()); });
        CHECK(sleep(within(2ms)));
    });
    CHECK(s.rt.run().code() == EDEADLK);
    CHECK(said.has(diagnostic::deadlock, "\"early\" waits for resume for 7.000 ms"));
    CHECK(said.has(diagnostic::deadlock, "\"late\" waits for resume for 2.000 ms"));
}

TEST_CASE("deadlock: on the real clock a wait that just began is short") {
    const caught_diagnostics said;
    runtime rt;
    rt.go({.name = "new"}, [] { static_cast<void>(suspend()); });
    CHECK(rt.run().code() == EDEADLK);
    const std::string line = said.of(diagnostic::deadlock).at(1);
    const double ms = std::atof(line.c_str() + line.rfind("for ") + 4);
    CHECK(ms >= 0);
    CHECK(ms < 60'000);
}

TEST_CASE("deadlock: a wire that nobody can wake is reported, not lost in silence") {
    // libwire's run returned 0 here (B16).
    const caught_diagnostics said;
    runtime rt;
    rt.go([] { static_cast<void>(suspend()); });
    CHECK_FALSE(rt.run());
    CHECK(said.of(diagnostic::deadlock).size() == 2);
}

TEST_CASE("deadlock: the wires may be woken or cancelled afterwards, and run called again") {
    const caught_diagnostics said;
    runtime rt;
    trace log;
    wire_ref a;
    rt.go([&] {
        a = this_wire::ref();
        CHECK(suspend());
        log("resumed");
        CHECK(suspend().code() == ECANCELED);
        log("cancelled");
    });
    CHECK(rt.run().code() == EDEADLK);
    rt.go([&] { CHECK(resume(a)); });
    CHECK(rt.run().code() == EDEADLK);
    rt.cancel_all();
    CHECK(rt.run());
    CHECK(log == trace{"resumed", "cancelled"});
}

TEST_CASE("deadlock: an armed timer is none") {
    const caught_diagnostics said;
    sim s;
    s.rt.go([] { CHECK(suspend(within(1h)).code() == ETIMEDOUT); });
    CHECK(s.rt.run());
    CHECK(said.size() == 0);
}

TEST_CASE("deadlock: a scope's deadline is a timer") {
    sim s;
    s.rt.go([] {
        const cancel_scope scope(within(1h));
        CHECK(suspend().code() == ECANCELED);
        CHECK(scope.expired());
    });
    CHECK(s.rt.run());
}

TEST_CASE("deadlock: a poller that expects an event is none") {
    const caught_diagnostics said;
    sim s;
    wire_ref a;
    s.clock.is_armed = true;
    s.rt.go([&] {
        a = this_wire::ref();
        CHECK(suspend());
    });
    s.clock.idle = [&] {
        s.clock.is_armed = false;
        CHECK(resume(a));
    };
    CHECK(s.rt.run());
    CHECK(said.size() == 0);
}

TEST_CASE("deadlock: a living remote is none, until the last is gone") {
    const caught_diagnostics said;
    sim s;
    auto first = std::make_unique<remote>(s.rt.remote());
    auto second = std::make_unique<remote>(*first);
    int slept = 0;
    s.clock.idle = [&] {
        if (++slept == 1) first.reset();
        if (slept == 2) second.reset();
    };
    s.rt.go([] { static_cast<void>(suspend()); });
    CHECK(s.rt.run().code() == EDEADLK);
    CHECK(slept == 2);
    CHECK(said.of(diagnostic::deadlock).size() == 2);
}

TEST_CASE("deadlock: dropping the last remote wakes a sleeping runtime, which reports") {
    const caught_diagnostics said;
    runtime rt;
    remote r = rt.remote();
    std::jthread other;
    rt.go([&] {
        other = std::jthread([last = std::move(r)] {});  // ends while the runtime sleeps, or before
        static_cast<void>(suspend());
    });
    CHECK(rt.run().code() == EDEADLK);
    CHECK(said.of(diagnostic::deadlock).size() == 2);
}

TEST_CASE(
    "work guard: keeps run from returning without wires, and from calling a wait a deadlock") {
    const caught_diagnostics said;
    sim s;
    auto guard = std::make_unique<work_guard>(s.rt);
    int slept = 0;
    s.clock.idle = [&] {
        if (++slept == 3) guard.reset();
    };
    CHECK(s.rt.run());
    CHECK(slept == 3);
    CHECK(said.size() == 0);

    guard = std::make_unique<work_guard>(s.rt);
    slept = 0;
    s.rt.go([] { static_cast<void>(suspend()); });
    CHECK(s.rt.run().code() == EDEADLK);
    CHECK(slept == 3);
}

TEST_CASE("work guard: stop ends a run that it keeps") {
    sim s;
    const work_guard guard(s.rt);
    s.clock.idle = [&] { s.rt.stop(); };
    CHECK(s.rt.run());
}

TEST_CASE("end of a runtime: cancels all wires and runs them until they have ended") {
    trace log;
    {
        sim s;
        s.rt.go([&] {
            CHECK(sleep(within(1h)).code() == ECANCELED);
            log("sleeper");
        });
        s.rt.go([&] {
            CHECK(suspend().code() == ECANCELED);
            yield();
            log("suspended");
        });
        s.rt.go([&] {
            auto h = spawn([&] {
                CHECK(suspend().code() == ECANCELED);
                log("child");
            });
            CHECK(h.join().code() == ECANCELED);
            CHECK(h.joinable());
            log("joiner");
        });
        s.rt.run_once();
        CHECK(log.empty());
    }
    CHECK(log.size() == 4);
}

TEST_CASE("end of a runtime: a wire that never ran does run, cancelled") {
    trace log;
    {
        runtime rt;
        rt.go([&] {
            CHECK(this_wire::cancelled());
            CHECK(sleep(never).code() == ECANCELED);
            go([&] {
                CHECK(this_wire::cancelled());
                log("started late");
            });
            log("ran");
        });
    }
    CHECK(log == trace{"ran", "started late"});
}

TEST_CASE("end of a runtime: destructors on wires' stacks run") {
    const auto resource = std::make_shared<int>(1);
    {
        runtime rt;
        for (int i = 0; i < 10; ++i) {
            rt.go([copy = resource] {
                const auto another = copy;
                static_cast<void>(suspend());
            });
        }
        rt.run_once();
        CHECK(resource.use_count() == 21);
    }
    CHECK(resource.use_count() == 1);
}

TEST_CASE("end of a runtime: clean-up behind a shield is waited for") {
    bool cleaned = false;
    sim s;
    {
        runtime rt;
        rt.attach(&s.clock);
        rt.go([&] {
            CHECK(suspend().code() == ECANCELED);
            const shield protection;
            CHECK(sleep(within(100ms)));
            cleaned = true;
        });
        rt.run_once();
    }
    CHECK(cleaned);
    CHECK(s.ms() == 100);
}

TEST_CASE("end of a runtime: wires that do not end in time are named and abandoned") {
    const caught_diagnostics said;
    {
        sim s({.drain = 50ms});
        s.rt.go({.name = "stubborn"}, [] {
            const shield protection;
            static_cast<void>(sleep(within(1h)));
        });
        s.rt.go({.name = "obedient"}, [] { static_cast<void>(sleep(within(1h))); });
        s.rt.run_once();
    }
    CHECK(said.of(diagnostic::straggler).size() == 1);
    CHECK(said.has(diagnostic::straggler, "\"stubborn\" did not end when its runtime did"));
    CHECK(said.has(diagnostic::straggler, "waits for sleep"));
}

TEST_CASE("end of a runtime: a wire that keeps running is abandoned after the drain time") {
    const caught_diagnostics said;
    {
        runtime rt({.drain = 5ms});
        rt.go({.name = "runaway"}, [] {
            for (;;) yield();
        });
        rt.run_once();
    }
    CHECK(said.has(diagnostic::straggler, "\"runaway\""));
    CHECK(said.has(diagnostic::straggler, "keeps running"));
}

TEST_CASE("end of a runtime: wires that nothing can wake are abandoned at once") {
    const caught_diagnostics said;
    const auto before = std::chrono::steady_clock::now();
    {
        runtime rt({.drain = 1h});
        rt.go({.name = "stuck"}, [] {
            const shield protection;
            static_cast<void>(suspend());
        });
        rt.run_once();
    }
    CHECK(said.has(diagnostic::straggler, "\"stuck\""));
    CHECK(std::chrono::steady_clock::now() - before < 1min);
}

TEST_CASE("end of a runtime: one that was never run, or has no wires, ends at once") {
    { const runtime rt; }
    runtime used;
    used.go([] {});
    CHECK(used.run());
}

TEST_CASE("end of a runtime: it may come on another thread once no wire is left") {
    auto rt = std::make_unique<runtime>();
    rt->go([] { yield(); });
    std::jthread([&] { CHECK(rt->run()); }).join();
    rt.reset();
}

TEST_CASE("end of a runtime: its stacks' memory may be mapped and used by others") {
    const char* at = nullptr;
    {
        runtime rt;
        for (int i = 0; i < 3; ++i) {
            rt.go([&at] {
                char frame[256];
                std::memset(frame, 1, sizeof frame);
                asm volatile("" : : "r"(frame) : "memory");
                at = static_cast<const char*>(__builtin_frame_address(0));
                static_cast<void>(sleep(within(0ms)));
            });
        }
        CHECK(rt.run());
    }
    constexpr std::size_t length = 5 * 4096;
    const auto page = reinterpret_cast<std::uintptr_t>(at) / 4096 * 4096;
    void* const wanted = reinterpret_cast<void*>(page - 4 * 4096);
    void* const p = ::mmap(wanted, length, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(p == wanted);
    if (p == MAP_FAILED) return;
    std::memset(p, 1, length);
    ::munmap(p, length);
}

TEST_CASE("runtime: one that sleeps gives the pages of cold stacks back") {
    WIRE_LEAVE_OUT_IF(under_valgrind() || under_asan, "frames are elsewhere");
    const auto in_memory = [](const void* at) {
        const auto page = reinterpret_cast<std::uintptr_t>(at) / 4096 * 4096;
        unsigned char there = 0;
        CHECK(::mincore(reinterpret_cast<void*>(page), 1, &there) == 0);
        return (there & 1) != 0;
    };
    sim s({.stack = {.warm_max = 2}});
    std::vector<const void*> frames;
    for (int i = 0; i < 10; ++i) {
        s.rt.go([&] {
            frames.push_back(__builtin_frame_address(0));
            yield();
        });
    }
    CHECK(s.rt.run());
    for (const void* f : frames) CHECK(in_memory(f));
    s.rt.go([] { CHECK(sleep(within(1ms))); });
    CHECK(s.rt.run());
    const auto still = std::count_if(frames.begin(), frames.end(), in_memory);
    CHECK(still >= 1);
    CHECK(still <= 3);  // the two warm ones and that of the sleeper
}

TEST_CASE("cancel_all: cancels the wires that exist, not those started later") {
    runtime rt;
    trace log;
    rt.go([&] {
        CHECK(suspend().code() == ECANCELED);
        log("old");
    });
    rt.run_once();
    rt.cancel_all();
    rt.go([&] {
        CHECK_FALSE(this_wire::cancelled());
        CHECK(sleep(within(1us)));
        log("new");
    });
    CHECK(rt.run());
    CHECK(log == trace{"old", "new"});
}

TEST_CASE("a signal that arrives on a wire of the smallest stack finds room for its frame") {
    // libwire's 4 to 8 KiB stacks did not hold a frame with AVX-512 state (B14).
    static volatile sig_atomic_t seen;
    seen = 0;
    struct sigaction action {
    }, before{};
    action.sa_handler = [](int) { seen = 1; };
    ::sigaction(SIGUSR1, &action, &before);
    runtime rt;
    rt.go({.stack = 16 * 1024}, [] { ::raise(SIGUSR1); });
    CHECK(rt.run());
    CHECK(seen == 1);
    ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("runtimes that start in several threads at once do not disturb each other") {
    // libwire's first wire_io_init used one static for all threads (B18).
    for (int round = 0; round < 20; ++round) {
        std::atomic<int> ended{0};
        {
            std::vector<std::jthread> all;
            for (int t = 0; t < 4; ++t) {
                all.emplace_back([&] {
                    runtime rt;
                    for (int i = 0; i < 5; ++i) {
                        rt.go([&] {
                            yield();
                            ++ended;
                        });
                    }
                    static_cast<void>(rt.run());
                });
            }
        }
        CHECK(ended == 20);
    }
}
