// The limit with room for one: a cache line that goes to the consumer and back for each message.
// Also: the time one way, between two threads that do nothing else.
#include <atomic>
#include <thread>

#include "../core/round_trip.hpp"
#include "cases.hpp"
#include "retry.hpp"

namespace {

// Nothing but one line, on which a zero says that it is free.
class slot {
public:
    void put(std::uint64_t number) {
        while (full_number_.load(std::memory_order_acquire) != 0) bench::pause();
        full_number_.store(number + 1, std::memory_order_release);
    }
    std::uint64_t take() {
        std::uint64_t found = 0;
        while ((found = full_number_.load(std::memory_order_acquire)) == 0) bench::pause();
        full_number_.store(0, std::memory_order_release);
        return found - 1;
    }

private:
    alignas(128) std::atomic<std::uint64_t> full_number_{0};
};

bench::cost there_and_back(const bench::shape& s) {
    slot line;
    const auto host = [](bench::side, auto body) { body(); };
    const auto produce = [&](bench::portions& numbers) {
        numbers.each([&](std::uint64_t first, std::uint64_t end) {
            for (; first != end; ++first) line.put(first);
        });
    };
    const auto consume = [&](bench::portions& numbers) {
        std::uint64_t sum = 0;
        numbers.each([&](std::uint64_t first, std::uint64_t end) {
            for (; first != end; ++first) sum += 2 * line.take();
        });
        return sum;
    };
    return bench::median_cost([&](std::uint64_t messages) {
        return bench::run_stretch(s, messages, host, produce, consume);
    });
}

bench::cost one_way() {
    const bench::cores all;
    bench::round_trip trip;
    std::atomic<bool> stop{false};
    std::thread answerer([&] {
        all.pin(1);
        while (!stop.load(std::memory_order_relaxed)) trip.answer_if_asked();
    });
    all.pin(0);
    const double round_trip_ns = bench::ns_per_round_trip([&](std::uint64_t n) {
        for (; n > 0; --n) trip.ask();
    });
    stop = true;
    answerer.join();
    return {round_trip_ns / 2, round_trip_ns};  // both cores are busy all the time
}

}  // namespace

int main(int argc, char** argv) {
    const bench::shape one{.capacity = 1};
    return bench::run_queue_cases(
        {{one.slug(), [&] { return there_and_back(one); }}, {"handover", &one_way}}, argc, argv);
}
