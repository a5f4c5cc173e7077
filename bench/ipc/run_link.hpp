// The program of a link: the cases that it has, and its command line.
//
// It prints the case, then names and values: `wall` and `cpu`, nanoseconds for each record or round
// trip, and of round trips `p50`, `p99` and `p999`. And its cases for --list. BENCH_MS is the time
// to measure for.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "idle.hpp"
#include "round_trip.hpp"

namespace bench {

struct link_case {
    std::string name;
    std::function<trip_cost()> run;
};

inline int run_link_cases(const std::vector<link_case>& cases, int argc, char** argv) {
    const std::string_view wanted = argc > 1 ? argv[1] : "--list";
    for (const link_case& c : cases) {
        if (wanted == "--list") std::puts(c.name.c_str());
        if (wanted != c.name) continue;
        const trip_cost t = c.run();
        std::printf("%s wall %.3f cpu %.3f", c.name.c_str(), t.each.wall_ns, t.each.cpu_ns);
        if (t.p50_ns > 0)
            std::printf(" p50 %.0f p99 %.0f p999 %.0f", t.p50_ns, t.p99_ns, t.p999_ns);
        std::puts("");
        return 0;
    }
    if (wanted == "--list") return 0;
    std::fprintf(stderr, "no such case: %s\n", argv[1]);
    return 1;
}

template <class Link>
cost any_throughput(const record_shape& s) {
    switch (s.bytes) {
        case 8:
            return throughput<Link, 8>(s);
        case 1 << 10:
            return throughput<Link, 1 << 10>(s);
        case 64 << 10:
            return throughput<Link, 64 << 10>(s);
        case 1 << 20:
            return throughput<Link, 1 << 20>(s);
        default:
            return throughput<Link, 64>(s);
    }
}

template <class Link>
void add_busy_trip(std::vector<link_case>& cases, const std::string& name, const record_shape& s) {
    if constexpr (has_try<Link>)
        cases.push_back({name, [=] { return round_trips<Link, busily, 64>(s, 1); }});
}

template <class Link>
int run_ring(int argc, char** argv, std::vector<link_case> cases = {}) {
    for (const record_shape& s : ring_shapes())
        if (can<Link>(s))
            cases.push_back({s.slug(), [s] { return trip_cost{any_throughput<Link>(s)}; }});
    const record_shape one;
    if (!can<Link>(one)) return run_link_cases(cases, argc, argv);
    add_busy_trip<Link>(cases, "ring-rtt-busy-64b", one);
    if constexpr (has_sleep<Link>) {
        cases.push_back(
            {"ring-rtt-sleep-2core", [=] { return round_trips<Link, asleep, 64>(one, 1); }});
        cases.push_back(
            {"ring-rtt-sleep-1core", [=] { return round_trips<Link, asleep, 64>(one, 0); }});
        cases.push_back({"idle", [=] { return trip_cost{idle<Link>(one)}; }});
    }
    return run_link_cases(cases, argc, argv);
}

/// Cases of links that allocate each record in shared memory, pass it on and free it.
template <class Link>
std::vector<link_case> arena_cases() {
    const record_shape s{.family = "arena"};
    std::vector<link_case> cases{{s.slug(), [=] { return trip_cost{throughput<Link, 64>(s)}; }}};
    add_busy_trip<Link>(cases, "arena-rtt-busy-64b", s);
    return cases;
}

}  // namespace bench
