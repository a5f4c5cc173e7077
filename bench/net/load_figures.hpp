// What the load generators share: clocks, percentiles, and the end if a call fails.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

[[noreturn]] inline void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

inline std::int64_t clock_ns(clockid_t clock) {
    timespec t;
    if (::clock_gettime(clock, &t) != 0) fail("clock_gettime");
    return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

inline std::int64_t now_ns() {
    return clock_ns(CLOCK_MONOTONIC);
}

/// The value below which `share` of all lie. Reorders them.
template <class T>
double percentile(std::vector<T>& values, double share) {
    const auto nth = static_cast<double>(values.size() - 1) * share;
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(nth);
    std::nth_element(values.begin(), at, values.end());
    return static_cast<double>(*at);
}
