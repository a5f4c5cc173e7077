// Counts lines, words and bytes as wc(1) does, with buffers that go round between one thread that
// reads and two that count. No buffer is allocated, copied or freed once it has begun.
//
//     ./buffer_recycling big.txt
//     ./buffer_recycling < big.txt
//
// put_swap() leaves a full buffer in a slot of the pool and gives the reader what was there before:
// one that has been counted. take_swap() does the same for those who count. So the buffers are as
// many as slots and threads, however large the file is, and the last line of the output says how
// often memory was allocated for one. There is no runtime here: a pool works between plain threads,
// too, which sleep while they have to wait.

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <wire/pool.hpp>

namespace {

constexpr std::size_t block_size = 256 * 1024, slots = 4;

// Counts how often it allocates.
std::atomic<std::uint64_t> allocations = 0;

template <class T>
struct counted : std::allocator<T> {
    T* allocate(std::size_t n) {
        ++allocations;
        return std::allocator<T>::allocate(n);
    }
};

struct block {
    std::vector<char, counted<char>> bytes;
    std::size_t used = 0;
    bool within_word = false;  // what comes before it ends in the middle of a word
};

struct counts {
    std::uint64_t lines = 0, words = 0, bytes = 0, blocks = 0;

    void add(const counts& other) {
        lines += other.lines;
        words += other.words;
        bytes += other.bytes;
        blocks += other.blocks;
    }
};

bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void count(const block& b, counts& sum) {
    bool within_word = b.within_word;
    for (std::size_t i = 0; i < b.used; ++i) {
        sum.lines += b.bytes[i] == '\n';
        const bool blank = is_blank(b.bytes[i]);
        sum.words += !blank && !within_word;
        within_word = !blank;
    }
    sum.bytes += b.used;
    ++sum.blocks;
}

// What one of those who count has.
struct counter {
    block mine;
    counts sum;

    void count_all(wire::pool<block>& from) {
        while (from.take_swap(mine)) count(mine, sum);  // until it is closed and empty
    }
};

// Returns 0 at the end of the file, or the errno of read(2).
int read_all(int file, wire::pool<block>& to, block& mine) {
    bool within_word = false;
    for (;;) {
        const ssize_t n = ::read(file, mine.bytes.data(), mine.bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? errno : 0;
        mine.used = static_cast<std::size_t>(n);
        mine.within_word = std::exchange(within_word, !is_blank(mine.bytes[mine.used - 1]));
        if (!to.put_swap(mine)) return 0;
    }
}

struct closing {
    wire::pool<block>& pool;
    ~closing() { pool.close(); }
};

int print(const counts& sum, std::uint64_t before, std::uint64_t after) {
    const auto number = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
    std::printf("%llu lines, %llu words, %llu bytes\n", number(sum.lines), number(sum.words),
                number(sum.bytes));
    std::printf("%llu blocks; buffers allocated: %llu before the first, %llu after it\n",
                number(sum.blocks), number(before), number(after));
    if (!std::ferror(stdout) && std::fflush(stdout) == 0) return 0;
    std::fprintf(stderr, "buffer_recycling: write standard output: %s\n",
                 std::generic_category().message(errno).c_str());
    return 1;
}

// Returns 0, or the errno of a read(2) that has failed.
int run(int file, counts& sum, std::uint64_t& allocated) {
    wire::pool<block> blocks(slots, {.producers = 1});
    block mine;
    std::array<counter, 2> counters;
    const auto allocate = [](block& b) { b.bytes.resize(block_size); };
    blocks.for_each([&](block& b, std::size_t) { allocate(b); });
    allocate(mine);
    for (counter& c : counters) allocate(c.mine);
    allocated = allocations;

    int error = 0;
    {
        std::array<std::jthread, counters.size()> threads;
        const closing at_the_end{blocks};  // before they are joined, whatever happens
        for (std::size_t i = 0; i < threads.size(); ++i)
            threads[i] = std::jthread([&blocks, &c = counters[i]] { c.count_all(blocks); });
        error = read_all(file, blocks, mine);
    }
    for (const counter& c : counters) sum.add(c.sum);
    return error;
}

int fail(const char* call, const char* file, const char* reason) {
    std::fprintf(stderr, "buffer_recycling: %s %s: %s\n", call, file, reason);
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 2) {
        std::fprintf(stderr, "buffer_recycling: takes one file, or reads its standard input\n");
        return 1;
    }
    const char* const name = argc > 1 ? argv[1] : "standard input";
    const int file = argc > 1 ? ::open(name, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (file < 0) return fail("open", name, std::generic_category().message(errno).c_str());
    counts sum;
    std::uint64_t allocated = 0;
    try {
        if (const int error = run(file, sum, allocated))
            return fail("read", name, std::generic_category().message(error).c_str());
    } catch (const std::exception& e) {
        return fail("prepare to read", name, e.what());
    }
    return print(sum, allocated, allocations - allocated);
}
