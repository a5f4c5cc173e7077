// Our own runtime in several threads: what those cost each other that have nothing in common.
#include <atomic>
#include <latch>
#include <thread>
#include <vector>

#include <wire/runtime.hpp>

#include "wire_many.hpp"

namespace bench {
namespace {

constexpr std::size_t yielding = 100;
constexpr int idle_threads = 64;

struct yield {
    void operator()() const { wire::yield(); }
};

// A hundred wires that yield: `measure` runs in the first, and the others until it has returned.
template <class Measure>
void with_yields(Measure measure) {
    wire::runtime rt({.wires = yielding});
    bool stop = false;
    rt.go([&] {
        measure();
        stop = true;
    });
    for (std::size_t n = 1; n < yielding; ++n) rt.go([&] { turns<0>(yield{}, for_ever, stop); });
    static_cast<void>(rt.run());
}

double one_yield(clockid_t clock) {
    const bool stop = false;
    const auto body = [&](std::uint64_t n) { turns<0>(yield{}, n, stop); };
    return median_ns(clock, 63, body) / static_cast<double>(yielding);
}

// Two threads yield at the same time, each on its own core. One of them measures.
double two_yield() {
    const cores all;
    std::atomic<bool> stop{false};
    std::latch running(2);
    std::thread other([&] {
        all.pin(1);
        with_yields([&] {
            running.arrive_and_wait();
            const bool turned = false;
            while (!stop.load(std::memory_order_relaxed)) turns<0>(yield{}, 1'000, turned);
        });
    });
    all.pin(0);
    double result = 0;
    with_yields([&] {
        running.arrive_and_wait();
        result = one_yield(CLOCK_THREAD_CPUTIME_ID);
    });
    stop = true;
    other.join();
    return result;
}

// One thread yields while many others sleep, each with a wire that waits. The time is that of the
// whole process, so that a thread which does not really sleep would show.
double others_idle() {
    std::vector<std::thread> idle;
    std::vector<wire::remote> remotes(idle_threads);
    std::latch sleeping(idle_threads);
    for (int i = 0; i < idle_threads; ++i)
        idle.emplace_back([&, i] {
            wire::runtime rt;
            remotes[static_cast<std::size_t>(i)] = rt.remote();
            rt.go([&] {
                sleeping.count_down();
                static_cast<void>(wire::suspend());
            });
            static_cast<void>(rt.run());
        });
    sleeping.wait();
    double result = 0;
    with_yields([&] { result = one_yield(CLOCK_PROCESS_CPUTIME_ID); });
    for (const wire::remote& r : remotes) r.stop();
    for (std::thread& t : idle) t.join();
    return result;
}

}  // namespace

void add_wire_threads(std::vector<bench_case>& cases) {
    cases.push_back({"threads-2-yield", &two_yield});
    cases.push_back({"threads-64-idle", &others_idle});
}

}  // namespace bench
