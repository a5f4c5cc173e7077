// Stacks: where the guards are, in which order stacks are handed out, what their memory costs.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include <wire/stack.hpp>
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/failing_call.hpp"

using namespace wire;
using namespace wire::test;

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t first_slab = 64;

// The end of the page in which a stack's top lies: the guard of the next stack begins there.
std::byte* end_of(stack s) {
    const auto at = reinterpret_cast<std::uintptr_t>(s.top);
    return s.top + (page - at % page) % page;
}

bool can_install_guards() {
    static const bool can = [] {
        void* const p =
            ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        const bool ok = ::madvise(p, page, 102) == 0;
        ::munmap(p, page);
        return ok;
    }();
    return can;
}

std::vector<guard_kind> guard_kinds() {
    std::vector<guard_kind> kinds{guard_kind::protect};
    if (can_install_guards()) kinds.push_back(guard_kind::install);
    return kinds;
}

std::vector<stack> acquire(stack_cache& cache, std::size_t n) {
    std::vector<stack> all;
    for (std::size_t i = 0; i < n; ++i) all.push_back(cache.acquire());
    return all;
}

void touch(volatile std::byte* at) {
    *at = std::byte{1};
}

std::size_t pages_in_memory(const std::byte* from, std::size_t bytes) {
    std::vector<unsigned char> there((bytes + page - 1) / page);
    if (::mincore(const_cast<std::byte*>(from), bytes, there.data()) != 0) return 0;
    return static_cast<std::size_t>(
        std::count_if(there.begin(), there.end(), [](unsigned char c) { return c & 1; }));
}

// What acquire() throws, as text; empty if it does not.
std::string complaint(stack_cache& cache) {
    try {
        static_cast<void>(cache.acquire());
    } catch (const std::system_error& e) {
        return e.what();
    }
    return {};
}

