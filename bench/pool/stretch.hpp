// A stretch: threads that start together carry some messages, and the time until the last of them
// has ended is taken.
#pragma once

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "../core/measure.hpp"
#include "shape.hpp"

namespace bench {

/// Per message: time, and processor time of the whole process.
struct cost {
    double wall_ns = 0;
    double cpu_ns = 0;
};

/// Since its construction.
class stopwatch {
public:
    [[nodiscard]] cost elapsed() const {
        return {now_ns(CLOCK_MONOTONIC) - wall_, now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_};
    }

private:
    const double wall_ = now_ns(CLOCK_MONOTONIC);
    const double cpu_ = now_ns(CLOCK_PROCESS_CPUTIME_ID);
};

/// The messages that threads of one kind have to put or take. Each thread asks for some more when
/// it has done what it had, so the fast ones do more, all is done at the end, and no queue needs to
/// tell that nothing more will come.
class portions {
public:
    explicit portions(std::uint64_t messages) : messages_(messages) {}

    /// The first and the end of the next numbers; nothing is left if they are equal.
    std::pair<std::uint64_t, std::uint64_t> next() {
        constexpr std::uint64_t size = 256;
        const std::uint64_t first = claimed_.fetch_add(size, std::memory_order_relaxed);
        return {std::min(first, messages_), std::min(first + size, messages_)};
    }

    /// Calls body(first, end) for each portion that this thread gets.
    template <class Body>
    void each(Body body) {
        for (auto [first, end] = next(); first != end; std::tie(first, end) = next())
            body(first, end);
    }

private:
    alignas(128) std::atomic<std::uint64_t> claimed_{0};
    const std::uint64_t messages_;
};

/// The sum that consumers must have received: of all numbers below `messages`, twice.
inline void check_sum(std::uint64_t messages, std::uint64_t received) {
    if (received == messages * (messages - 1)) return;
    std::fprintf(stderr, "a message was lost, doubled or torn\n");
    std::exit(1);
}

/// Runs produce(portions) and consume(portions), which returns the sum of what it got, in threads.
/// Each thread calls host(side, body) for that, and is pinned: the first to the first core, the
/// next to the second, the next to the first. Left to itself, the kernel has a producer and its
/// consumer on one core in some runs and on two in others, and the figures of one program differ by
/// a factor of two and more (1p1c-8b-1000 of a mutex: 71 to 164 ns in five runs, pinned 148 to
/// 164).
template <class Host, class Produce, class Consume>
cost run_stretch(const shape& s, std::uint64_t messages, Host host, Produce produce,
                 Consume consume) {
    portions to_put(messages), to_take(messages);
    std::atomic<std::uint64_t> sum{0};
    std::optional<stopwatch> since;
    cost result;
    std::barrier line(static_cast<std::ptrdiff_t>(s.threads()), [&]() noexcept {
        if (since)
            result = since->elapsed();
        else
            since.emplace();
    });
    const cores all;
    const auto work = [&](std::size_t nth) {
        line.arrive_and_wait();
        if (nth < s.producers)
            produce(to_put);
        else
            sum.fetch_add(consume(to_take), std::memory_order_relaxed);
        line.arrive_and_wait();
    };
    std::vector<std::thread> threads;
    for (std::size_t nth = 0; nth < s.threads(); ++nth)
        threads.emplace_back([&, nth] {
            all.pin(static_cast<int>(nth % 2));
            host(nth < s.producers ? side::put : side::take, [&] { work(nth); });
        });
    for (std::thread& t : threads) t.join();
    check_sum(messages, sum);
    return result;
}

inline double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

/// The medians of stretches of stretch(messages), as many as the budget allows. Each is long enough
/// for the kernel to switch between more threads than there are cores; the first is of `messages`.
template <class Stretch>
cost median_cost(Stretch stretch, std::uint64_t messages = 1'024) {
    const double budget = budget_ns();
    while (stretch(messages).wall_ns < budget / 16) messages *= 2;
    std::vector<double> wall, cpu;
    for (double spent = 0; spent < budget; spent += wall.back()) {
        const cost c = stretch(messages);
        wall.push_back(c.wall_ns);
        cpu.push_back(c.cpu_ns);
    }
    const auto per = static_cast<double>(messages);
    return {median(wall) / per, median(cpu) / per};
}

}  // namespace bench
