// A program of the suite `pool`: the cases that it has, and its command line.
//
// It prints `case ns_per_message cpu ns_per_message` for the case that it is given, and its cases
// for --list. BENCH_MS is the time to measure for.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "stretch.hpp"

namespace bench {

struct queue_case {
    std::string name;
    std::function<cost()> run;
};

inline int run_queue_cases(const std::vector<queue_case>& cases, int argc, char** argv) {
    const std::string_view wanted = argc > 1 ? argv[1] : "--list";
    for (const queue_case& c : cases) {
        if (wanted == "--list") std::puts(c.name.c_str());
        if (wanted != c.name) continue;
        const cost result = c.run();
        std::printf("%s %.3f cpu %.3f\n", c.name.c_str(), result.wall_ns, result.cpu_ns);
        return 0;
    }
    if (wanted == "--list") return 0;
    std::fprintf(stderr, "no such case: %s\n", argv[1]);
    return 1;
}

}  // namespace bench
