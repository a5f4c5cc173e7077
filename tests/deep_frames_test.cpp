// Overflows inside other people's functions: whatever a wire calls too deep, it ends in the report
// and not in somebody else's memory. The C library's frames are not probed, so the guard must be
// larger than they are.
#include <doctest/doctest.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstring>
#include <regex>
#include <string>

#include <wire/fault_report.hpp>
#include <wire/runtime.hpp>
#include "support/dies.hpp"
#include "support/environment.hpp"

using namespace wire;
using namespace wire::test;

namespace {

constexpr std::size_t small = 16 * 1024;

// Calls `fn` with `left` bytes of the running wire's stack, or a few more, below it.
template <class F>
[[gnu::noinline]] void with_stack_left(const std::byte* base, std::size_t left, F fn) {
    const auto* const here = static_cast<const std::byte*>(__builtin_frame_address(0));
    const auto room = static_cast<std::size_t>(here - base);
    auto* const p = static_cast<volatile char*>(__builtin_alloca(room > left ? room - left : 1));
    p[0] = 1;
    fn();
    p[0] = 2;
}

// The lowest address of the running wire's stack: 16 KiB, whose top lies in its topmost page.
const std::byte* base_of_small_stack() {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    return reinterpret_cast<const std::byte*>(here / 4096 * 4096 + 4096 - small);
}

// Runs `fn` at the end of a wire's stack, between two neighbours whose memory must stay as it is.
// Code 0: there was enough.
template <class F>
death at_the_end(std::size_t left, F fn, const stack_options& stack = {}) {
    return run_in_child([&] {
        install_fault_report();
        runtime rt({.stack = stack});
        const auto neighbour = [&] {
            volatile char mine[12 * 1024];
            for (auto& c : mine) c = 'n';
            yield();
            yield();
            for (const auto& c : mine) must(c == 'n', "no damage to a neighbour");
        };
        rt.go({.name = "below", .stack = small}, neighbour);
        rt.go({.name = "culprit", .stack = small}, [&] {
            yield();
            with_stack_left(base_of_small_stack(), left, fn);
        });
        rt.go({.name = "above", .stack = small}, neighbour);
        static_cast<void>(rt.run());
    });
}

// How it ended: whole, or by the report. Anything else is what must not happen.
enum class outcome { enough, reported, other };

outcome outcome_of(const death& d) {
    if (d.signal == 0 && d.code == 0) return outcome::enough;
    if (d.signal == SIGSEGV && d.says("fault in wire \"culprit\" (stack of 16") &&
        d.says("guard hit: stack overflow"))
        return outcome::reported;
    return outcome::other;
}

// `fn` with less and less stack: enough at first, then the report, and never anything else.
template <class F>
void overflow_everywhere(F fn, const stack_options& stack = {}) {
    bool enough = false, reported = false;
    for (std::size_t left = 12 * 1024; left >= 128; left -= left > 1024 ? 448 : 128) {
        CAPTURE(left);
        const death d = at_the_end(left, fn, stack);
        CAPTURE(d.said);
        const outcome o = outcome_of(d);
        CHECK(o != outcome::other);
        enough |= o == outcome::enough;
        reported |= o == outcome::reported;
    }
    CHECK(enough == (stack.guard == stack_options{}.guard));  // larger guards: see below
    CHECK(reported);
}

void format(const char* how, double value) {
    char text[1024];
    std::snprintf(text, sizeof text, how, value);
}

}  // namespace

#define LEAVE_OUT_WHERE_FRAMES_ARE_OTHERS()                                      \
    WIRE_LEAVE_OUT_IF(under_asan || under_tsan, "a sanitizer has other frames"); \
    WIRE_LEAVE_OUT_IF(under_valgrind(), "it reports each access, at length")

TEST_CASE("deep frames: printf of a double overflows into the guard, however little is left") {
    LEAVE_OUT_WHERE_FRAMES_ARE_OTHERS();
    overflow_everywhere([] { format("%f", 1.0 / 3.0); });
}

TEST_CASE("deep frames: so does printf of a double with hundreds of digits") {
    LEAVE_OUT_WHERE_FRAMES_ARE_OTHERS();
    overflow_everywhere([] { format("%.600f", 1e300 / 3.0); });
}

TEST_CASE("deep frames: so does printf to an unbuffered stream") {
    LEAVE_OUT_WHERE_FRAMES_ARE_OTHERS();
    overflow_everywhere([] {
        std::FILE* const null = std::fopen("/dev/null", "w");
        if (!null) return;
        std::setvbuf(null, nullptr, _IONBF, 0);
        std::fprintf(null, "%s %d %f\n", "text", 7, 2.5);
        std::fclose(null);
    });
}

TEST_CASE("deep frames: so does the recursion of std::regex") {
    LEAVE_OUT_WHERE_FRAMES_ARE_OTHERS();
    const std::string text(20'000, 'a');
    const std::regex pattern("(a|b)*c");
    const death d =
        at_the_end(12 * 1024, [&] { static_cast<void>(std::regex_match(text, pattern)); });
    CAPTURE(d.said);
    CHECK(outcome_of(d) == outcome::reported);
}

TEST_CASE("deep frames: so does getaddrinfo") {
    LEAVE_OUT_WHERE_FRAMES_ARE_OTHERS();
    overflow_everywhere([] {
        addrinfo* found = nullptr;
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        if (::getaddrinfo("localhost", "80", &hints, &found) == 0) ::freeaddrinfo(found);
    });
}

TEST_CASE("deep frames: a frame of 33 KB in the C library is caught by a guard of 48 KiB") {
    LEAVE_OUT_WHERE_FRAMES_ARE_OTHERS();
    overflow_everywhere(
        [] {
            std::FILE* const null = std::fopen("/dev/null", "w");
            if (!null) return;
            std::setvbuf(null, nullptr, _IONBF, 0);
            std::fwprintf(null, L"%d\n", 7);
            std::fclose(null);
        },
        {.guard = 48 * 1024});
}
