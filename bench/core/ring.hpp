// The bare loop: a ring of contexts on equal stacks, each of which resumes the next. There is no
// scheduler, queue or state. `Switch` says how a context is made and how it resumes its successor.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "measure.hpp"

namespace bench {

inline constexpr std::size_t stack_size = 64 * 1024;

/// Equal stacks side by side in one mapping, for the life of the process.
class stacks {
public:
    explicit stacks(std::size_t count) {
        const std::size_t size = count * stack_size;
        void* const base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED) {
            std::perror("mmap");
            std::exit(1);
        }
        ::madvise(base, size, MADV_NOHUGEPAGE);
        base_ = static_cast<std::byte*>(base);
    }

    [[nodiscard]] std::byte* top(std::size_t n) const { return base_ + (n + 1) * stack_size; }

private:
    std::byte* base_;
};

/// Static members only: there is one ring in a process, and its contexts are never destroyed.
template <class Switch, int Depth>
class ring {
public:
    using context = typename Switch::context;

    /// Nanoseconds for one switch among `count` contexts.
    static double measure(std::size_t count) {
        const stacks memory(count);
        std::vector<context> all(count);
        for (std::size_t n = 0; n < count; ++n) {
            all[n].next = &all[(n + 1) % count];
            if constexpr (requires { all[n].ahead; }) all[n].ahead = &all[(n + 4) % count];
            Switch::make(all[n], memory.top(n) - Switch::offset(n), n == 0 ? &first : &other);
        }
        main_ = all.front();
        main_.next = all.data();
        Switch::resume_next(main_);
        return result_ / static_cast<double>(count);
    }

private:
    struct turn {
        context& self;
        void operator()() const { Switch::resume_next(self); }
    };

    static void first(context& self) {
        result_ = ns_per_operation([&](std::uint64_t n) { turns<Depth>(turn{self}, n, stop_); });
        self.next = &main_;
        Switch::resume_next(self);
    }

    static void other(context& self) { turns<Depth>(turn{self}, for_ever, stop_); }

    static inline bool stop_ = false;
    static inline context main_;
    static inline double result_ = 0;
};

template <class Switch>
void add_ring_yields(std::vector<bench_case>& cases) {
    add_yields(cases,
               []<int Depth>(std::size_t count) { return ring<Switch, Depth>::measure(count); });
}

}  // namespace bench
