// The program of a queue: main() is `return bench::run_queue<my_queue>(argc, argv);`.
#pragma once

#include "cases.hpp"
#include "element.hpp"
#include "idle_cpu.hpp"
#include "idle_wake.hpp"
#include "messages.hpp"

namespace bench {

template <template <class> class Queue, std::size_t Bytes>
cost measure(const shape& s) {
    using message = element<Bytes>;
    using queue = Queue<message>;
    const auto host = [](side where, auto body) { in_host<queue>(where, body); };
    queue q(s);
    return median_cost([&](std::uint64_t messages) {
        return run_stretch(
            s, messages, host, [&](portions& p) { produce<message>(q, s, p); },
            [&](portions& p) { return consume<message>(q, s, p); });
    });
}

template <template <class> class Queue>
cost measure_any(const shape& s) {
    switch (s.bytes) {
        case 4:
            return measure<Queue, 4>(s);
        case 64:
            return measure<Queue, 64>(s);
        case 256:
            return measure<Queue, 256>(s);
        default:
            return measure<Queue, 8>(s);
    }
}

/// `cases` are those that this program has besides.
template <template <class> class Queue>
int run_queue(int argc, char** argv, std::vector<queue_case> cases = {}) {
    using queue = Queue<element<8>>;
    for (const shape& s : shapes())
        if (can<queue>(s)) cases.push_back({s.slug(), [s] { return measure_any<Queue>(s); }});
    if constexpr (requires { queue::sleeps; }) {
        add_idle_wake<queue, element<8>>(cases);
        add_idle_cpu<queue, element<8>>(cases);
    }
    return run_queue_cases(cases, argc, argv);
}

}  // namespace bench
