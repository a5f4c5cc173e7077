// The limits of a round trip between processes: a cache line that goes there and back between two
// cores, and a futex word that each side wakes the other by. Nothing is sent with them.
#include <atomic>
#include <cstdint>

#include "../core/round_trip.hpp"
#include "run_link.hpp"

namespace {

bench::trip_cost cache_line() {
    struct lines {
        bench::round_trip trip;
        std::atomic<bool> stop{false};
    };
    const bench::cores all;
    const bench::shared<lines> both;
    const bench::other_process answerer([&] {
        all.pin(1);
        while (!both->stop.load(std::memory_order_relaxed)) both->trip.answer_if_asked();
    });
    all.pin(0);
    const bench::trip_cost result = bench::measure_trips(answerer, [&] { both->trip.ask(); });
    both->stop = true;
    return result;
}

bench::trip_cost futex(int other_core) {
    struct words {
        bench::shared_word asked, answered;
    };
    constexpr std::uint32_t stop = ~0u;
    const bench::cores all;
    const bench::shared<words> both;
    const bench::other_process answerer([&] {
        all.pin(other_core);
        for (std::uint32_t number = 0;;) {
            both->asked.wait_while(number);
            number = both->asked.value();
            if (number == stop) return;
            both->answered.store(number);
            both->answered.wake(1);
        }
    });
    all.pin(0);
    std::uint32_t number = 0;
    const bench::trip_cost result = bench::measure_trips(answerer, [&] {
        both->asked.store(++number);
        both->asked.wake(1);
        both->answered.wait_while(number - 1);
    });
    both->asked.store(stop);
    both->asked.wake(1);
    return result;
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run_link_cases({{"ring-rtt-busy-64b", &cache_line},
                                  {"ring-rtt-sleep-2core", [] { return futex(1); }},
                                  {"ring-rtt-sleep-1core", [] { return futex(0); }}},
                                 argc, argv);
}
