// How one side of a ring sleeps until the other has something for it, in memory that both share.
//
// Whoever waits and whoever brings each store something, then look at what the other stores:
//
//     sleeper                                 bringer
//     1. state_ = asleep                      1. brings it
//     2. heavy fence                          2. light fence
//     3. looks whether it is there; if not:   3. state_ == asleep: rings, then changes it to awake
//        sleeps until the bell is rung
//
// The heavy fence is membarrier(2) for all processes that have asked for it, so the bringer, who
// does this for each record, needs only a compiler's. A bringer whose process could not ask makes a
// full fence instead. A sleeper that cannot call membarrier says so in the state, and all bringers
// make a full fence.
//
// So there is one system call for each sleep, or one for each of those who bring something at the
// same time. A bringer may be killed or stopped before any of its steps: before it has rung the
// state still says asleep, and the next one rings; afterwards the sleeper is awake. The state holds
// the bell's count as the sleeper has seen it. So whoever changes it late does not change that of
// another sleep.
//
// A bringer that is killed before step 3 has told nobody. So the sleeper must hear of the death of
// bringers, and then look again. A hostile process may write `awake` at any time: so nobody sleeps
// for longer than sleep_at_most_ns without looking again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <wire/config.hpp>

namespace wire::shm::detail {

inline constexpr std::int64_t sleep_at_most_ns = 1'000'000'000;

/// One sleeper, any number of bringers.
template <class Sync>
class basic_doorbell {
    using word = typename Sync::word;

public:
    /// The sleeper, before all else and whenever it is awake again. `heavy_fence`: it can make one.
    void reset(bool heavy_fence) noexcept {
        // relaxed: only the fences below order it.
        state_.store(heavy_fence ? awake : awake | needs_fence, std::memory_order_relaxed);
    }

    /// The sleeper is about to sleep, and must look again; then reset() ends it. Returns what the
    /// bell holds until it is rung.
    std::uint32_t prepare(bool heavy_fence) noexcept {
        // [B'] acquire: what was brought with earlier rings. Pairs with [B].
        const std::uint32_t rung = bell_.load(std::memory_order_acquire);
        const std::uint32_t kept = heavy_fence ? 0 : needs_fence;
        state_.store(rung << count_shift | asleep | kept, std::memory_order_relaxed);
        if (heavy_fence)
            Sync::heavy_fence();
        else
            Sync::full_fence();
        return rung;
    }
    /// The futex to sleep on, while it holds what prepare() returned.
    word& bell() noexcept { return bell_; }

    /// A bringer has brought something. `fence`: its process has not asked for heavy fences.
    [[gnu::always_inline]] void tell(bool fence) noexcept {
        if (fence)
            Sync::full_fence();
        else
            Sync::light_fence();
        if (state_.load(std::memory_order_relaxed) != awake) [[unlikely]]
            ring_if_asleep();
    }
    /// Wakes the sleeper in any case.
    void ring() noexcept {
        // [B] release: what was brought. Pairs with [B'].
        bell_.fetch_add(1, std::memory_order_release);
        Sync::futex_wake(bell_);
    }

    /// For who looks on: whether it sleeps, or is about to.
    [[nodiscard]] bool sleeps() const noexcept {
        return (state_.load(std::memory_order_relaxed) & asleep) != 0;
    }
    /// Where the two words lie, for docs/shm-format.md.
    static constexpr bool has_layout(std::size_t state_at, std::size_t bell_at) noexcept {
        return offsetof(basic_doorbell, state_) == state_at &&
               offsetof(basic_doorbell, bell_) == bell_at;
    }

private:
    static constexpr std::uint32_t awake = 0;
    static constexpr std::uint32_t asleep = 1;
    static constexpr std::uint32_t needs_fence = 2;
    static constexpr unsigned count_shift = 2;

    [[gnu::cold, gnu::noinline]] void ring_if_asleep() noexcept {
        std::uint32_t state = state_.load(std::memory_order_relaxed);
        if ((state & needs_fence) != 0) {
            Sync::full_fence();
            state = state_.load(std::memory_order_relaxed);
        }
        if ((state & asleep) == 0) return;
        ring();
        // relaxed: it spares others the call, and orders nothing.
        state_.compare_exchange_strong(state, state & needs_fence, std::memory_order_relaxed,
                                       std::memory_order_relaxed);
    }

    word state_;
    word bell_;
};

}  // namespace wire::shm::detail
