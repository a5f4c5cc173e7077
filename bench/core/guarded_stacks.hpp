// What fresh stacks cost at least: memory for many of them is mapped and guarded as the library
// does it, and one page of each is touched.
#pragma once

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "many.hpp"

namespace bench {

class guarded_stacks {
public:
    explicit guarded_stacks(std::size_t count)
        : count_(count),
          self_(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0))),
          base_(map(count * pitch + guard_size)) {}
    ~guarded_stacks() { ::close(self_); }
    guarded_stacks(const guarded_stacks&) = delete;
    guarded_stacks& operator=(const guarded_stacks&) = delete;

    /// Guards all and touches the topmost page of each, batch by batch.
    void touch() const {
        for (std::size_t first = 0; first < count_; first += batch) {
            const std::size_t last = std::min(first + batch, count_);
            guard(first, last);
            for (std::size_t n = first; n < last; ++n)
                *(base_ + (n + 1) * pitch - 1) = std::byte{1};
        }
    }

private:
    static constexpr std::size_t guard_size = 16 * 1024;
    static constexpr std::size_t pitch = guard_size + 64 * 1024;
    static constexpr std::size_t batch = 512;
    static constexpr int madv_guard_install = 102;

    static std::byte* map(std::size_t size) {
        void* const base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (base == MAP_FAILED) fail("mmap");
        ::madvise(base, size, MADV_NOHUGEPAGE);
        return static_cast<std::byte*>(base);
    }

    void guard(std::size_t first, std::size_t last) const {
        std::array<iovec, batch> guards;
        for (std::size_t n = first; n < last; ++n)
            guards[n - first] = {base_ + n * pitch, guard_size};
        const auto all = static_cast<long>((last - first) * guard_size);
        if (::syscall(SYS_process_madvise, self_, guards.data(), last - first, madv_guard_install,
                      0) == all)
            return;
        for (std::size_t n = first; n < last; ++n)  // a kernel before 6.13
            if (::mprotect(base_ + n * pitch, guard_size, PROT_NONE) != 0) fail("mprotect");
    }

    [[noreturn]] static void fail(const char* call) {
        std::perror(call);
        std::exit(1);
    }

    const std::size_t count_;
    const int self_;
    std::byte* const base_;
};

inline figures touch_stacks(std::size_t count) {
    cost_of_each cost(count);
    guarded_stacks(count).touch();
    cost.made();
    return cost.get();
}

}  // namespace bench
