// What the programs of the suite `file` share: the places to read from, timing, the command line.
//
//     PROGRAM CASE FILE       prints names and values
//
// FILE has `pages_cached` pages at least, or `pages_direct`. BENCH_MS is the time to measure for.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/measure.hpp"

namespace bench {

constexpr std::size_t page_size = 4096;
constexpr std::size_t pages_cached = 1024;
constexpr std::size_t pages_direct = 16384;
constexpr std::size_t depth = 32;  // reads under way at a time

[[noreturn]] inline void fail(const char* what, int error) {
    errno = error;
    std::perror(what);
    std::exit(1);
}

/// What is read in a case.
struct reads {
    const char* path;
    bool direct;

    [[nodiscard]] int flags() const { return direct ? O_RDONLY | O_DIRECT : O_RDONLY; }
    [[nodiscard]] std::size_t pages() const { return direct ? pages_direct : pages_cached; }
};

/// Random places of pages. Equal in all programs.
class places {
public:
    explicit places(const reads& what, std::uint64_t seed = 1)
        : mask_(what.pages() - 1), state_(seed * 0x9e3779b97f4a7c15) {}

    std::uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return (state_ >> 20 & mask_) * page_size;
    }

private:
    std::uint64_t mask_, state_;
};

/// A buffer that O_DIRECT takes for each read under way.
class buffers {
public:
    buffers() : bytes_(static_cast<std::byte*>(std::aligned_alloc(page_size, depth * page_size))) {
        if (!bytes_) fail("aligned_alloc", ENOMEM);
    }
    ~buffers() { std::free(bytes_); }
    buffers(const buffers&) = delete;
    buffers& operator=(const buffers&) = delete;

    std::byte* operator[](std::size_t i) { return bytes_ + i * page_size; }

private:
    std::byte* bytes_;
};

/// Per operation: processor time of all threads, and time.
struct cost {
    double cpu_ns, wall_ns;
};

/// The medians of stretches of body(n), which makes n times `operations` operations.
template <class Body>
cost cost_of(std::size_t operations, Body body) {
    std::vector<double> cpu;
    std::uint64_t calibrated = 0;
    const double wall = median_ns(CLOCK_MONOTONIC, 63, [&](std::uint64_t n) {
        const double start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
        body(n);
        if (std::exchange(calibrated, n) != n) cpu.clear();
        cpu.push_back((now_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / static_cast<double>(n));
    });
    const auto middle = cpu.begin() + static_cast<std::ptrdiff_t>(cpu.size() / 2);
    std::nth_element(cpu.begin(), middle, cpu.end());
    const auto per = static_cast<double>(operations);
    return {*middle / per, wall / per};
}

/// The functions of a program: `read(const reads&)` and `call()` return a cost.
template <class Read, class Call>
cost run_case(int argc, char** argv, Read read, Call call) {
    const std::string_view wanted = argc > 1 ? argv[1] : "";
    if (wanted == "fstat-offload") return call();
    if (argc > 2 && wanted == "pread-4k-cached") return read(reads{argv[2], false});
    if (argc > 2 && wanted == "pread-4k-direct") return read(reads{argv[2], true});
    std::fprintf(stderr, "usage: %s pread-4k-cached|pread-4k-direct|fstat-offload FILE\n", argv[0]);
    std::exit(2);
}

inline void print(const cost& c, std::string_view backend) {
    std::printf("cpu_ns %.1f wall_ns %.1f backend %.*s\n", c.cpu_ns, c.wall_ns,
                static_cast<int>(backend.size()), backend.data());
}

}  // namespace bench