bool contains(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("stack: the cache hands out last the stack that came back first") {
    stack_cache cache({});
    const stack a = cache.acquire(), b = cache.acquire();
    cache.release(a);
    cache.release(b);
    CHECK(cache.acquire().base == b.base);
    CHECK(cache.acquire().base == a.base);
}

TEST_CASE("stack: fresh stacks come lowest address first") {
    stack_cache cache({});
    const auto all = acquire(cache, first_slab);
    CHECK(std::is_sorted(all.begin(), all.end(), [](stack x, stack y) { return x.base < y.base; }));
}

TEST_CASE("stack: sizes are rounded up to whole pages, bases are page aligned") {
    stack_cache cache({.size = 20'000, .guard = 1});
    CHECK(cache.size() == 5 * page);
    CHECK(cache.guard() == page);
    const stack s = cache.acquire();
    CHECK(reinterpret_cast<std::uintptr_t>(s.base) % page == 0);
    CHECK(end_of(s) - s.base == 5 * page);
}

TEST_CASE("stack: a cache counts what it has carved, what is free and what is warm") {
    stack_cache cache({});
    CHECK(cache.total() == 0);
    const stack s = cache.acquire();
    CHECK(cache.total() == first_slab);
    CHECK(cache.free() == first_slab - 1);
    CHECK(cache.warm() == 0);
    cache.release(s);
    CHECK(cache.free() == first_slab);
    CHECK(cache.warm() == 1);
}

TEST_CASE("stack: the guard catches an access anywhere below the base") {
    for (const guard_kind kind : guard_kinds()) {
        CAPTURE(static_cast<int>(kind));
        stack_cache cache({.guard = 4 * page, .guards = kind});
        const auto all = acquire(cache, first_slab);
        for (const stack& s : {all.front(), all[1], all.back()}) {
            CHECK(dies_by(
                SIGSEGV, [&] { touch(s.base - 1); }, ""));
            CHECK(dies_by(
                SIGSEGV, [&] { touch(s.base - 4 * page); }, ""));
            CHECK(run_in_child([&] { touch(s.base), touch(s.top - 1); }).signal == 0);
        }
    }
}

TEST_CASE("stack: a guard lies above every stack, the topmost of a slab included") {
    for (const guard_kind kind : guard_kinds()) {
        CAPTURE(static_cast<int>(kind));
        stack_cache cache({.guards = kind});
        const auto all = acquire(cache, 2 * first_slab);
        for (const std::size_t i : {std::size_t{0}, first_slab - 1, 2 * first_slab - 1}) {
            CHECK(dies_by(
                SIGSEGV, [&] { touch(end_of(all[i])); }, ""));
            CHECK(run_in_child([&] { touch(end_of(all[i]) - 1); }).signal == 0);
        }
    }
}

TEST_CASE("stack: a guard survives that its stack is trimmed and used again") {
    stack_cache cache({.warm_max = 0});
    const stack s = cache.acquire();
    touch(s.base);
    cache.release(s);
    CHECK(cache.trim(1) == 1);
    CHECK(dies_by(
        SIGSEGV, [&] { touch(s.base - 1); }, ""));
    CHECK(cache.acquire().base == s.base);
    CHECK(dies_by(
        SIGSEGV, [&] { touch(s.base - 1); }, ""));
}

TEST_CASE("stack: a refused MADV_GUARD_INSTALL falls back to mprotect, with one diagnostic") {
    const death d = run_in_child([] {
        const failing_call refused("*madvise", EINVAL);
        stack_cache first({}), second({});
        const stack a = first.acquire(), b = second.acquire();
        touch(a.base), touch(b.base);
        touch(b.base - 1);
    });
    CHECK(d.signal == SIGSEGV);
    CHECK(d.times("wire: madvise(MADV_GUARD_INSTALL): Invalid argument") == 1);
    CHECK(d.times("mprotect") == 1);
}

TEST_CASE("stack: without process_madvise guards are installed one by one") {
    WIRE_LEAVE_OUT_IF(!can_install_guards(), "this kernel has no MADV_GUARD_INSTALL");
    const caught_diagnostics said;
    const failing_call refused("process_madvise", ENOSYS);
    stack_cache cache({.guards = guard_kind::install});
    const stack s = cache.acquire();
    CHECK(dies_by(
        SIGSEGV, [&] { touch(s.base - 1); }, ""));
    CHECK(said.size() == 0);
}

TEST_CASE("stack: memory locked by mlockall still gets its guards") {
    WIRE_LEAVE_OUT_IF(under_asan || under_tsan || under_valgrind(), "mlockall does nothing here");
    const death d = run_in_child([] {
        if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) ::_exit(4);
        stack_cache cache({.size = 16 * 1024});
        const stack s = cache.acquire();
        touch(s.base);
        touch(s.base - 1);
    });
    WIRE_LEAVE_OUT_IF(d.code == 4, "mlockall is not permitted");
    CHECK(d.signal == SIGSEGV);
    CHECK(d.times("mlockall") == 1);
}

TEST_CASE("stack: guards that must be installed but are refused say so") {
    const failing_call refused("*madvise", EINVAL);
    stack_cache cache({.guards = guard_kind::install});
    const std::string text = complaint(cache);
    CHECK(contains(text, "madvise(MADV_GUARD_INSTALL)"));
    CHECK(contains(text, "0 stacks"));
    CHECK(contains(text, "Invalid argument"));
}

TEST_CASE("stack: a failing mprotect is reported with the call, the count and the limit to raise") {
    stack_cache cache({.guards = guard_kind::protect});
    const auto held = acquire(cache, first_slab);
    {
        const failing_call full("mprotect", ENOMEM, 11);
        const std::string text = complaint(cache);
        CHECK(contains(text, "mprotect"));
        CHECK(contains(text, "74 stacks"));
        CHECK(contains(text, "vm.max_map_count"));
        CHECK(contains(text, "Cannot allocate memory"));
    }
    CHECK(cache.total() == first_slab);
    CHECK(complaint(cache) == "");  // nothing is lost: it works once there is room again
    CHECK(cache.total() == 2 * first_slab);
}

TEST_CASE("stack: a failing mmap is reported with the call, the count and the limit to raise") {
    stack_cache cache({});
    const auto held = acquire(cache, first_slab);
    {
        const failing_call full("mmap", ENOMEM);
        const std::string text = complaint(cache);
        CHECK(contains(text, "mmap"));
        CHECK(contains(text, "64 stacks"));
        CHECK(contains(text, "vm.max_map_count"));
    }
    CHECK(complaint(cache) == "");
}

TEST_CASE("stack: guards are installed in batches, with one system call each") {
    WIRE_LEAVE_OUT_IF(!can_install_guards(), "this kernel has no MADV_GUARD_INSTALL");
    const failing_call counted("*madvise", 0);
    stack_cache cache({.guards = guard_kind::install});
    const auto all = acquire(cache, 10'000);
    // 64 + 64 + 128 + 256 stacks, then 512 at a time.
    const int expected = 4 + (10'000 - 512 + 511) / 512;
    const bool in_one_call = !under_valgrind();  // it does not know process_madvise
    if (in_one_call) CHECK(counted.calls() == expected);
    std::set<std::byte*> bases;
    for (const stack& s : all) bases.insert(s.base);
    CHECK(bases.size() == all.size());
}

TEST_CASE("stack: 100,000 guarded stacks fit into one process") {
    WIRE_LEAVE_OUT_IF(!can_install_guards(), "this kernel has no MADV_GUARD_INSTALL");
    WIRE_LEAVE_OUT_IF(under_valgrind(), "it would register 100,000 stacks one by one");
    const auto mappings = [] {
        std::ifstream maps("/proc/self/maps");
        return std::count(std::istreambuf_iterator<char>(maps), {}, '\n');
    };
    const auto before = mappings();
    stack_cache cache({.guards = guard_kind::install});
    const auto all = acquire(cache, 100'000);
    CHECK(mappings() - before < 100);
    CHECK(dies_by(
        SIGSEGV, [&] { touch(all.back().base - 1); }, ""));
    for (const stack& s : all) cache.release(s);
    CHECK(cache.free() == cache.total());
}

TEST_CASE("stack: trim returns the pages of the coldest stacks and keeps warm_max warm ones") {
    stack_cache cache({.warm_max = 4});
    const auto all = acquire(cache, 16);
    for (const stack& s : all) std::memset(s.base, 1, static_cast<std::size_t>(s.top - s.base));
    for (const stack& s : all) cache.release(s);
    CHECK(cache.warm() == 16);

    CHECK(cache.trim(5) == 5);
    CHECK(cache.trim(100) == 7);
    CHECK(cache.trim(100) == 0);
    CHECK(cache.warm() == 4);
    if (!under_valgrind()) {
        for (std::size_t i = 0; i < 12; ++i) CHECK(pages_in_memory(all[i].base, cache.size()) == 0);
        for (std::size_t i = 12; i < 16; ++i)
            CHECK(pages_in_memory(all[i].base, cache.size()) == cache.size() / page);
    }
    CHECK(cache.acquire().base == all[15].base);  // the warmest goes first
}

TEST_CASE("stack: a trimmed stack starts from zeroed memory") {
    stack_cache cache({.warm_max = 0});
    const stack s = cache.acquire();
    std::memset(s.base, 1, static_cast<std::size_t>(s.top - s.base));
    cache.release(s);
    cache.trim(1);
    const stack again = cache.acquire();
    CHECK(again.base == s.base);
    CHECK(std::all_of(again.base, again.top, [](std::byte b) { return b == std::byte{0}; }));
}

TEST_CASE("stack: a stack that was used after a trim is warm again") {
    stack_cache cache({.warm_max = 0});
    const auto all = acquire(cache, 8);
    for (const stack& s : all) cache.release(s);
    CHECK(cache.trim(100) == 8);
    const auto again = acquire(cache, 8);
    for (const stack& s : again) cache.release(s);
    CHECK(cache.warm() == 8);
    CHECK(cache.trim(100) == 8);
    CHECK(cache.warm() == 0);
}

TEST_CASE("stack: tops of neighbours lie in different sets of the cache, all in the topmost page") {
    stack_cache cache({});
    std::set<std::uintptr_t> sets;
    for (const stack& s : acquire(cache, 32)) {
        CHECK(reinterpret_cast<std::uintptr_t>(s.top) % cache_line == 0);
        CHECK(end_of(s) - s.base == static_cast<std::ptrdiff_t>(cache.size()));
        CHECK(end_of(s) - s.top < static_cast<std::ptrdiff_t>(page));
        sets.insert(reinterpret_cast<std::uintptr_t>(s.top) / cache_line % 64);
    }
    CHECK(sets.size() == 32);
}

TEST_CASE("stack: the smallest size is 16 KiB, and a guard is required") {
    stack_cache smallest({.size = 16 * 1024});
    CHECK(smallest.acquire().base != nullptr);
    CHECK(dies([] { stack_cache cache({.size = 16 * 1024 - 1}); }, "a stack is 16 KiB at least"));
    CHECK(dies([] { stack_cache cache({.size = (1u << 30) + 1}); }, "1 GiB at most"));
    CHECK(dies([] { stack_cache cache({.guard = 0}); }, "a stack needs a guard below it"));
}

TEST_CASE("stack: the end of a cache unmaps its stacks, and others may use the addresses") {
    std::byte* base = nullptr;
    {
        stack_cache cache({});
        const stack s = cache.acquire();
        base = s.base;
        touch(base);
    }
    void* const p = ::mmap(base, 4 * page, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(p == base);
    std::memset(p, 1, 4 * page);
    ::munmap(p, 4 * page);
}

// ---- memory of the caller

namespace {

constexpr std::size_t small = 16 * 1024;
constexpr std::size_t canary = 64;
alignas(cache_line) std::byte static_memory[4 * small];

}  // namespace

TEST_CASE(
    "stack memory: stacks are cut from it, lowest first, side by side, and nothing is mapped") {
    const failing_call mapping("mmap", ENOMEM);
    stack_cache cache({.size = small, .memory = static_memory});
    CHECK(cache.has_canaries());
    CHECK(cache.guard() == 0);
    for (std::size_t i = 0; i < 4; ++i) {
        const stack s = cache.acquire();
        CHECK(s.base == static_memory + i * small);
        CHECK(s.top == s.base + small);
        CHECK(cache.total() == i + 1);
    }
    CHECK(mapping.calls() == 0);
}

TEST_CASE("stack memory: when it is used up, the error is ENOMEM and says how many stacks fit") {
    stack_cache cache({.size = small, .memory = static_memory});
    std::vector<stack> held = acquire(cache, 4);
    try {
        static_cast<void>(cache.acquire());
        CHECK(false);
    } catch (const std::system_error& e) {
        CHECK(e.code() == std::error_code(ENOMEM, std::system_category()));
        CHECK(contains(e.what(), "room for 4 stacks of 16384 bytes"));
    }
    cache.release(held[2]);
    CHECK(cache.acquire().base == held[2].base);
    CHECK_FALSE(complaint(cache).empty());
}

TEST_CASE("stack memory: with 63 bytes more any alignment will do") {
    std::vector<std::byte> memory(3 * small + 2 * cache_line);
    for (const std::size_t skipped : {0u, 1u, 8u, 63u}) {
        CAPTURE(skipped);
        const auto part = std::span(memory).subspan(skipped, 3 * small + cache_line - 1);
        stack_cache cache({.size = small, .memory = part});
        for (const stack& s : acquire(cache, 3)) {
            CHECK(s.base >= part.data());
            CHECK(s.top <= part.data() + part.size());
            CHECK(reinterpret_cast<std::uintptr_t>(s.base) % cache_line == 0);
        }
        CHECK(contains(complaint(cache), "room for 3 stacks"));
    }
}

TEST_CASE("stack memory: sizes are rounded up to cache lines") {
    stack_cache cache({.size = small + 1, .memory = static_memory});
    CHECK(cache.size() == small + cache_line);
    CHECK(acquire(cache, 3)[1].base == static_memory + cache.size());
    CHECK(contains(complaint(cache), "room for 3 stacks of 16448 bytes"));
}

TEST_CASE("stack memory: too little for one stack is an error of the first acquire") {
    for (const std::size_t bytes : {std::size_t{1}, small - 1}) {
        stack_cache cache({.size = small, .memory = std::span(static_memory).first(bytes)});
        CHECK(contains(complaint(cache), "room for 0 stacks"));
    }
    CHECK(dies([] { stack_cache cache({.size = small - 1, .memory = static_memory}); },
               "a stack is 16 KiB at least"));
}

TEST_CASE("stack memory: every byte of the canary counts, and none above it") {
    stack_cache cache({.size = small, .memory = static_memory});
    const stack s = cache.acquire();
    CHECK(cache.intact(s));
    for (std::size_t i = 0; i < canary; ++i) {
        const std::byte before = s.base[i];
        s.base[i] ^= std::byte{1};
        CHECK_FALSE(cache.intact(s));
        s.base[i] = before;
    }
    std::memset(s.base + canary, 1, small - canary);
    CHECK(cache.intact(s));
    std::memset(s.base, 0, canary);
    CHECK_FALSE(cache.intact(s));
    stack_cache mapped({});
    CHECK(mapped.intact(mapped.acquire()));
}

TEST_CASE("stack memory: trim leaves it alone") {
    stack_cache cache({.size = small, .warm_max = 0, .memory = static_memory});
    const stack s = cache.acquire();
    std::memset(s.base + canary, 1, small - canary);
    cache.release(s);
    CHECK(cache.trim(100) == 0);
    CHECK(s.base[canary] == std::byte{1});
    CHECK(cache.intact(s));
}

// ---- high water

TEST_CASE("high water: a fresh stack has none, then it is the depth of the lowest byte used") {
    stack_cache cache({});
    const stack s = cache.acquire();
    CHECK(high_water(s) == 0);
    for (const std::size_t depth : {8u, 64u, 4096u, 10'000u, 60'000u}) {
        *(s.top - depth) = std::byte{1};
        CHECK(high_water(s) == depth);
    }
    *s.base = std::byte{1};
    CHECK(high_water(s) == static_cast<std::size_t>(s.top - s.base));
}

TEST_CASE("high water: looking at it takes no memory") {
    WIRE_LEAVE_OUT_IF(under_asan || under_tsan || under_valgrind(),
                      "tools have memory of their own");
    stack_cache cache({});
    const stack s = cache.acquire();
    *(s.top - 8) = std::byte{1};
    const auto resident = [] {
        std::ifstream statm("/proc/self/statm");
        std::size_t all = 0, pages = 0;
        statm >> all >> pages;
        return pages;
    };
    static_cast<void>(resident());
    const auto before = resident();
    for (int i = 0; i < 1000; ++i) CHECK(high_water(s) == 8);
    CHECK(resident() <= before + 8);
}

TEST_CASE("high water: it stays when a stack is used again, until trim") {
    stack_cache cache({.warm_max = 0});
    const stack s = cache.acquire();
    *(s.top - 10'000) = std::byte{1};
    cache.release(s);
    CHECK(high_water(cache.acquire()) == 10'000);
    cache.release(s);
    CHECK(cache.trim(1) == 1);
    CHECK(high_water(s) == 0);
}

TEST_CASE("high water: in the caller's memory the canary is not counted unless it is damaged") {
    std::memset(static_memory, 0, sizeof static_memory);
    stack_cache cache({.size = small, .memory = static_memory});
    const stack s = cache.acquire();
    CHECK(high_water(s) == 0);
    *(s.base + canary) = std::byte{1};
    CHECK(high_water(s) == small - canary);
    *(s.base + 8) = std::byte{1};
    CHECK(high_water(s) == small);
}

// ---- large stacks

TEST_CASE("stack: a stack of 1 GiB takes no more address space than it needs") {
    WIRE_LEAVE_OUT_IF(under_asan || under_tsan || under_valgrind(), "address space is scarce");
    stack_cache cache({.size = stack_size_max});
    const stack s = cache.acquire();
    CHECK(cache.total() == 1);
    touch(s.base);
    CHECK(dies_by(
        SIGSEGV, [&] { touch(s.base - 1); }, ""));
}
