// What the programs of the suite `core` share: timing, calls of a given depth, pinning, and their
// command line.
//
// A program prints `case ns_per_operation` for the case that it is given, then `rss bytes` if that
// is measured, and the cases that it has for --list. BENCH_MS is the time to measure for (default
// 300).
#pragma once

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

inline double now_ns(clockid_t clock) {
    timespec t{};
    ::clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

inline double budget_ns() {
    const char* const ms = std::getenv("BENCH_MS");
    return (ms ? std::atof(ms) : 300.0) * 1e6;
}

/// Nanoseconds of `clock` per operation of `body(n)`, which does n of them: the median of up to
/// `stretches_max` stretches that together use the budget, so that interrupted ones don't count.
template <class Body>
double median_ns(clockid_t clock, std::size_t stretches_max, Body body) {
    const double budget = budget_ns();
    const auto time = [&](std::uint64_t n) {
        const double start = now_ns(clock);
        body(n);
        return now_ns(clock) - start;
    };
    body(2);
    std::uint64_t n = 1;
    while (time(n) < budget / static_cast<double>(2 * stretches_max)) n *= 2;

    std::vector<double> stretches;
    for (double spent = 0; stretches.size() < stretches_max && spent < budget;) {
        stretches.push_back(time(n));
        spent += stretches.back();
    }
    const auto middle = stretches.begin() + static_cast<std::ptrdiff_t>(stretches.size() / 2);
    std::nth_element(stretches.begin(), middle, stretches.end());
    return *middle / static_cast<double>(n);
}

/// Of what the calling thread does alone. In its processor time: what other programs do on the core
/// meanwhile doesn't count.
template <class Body>
double ns_per_operation(Body body) {
    return median_ns(CLOCK_THREAD_CPUTIME_ID, 63, body);
}

/// Of what two threads do together. The stretches are shorter than the scheduler's time slices.
template <class Body>
double ns_per_round_trip(Body body) {
    return median_ns(CLOCK_MONOTONIC, 1023, body);
}

template <int Depth, class Leaf>
[[gnu::noinline]] void descend(Leaf& leaf) {
    if constexpr (Depth == 1)
        leaf();
    else
        descend<Depth - 1>(leaf);
    asm volatile("" ::: "memory");  // a real call with a real return, not a jump
}

/// Calls `leaf` below `Depth` real calls.
template <int Depth, class Leaf>
[[gnu::always_inline]] inline void at_depth(Leaf& leaf) {
    if constexpr (Depth == 0)
        leaf();
    else
        descend<Depth>(leaf);
}

/// Calls `leaf` n times, but not once `stop` is set. All wires of a program yield from this one
/// loop, so that what a return leads to is what the processor predicts.
template <int Depth, class Leaf>
[[gnu::noinline]] void turns(Leaf leaf, std::uint64_t n, const bool& stop) {
    for (; n > 0 && !stop; --n) at_depth<Depth>(leaf);
}

inline constexpr std::uint64_t for_ever = ~std::uint64_t{0};

/// Locks `m` and unlocks it, in a way that leaves the compiler nothing to keep or to save.
template <class Mutex>
double ns_per_lock_and_unlock(Mutex& m) {
    return ns_per_operation([&](std::uint64_t n) {
        for (; n > 0; --n) {
            m.lock();
            asm volatile("" : : "r"(&m) : "memory");
            m.unlock();
            asm volatile("" : : "r"(&m) : "memory");
        }
    });
}

/// Pins the calling thread to the nth core that the process was started on.
class cores {
public:
    cores() { ::sched_getaffinity(0, sizeof all_, &all_); }

    void pin(int nth) const {
        int core = 0;
        for (int left = nth; core < CPU_SETSIZE; ++core)
            if (CPU_ISSET(core, &all_) && left-- == 0) break;
        if (core == CPU_SETSIZE) {
            std::fprintf(stderr, "this case needs %d cores\n", nth + 1);
            std::exit(1);
        }
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        ::sched_setaffinity(0, sizeof one, &one);
    }

private:
    cpu_set_t all_{};
};

struct figures {
    figures(double per_operation) : ns(per_operation) {}
    double ns;
    double rss_bytes = 0;  // 0: not measured
};

struct bench_case {
    std::string name;
    std::function<figures()> run;  // per operation; one call per process
};

/// Adds the cases yield-N-depthD; `run.template operator()<D>(N)` measures one.
template <class Run>
void add_yields(std::vector<bench_case>& cases, Run run) {
    for (const std::size_t count : {2u, 100u, 1'000u, 10'000u, 100'000u}) {
        const std::string name = "yield-" + std::to_string(count) + "-depth";
        cases.push_back({name + "0", [=] { return run.template operator()<0>(count); }});
        cases.push_back({name + "4", [=] { return run.template operator()<4>(count); }});
        cases.push_back({name + "16", [=] { return run.template operator()<16>(count); }});
    }
}

inline int run_cases(const std::vector<bench_case>& cases, int argc, char** argv) {
    const std::string_view wanted = argc > 1 ? argv[1] : "--list";
    for (const bench_case& c : cases) {
        if (wanted == "--list") std::puts(c.name.c_str());
        if (wanted != c.name) continue;
        const figures f = c.run();
        std::printf("%s %.3f", c.name.c_str(), f.ns);
        if (f.rss_bytes > 0) std::printf(" rss %.1f", f.rss_bytes);
        std::puts("");
        return 0;
    }
    if (wanted == "--list") return 0;
    std::fprintf(stderr, "no such case: %s\n", argv[1]);
    return 1;
}

}  // namespace bench
