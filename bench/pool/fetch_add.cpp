// The limit with several producers or consumers: all threads of the case add to one counter, and an
// addition stands for a message.
#include <atomic>

#include "cases.hpp"

namespace {

struct alignas(128) counter {
    void add(std::uint64_t first, std::uint64_t end) {
        for (; first != end; ++first) value.fetch_add(1, std::memory_order_relaxed);
    }
    std::atomic<std::uint64_t> value{0};
};

bench::cost measure(const bench::shape& s) {
    const auto host = [](bench::side, auto body) { body(); };
    const bench::cost of_two = bench::median_cost([&](std::uint64_t messages) {
        counter all;
        const auto produce = [&](bench::portions& numbers) {
            numbers.each([&](std::uint64_t first, std::uint64_t end) { all.add(first, end); });
        };
        const auto consume = [&](bench::portions& numbers) {
            std::uint64_t sum = 0;
            numbers.each([&](std::uint64_t first, std::uint64_t end) {
                all.add(first, end);
                sum += (end - first) * (first + end - 1);  // of these numbers, twice
            });
            return sum;
        };
        return bench::run_stretch(s, messages, host, produce, consume);
    });
    return {of_two.wall_ns / 2, of_two.cpu_ns / 2};
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<bench::queue_case> cases;
    for (const bench::shape& s : bench::shapes())
        if (s.bulk == 1) cases.push_back({s.slug(), [s] { return measure(s); }});
    return bench::run_queue_cases(cases, argc, argv);
}
