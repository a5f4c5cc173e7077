// How long to leave the other side alone before one looks again.
//
// Who looks for every single message as it comes takes the cache lines with the count and the slots
// from the other side each time, and both go at the pace of that traffic: several times slower than
// if one looks seldom and finds many. But who waits for an answer wants to see it at once. Which of
// the two it is shows in how many slots there are after a wait: one, or several. Now and then a
// longer pause tries whether there would be more.
//
// And who has just slept for long will do so again, as a rule: looking again would only cost its
// core, and its turn on it.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>

namespace wire::detail {

/// Of one side of an exchange. Its numbers are hints, on which nothing else depends: threads may
/// overwrite one another's, and no explorer needs to see them.
class pace {
public:
    /// In a pause the other side is to use a quarter of the slots at most.
    explicit pace(std::uint32_t slots) noexcept
        : longest_(std::min(static_cast<std::uint32_t>(std::bit_width(slots / 4)), longest_ever)) {}

    /// A wait begins. Returns the length of its first pause, as a power of two of spins.
    unsigned begin() noexcept {
        // relaxed: hints.
        const std::uint32_t n = waits_.load(std::memory_order_relaxed) + 1;
        waits_.store(n, std::memory_order_relaxed);
        return n % trial_every == 0 ? longest_ : length_.load(std::memory_order_relaxed);
    }
    /// It has ended without a sleep, and `found` slots were there.
    void note_find(std::uint32_t found) noexcept {
        const std::uint32_t now = length_.load(std::memory_order_relaxed);
        if (found >= several)
            length_.store(std::min(now + 1, longest_), std::memory_order_relaxed);
        else if (found <= 1 && now > 0)
            length_.store(now - 1, std::memory_order_relaxed);
    }

    /// It has ended after a sleep of `ns`: a long one, for which patience came too late, or a short
    /// one that `found` something, which patience would have done.
    void note_sleep(std::int64_t ns, bool found) noexcept {
        if (ns > long_sleep_ns)
            hopeful_.store(false, std::memory_order_relaxed);
        else if (found && ns < short_sleep_ns)
            hopeful_.store(true, std::memory_order_relaxed);
    }
    /// Whether it is worth while to look again for long before one sleeps.
    [[nodiscard]] bool hopeful() const noexcept { return hopeful_.load(std::memory_order_relaxed); }

private:
    static constexpr std::int64_t short_sleep_ns = 20'000;
    static constexpr std::int64_t long_sleep_ns = 100'000;
    static constexpr std::uint32_t longest_ever = 6;
    static constexpr std::uint32_t several = 4;
    static constexpr std::uint32_t trial_every = 32;

    const std::uint32_t longest_;
    std::atomic<std::uint32_t> length_{0};
    std::atomic<std::uint32_t> waits_{0};
    std::atomic<bool> hopeful_{true};
};

}  // namespace wire::detail
