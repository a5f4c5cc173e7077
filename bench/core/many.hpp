// Many at once: what the cases live-N and sleepers-N have in common.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "measure.hpp"
#include "timers.hpp"

namespace bench {

inline constexpr std::size_t sleepers = 100'000;

/// Bytes of the process that are in memory.
inline double resident_bytes() {
    long pages = 0;
    std::FILE* const file = std::fopen("/proc/self/statm", "r");
    if (!file || std::fscanf(file, "%*d %ld", &pages) != 1) {
        std::perror("/proc/self/statm");
        std::exit(1);
    }
    std::fclose(file);
    return static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

/// What each of `count` costs that exist from made() on: everything since construction.
class cost_of_each {
public:
    explicit cost_of_each(std::size_t count) : count_(static_cast<double>(count)) {}

    void made() {
        result_.ns = (now_ns(CLOCK_THREAD_CPUTIME_ID) - begin_) / count_;
        result_.rss_bytes = (resident_bytes() - resident_) / count_;
    }
    [[nodiscard]] figures get() const { return result_; }

private:
    const double count_;
    const double resident_ = resident_bytes();
    const double begin_ = now_ns(CLOCK_THREAD_CPUTIME_ID);
    figures result_{0};
};

/// Sleeps of random length, over and over. Those who sleep call length_us() for each sleep until
/// stopped(); the one who measures calls measure().
class sleeping {
public:
    /// 1 to 100 ms.
    int length_us() {
        ++slept_;
        return 1'000 + static_cast<int>(random_.next() % 99'001);
    }
    [[nodiscard]] bool stopped() const { return stop_; }

    /// Processor time of the process per sleep, over twice the budget. `pause(ms)` is a sleep. In
    /// the first 200 ms everybody has slept at least once.
    template <class Pause>
    double measure(Pause pause) {
        pause(200);
        const std::uint64_t before = slept_;
        const double begin = now_ns(CLOCK_PROCESS_CPUTIME_ID);
        pause(static_cast<int>(2 * budget_ns() / 1e6));
        const double spent = now_ns(CLOCK_PROCESS_CPUTIME_ID) - begin;
        const std::uint64_t sleeps = slept_ - before;
        stop_ = true;
        return spent / static_cast<double>(sleeps);
    }

private:
    random_numbers random_;
    std::uint64_t slept_ = 0;
    bool stop_ = false;
};

}  // namespace bench
