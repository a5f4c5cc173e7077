// The stacks of wires: their sizes, how deep they were used, the caller's memory, running out.
#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <wire/fault_report.hpp>
#include <wire/run.hpp>
#include <wire/runtime.hpp>
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/failing_call.hpp"
#include "support/sim_poller.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t small = 16 * 1024;
constexpr std::size_t medium = 64 * 1024;
alignas(cache_line) std::byte static_memory[4 * medium];

// Writes to every 64th byte of a frame of so many bytes.
[[gnu::noinline]] int use_stack(std::size_t bytes) {
    auto* const p = static_cast<volatile char*>(__builtin_alloca(bytes));
    for (std::size_t i = 0; i < bytes; i += 64) p[i] = 1;
    return p[0];
}

// Writes below the running frame down to `bytes` below the top of the wire's stack, as a deeper
// frame would, and unseen by sanitizers.
[[gnu::noinline, gnu::no_sanitize_address]] void write_at_depth(const std::byte* top,
                                                                std::size_t depth) {
    fault_on_purpose();
    volatile std::byte* const at = const_cast<std::byte*>(top) - depth;
    *at = std::byte{1};
}

stack_options in_static_memory(std::size_t size) {
    return {.size = size, .memory = static_memory};
}

template <class F>
void on_wire(const runtime_options& options, F fn) {
    sim s(options);
    s.rt.go(fn);
    CHECK(s.rt.run());
}

template <class F>
std::system_error error_of(F fn) {
    try {
        fn();
    } catch (const std::system_error& e) {
        return e;
    }
    return std::system_error(0, std::system_category(), "none");
}

