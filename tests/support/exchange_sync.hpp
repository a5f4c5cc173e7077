// What pools and bridges take from the system, with the explorer of interleavings in its place:
// every thread has its number as its seat, nobody looks again before it sleeps, and biases move
// after few uses.
#pragma once

#include <wire/deadline.hpp>
#include <wire/detail/list.hpp>
#include <wire/waiting.hpp>

#include <cerrno>
#include <cstdint>

#include "interleave.hpp"

namespace interleave {

/// A plain thread's place, as wire::detail::place. Whatever touches it after its sleeper has gone
/// on, or without an order, fails the execution.
template <class Word>
class sleeping_place : public wire::detail::link {
public:
    sleeping_place() = default;
    ~sleeping_place() { of_sleeper_.retire(); }
    sleeping_place(const sleeping_place&) = delete;
    sleeping_place& operator=(const sleeping_place&) = delete;

    /// Rung when the place may be gone: it knows where that was, and nothing else.
    struct bell {
        Word* word;
        [[nodiscard]] bool ring() const {
            sync::futex_wake(*word, 1);
            return true;
        }
    };

    void reset() {
        of_sleeper_.set(true);
        signalled_.store(0, std::memory_order_relaxed);
    }
    [[nodiscard]] bell signal() {
        check(of_sleeper_.get(), "who is signalled waits");
        // [N] release: what the signal is about. Pairs with [N'].
        signalled_.store(1, std::memory_order_release);
        return {&signalled_};
    }
    int sleep(wire::deadline until) {
        // [N'] acquire: as [N]. Pairs with [N].
        while (signalled_.load(std::memory_order_acquire) == 0) {
            if (!until.is_never() && sync::now() >= until.ns()) return ETIMEDOUT;
            sync::futex_wait(signalled_, 0, until);
        }
        return 0;
    }
    void settle() {}

private:
    Word signalled_{0};
    tracked<bool> of_sleeper_{false};  // stands for what its sleeper writes and a signal reads
};

/// The policy, with membarrier(2) or without it.
template <bool HeavyFence = true, std::uint32_t UsesUntilBias = 0>
struct exchange_sync : sync {
    using place = sleeping_place<word>;

    struct patience {
        patience(wire::waiting, wire::deadline, unsigned, bool) {}
        static bool looks_again() { return false; }
    };

    static constexpr std::uint32_t uses_until_bias = UsesUntilBias;

    static constexpr bool has_heavy_fence() { return HeavyFence; }
    static void heavy_fence() {
        if (HeavyFence) sync::heavy_fence();
    }
    static std::uint32_t seat() { return static_cast<std::uint32_t>(detail::current->running()); }
    static void relax(unsigned) { pause(); }
    static int begin_call() { return 0; }
    static bool is_past(wire::deadline) { return false; }
    static std::int64_t real_ns() { return 0; }
    /// A new execution.
    static void begin() {}
};

using with_fence = exchange_sync<true>;
using without_fence = exchange_sync<false>;

}  // namespace interleave