bool contains(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

// ---- classes of stacks

TEST_CASE("wire stack: each wire may ask for a size of its own, up to 1 GiB") {
    WIRE_LEAVE_OUT_IF(under_asan || under_tsan || under_valgrind(), "address space is scarce");
    on_wire({}, [] {
        std::vector<handle<int>> all;
        for (std::size_t size = small; size <= stack_size_max; size *= 2)
            all.push_back(spawn({.stack = size}, [size] {
                yield();
                return use_stack(std::min<std::size_t>(size - 4096, 64 << 20));
            }));
        for (auto& h : all) CHECK(h.join().value() == 1);
    });
}

TEST_CASE("wire stack: more than 1 GiB is asserted") {
    for (const std::size_t size : {stack_size_max + 1, ~std::size_t{0}})
        CHECK(dies(
            [size] {
                runtime rt;
                rt.go({.stack = size}, [] {});
            },
            "a wire asks for a stack of more than 1 GiB"));
    CHECK(dies([] { runtime rt({.stack = {.size = stack_size_max + 1}}); }, "1 GiB at most"));
    CHECK(dies([] { runtime rt({.stack = {.size = 1}}); }, "a stack is 16 KiB at least"));
}

TEST_CASE("wire stack: a class is used again by later wires of the same class") {
    WIRE_LEAVE_OUT_IF(under_asan, "frames are elsewhere");
    on_wire({}, [] {
        const auto where = [] { return __builtin_frame_address(0); };
        for (const std::size_t size : {small, medium, std::size_t{1} << 20}) {
            const void* const first = *spawn({.stack = size}, where).join();
            CHECK(*spawn({.stack = size}, where).join() == first);
            CHECK(*spawn({.stack = size - 1}, where).join() == first);
            CHECK(*spawn({.stack = size / 2 + 1}, where).join() == first);
            CHECK(*spawn({.stack = 2 * size}, where).join() != first);
        }
    });
}

TEST_CASE("wire stack: the guard of the runtime's options lies below stacks of every class") {
    const death d = run_in_child([] {
        install_fault_report();
        runtime rt({.stack = {.guard = 256 * 1024}});
        rt.go({.name = "deep", .stack = 128 * 1024}, [] {
            write_at_depth(static_cast<std::byte*>(__builtin_frame_address(0)), 300 * 1024);
        });
        static_cast<void>(rt.run());
    });
    CAPTURE(d.said);
    CHECK(d.signal == SIGSEGV);
    CHECK(d.says("\"deep\" (stack of 131072 bytes"));
    CHECK(d.says("guard hit"));
}

// ---- running out

TEST_CASE(
    "wire stack: at vm.max_map_count the error says so, and all goes on when wires have ended") {
    runtime rt({.stack = {.guards = guard_kind::protect}});
    std::vector<handle<void>> held;
    std::string text;
    {
        const failing_call full("mprotect", ENOMEM, 300);  // 64 and 64 stacks, then one batch not
        const std::system_error e = error_of([&] {
            for (;;) held.push_back(rt.spawn([] { static_cast<void>(suspend()); }));
        });
        CHECK(e.code() == std::error_code(ENOMEM, std::system_category()));
        text = e.what();
        CHECK_THROWS_AS(rt.go([] {}), std::system_error);  // still so
        CHECK(held.size() == 256);

        for (auto& h : held) h.cancel();  // those that are left to run
        CHECK(rt.run());
        for (auto& h : held) CHECK(h.join());
        held.clear();
        int ran = 0;
        for (int i = 0; i < 256; ++i) rt.go([&] { ++ran; });  // with the stacks that there are
        CHECK_THROWS_AS(rt.go([] {}), std::system_error);
        CHECK(rt.run());
        CHECK(ran == 256);
    }
    CAPTURE(text);
    CHECK(contains(text, "mprotect"));
    CHECK(contains(text, "vm.max_map_count"));
    CHECK(contains(text, " stacks in place"));
    int ran = 0;
    for (int i = 0; i < 1000; ++i)
        rt.go([&] { ++ran; });  // and with more, once the limit is raised
    CHECK(rt.run());
    CHECK(ran == 1000);
}

// ---- high water

TEST_CASE("high water: a wire sees how deep it was, its callable included") {
    WIRE_LEAVE_OUT_IF(under_asan, "frames are elsewhere");
    on_wire({}, [] {
        const std::size_t before = this_wire::high_water();
        CHECK(before > 100);
        CHECK(before < 8 * 1024);
        use_stack(20'000);
        const std::size_t after = this_wire::high_water();
        CHECK(after >= 20'000);
        CHECK(after < 20'000 + 8 * 1024);
        CHECK(this_wire::high_water() == after);
    });
}

TEST_CASE("high water: it is that of the stack, so earlier wires of it count") {
    WIRE_LEAVE_OUT_IF(under_asan, "frames are elsewhere");
    on_wire({}, [] {
        CHECK(spawn({.stack = medium}, [] { use_stack(30'000); }).join());
        CHECK(*spawn({.stack = medium}, [] { return this_wire::high_water(); }).join() >= 30'000);
    });
}

TEST_CASE("high water: outside a wire it says so") {
    CHECK(dies([] { static_cast<void>(this_wire::high_water()); }, "wire::this_wire outside"));
}

// ---- the caller's memory

TEST_CASE("wire memory: a runtime runs in a static array, and maps nothing for stacks") {
    const failing_call mapping("mmap", ENOMEM);
    runtime rt({.stack = in_static_memory(medium)});
    int inside = 0, ran = 0;
    rt.go([&] {
        for (int round = 0; round < 20; ++round) {
            std::vector<handle<void>> all;
            for (int i = 0; i < 3; ++i)
                all.push_back(spawn([&] {
                    const auto* const here = static_cast<std::byte*>(__builtin_frame_address(0));
                    inside += here >= static_memory && here < static_memory + sizeof static_memory;
                    yield();
                    ++ran;
                }));
            for (auto& h : all) CHECK(h.join());
        }
    });
    CHECK(rt.run());
    CHECK(ran == 60);
    if (!under_asan) CHECK(inside == 60);
    CHECK(mapping.calls() == 0);
}

TEST_CASE("wire memory: when it is used up a start fails with ENOMEM, until a wire has ended") {
    on_wire({.stack = in_static_memory(medium)}, [] {
        std::vector<handle<void>> all;
        const auto e = error_of([&] {
            for (;;) all.push_back(spawn([] { static_cast<void>(suspend()); }));
        });
        CHECK(all.size() == 3);  // and this one
        CHECK(e.code() == std::error_code(ENOMEM, std::system_category()));
        CHECK(contains(e.what(), "room for 4 stacks of 65536 bytes"));
        all.pop_back();
        CHECK(spawn([] {}).join());
    });
}

TEST_CASE("wire memory: all wires have stacks of one size there; to ask for more is an error") {
    on_wire({.stack = in_static_memory(medium)}, [] {
        CHECK(spawn({.stack = small}, [] { use_stack(40'000); }).join());
        CHECK(spawn({.stack = medium}, [] {}).join());
        const auto e = error_of([] { go({.stack = medium + 1}, [] {}); });
        CHECK(e.code() == std::error_code(ENOMEM, std::system_category()));
        CHECK(contains(e.what(), "a stack of 65537 bytes"));
        CHECK(contains(e.what(), "have 65536"));
    });
}

TEST_CASE("wire memory: it may be used by others when the runtime is gone, stragglers or not") {
    for (int round = 0; round < 2; ++round) {
        runtime rt({.stack = in_static_memory(medium), .drain = 0ms});
        rt.go([] { use_stack(10'000); });
        CHECK(rt.run());
    }
    std::memset(static_memory, 0xff, sizeof static_memory);
    runtime rt({.stack = in_static_memory(medium)});
    bool ran = false;
    rt.go([&] { ran = true; });
    CHECK(rt.run());
    CHECK(ran);
}

TEST_CASE("wire memory: several threads cannot share it") {
    CHECK(dies([] { run([] {}, {.threads = 2, .runtime = {.stack = in_static_memory(medium)}}); },
               "several threads cannot have their stacks in one memory"));
}

TEST_CASE("wire memory: a wire that used all of its stack is named when it ends") {
    for (const bool joinable : {false, true}) {
        CAPTURE(joinable);
        const death d = run_in_child([=] {
            runtime rt({.stack = in_static_memory(small)});
            const auto overflow = [] {
                const auto* const top = static_memory + small;
                write_at_depth(top, small - 8);
            };
            if (joinable) {
                auto h = rt.spawn({.name = "digger"}, overflow);
                static_cast<void>(rt.run());
                ::_exit(5);  // found out at its end, not only at the join
            }
            rt.go({.name = "digger"}, overflow);
            static_cast<void>(rt.run());
        });
        CAPTURE(d.said);
        CHECK(d.signal == SIGABRT);
        CHECK(d.says("wire: stack overflow: wire \"digger\" needs more than its stack of 16384"));
        CHECK(d.times("digger") == 1);
    }
}

TEST_CASE("wire memory: a real recursion into the canary is found out") {
    WIRE_LEAVE_OUT_IF(under_asan, "frames are elsewhere");
    // The stack below is nobody's, so that the program lives until its wire ends.
    const death d = run_in_child([] {
        runtime rt({.stack = {.size = medium, .memory = std::span(static_memory).subspan(medium)}});
        rt.go({.name = "deep"}, [] { use_stack(medium); });
        static_cast<void>(rt.run());
    });
    CAPTURE(d.said);
    CHECK(d.signal == SIGABRT);
    CHECK(d.says("stack overflow: wire \"deep\""));
}

TEST_CASE("wire memory: a wire that never ends is found out when the runtime looks around") {
    const death d = run_in_child([] {
        runtime rt({.stack = in_static_memory(small)});
        rt.go({.name = "waiter"}, [] {
            write_at_depth(static_memory + small, small - 63);
            static_cast<void>(suspend());
        });
        static_cast<void>(rt.run());
    });
    CAPTURE(d.said);
    CHECK(d.signal == SIGABRT);
    CHECK(d.says("stack overflow: wire \"waiter\""));
    CHECK_FALSE(d.says("deadlock"));
}

TEST_CASE("wire memory: a wire that stays above the canary is left alone (canary of these tests)") {
    WIRE_LEAVE_OUT_IF(under_valgrind(), "it takes the write for a mistake");
    on_wire({.stack = in_static_memory(small)}, [] {
        write_at_depth(static_memory + small, small - 64);
        if (!under_asan) CHECK(this_wire::high_water() == small - 64);
    });
}
