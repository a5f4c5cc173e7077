// Deadlines: absolute points of the steady clock, the last parameter of every call that may block.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>

#include <wire/config.hpp>

namespace wire {

/// A point in time until which a call may block. It can be computed once and handed to several
/// calls, which then share the time.
///
/// A call whose deadline passes fails with ETIMEDOUT (sleep() succeeds). One whose deadline has
/// passed already does what it can do without blocking; so `within(0s)` is a try. Deadlines are
/// not early, and late by what the runtime is busy with.
class deadline {
public:
    /// What ns() returns for `never`.
    static constexpr std::int64_t never_ns = std::numeric_limits<std::int64_t>::max();

    /// Never passes.
    constexpr deadline() noexcept = default;
    /// time_point::max() never passes.
    constexpr deadline(std::chrono::steady_clock::time_point at) noexcept
        : ns_(at == std::chrono::steady_clock::time_point::max()
                  ? never_ns
                  : std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch())
                        .count()) {}

    /// From nanoseconds of std::chrono::steady_clock.
    static constexpr deadline at_ns(std::int64_t ns) noexcept {
        deadline d;
        d.ns_ = ns;
        return d;
    }

    /// Nanoseconds of std::chrono::steady_clock.
    [[nodiscard]] constexpr std::int64_t ns() const noexcept { return ns_; }
    [[nodiscard]] constexpr bool is_never() const noexcept { return ns_ == never_ns; }
    friend constexpr auto operator<=>(deadline, deadline) noexcept = default;

private:
    std::int64_t ns_ = never_ns;
};

/// The deadline that never passes.
inline constexpr deadline never{};

namespace detail {

/// Nanoseconds of the steady clock; of the running runtime's poller if that has a clock of its own.
WIRE_API std::int64_t now_ns() noexcept;
/// now_ns() + delay, saturating. A negative delay is now.
WIRE_API deadline after_ns(std::int64_t delay) noexcept;
inline bool is_past(deadline until) noexcept {
    return !until.is_never() && until.ns() <= now_ns();
}

}  // namespace detail

/// The deadline that passes `delay` from now. Saturates: an enormous delay is `never`, a negative
/// one, or one that is no number, is now. Any thread; in a wire the clock is that of the runtime's
/// poller. Reads it (about 25 ns).
template <class Rep, class Period>
deadline within(std::chrono::duration<Rep, Period> delay) noexcept {
    using nanoseconds = std::chrono::nanoseconds;
    if (std::chrono::duration<double, std::nano>(delay).count() >=
        static_cast<double>(deadline::never_ns))
        return never;
    if (!(delay > delay.zero())) return detail::after_ns(0);  // also NaN
    return detail::after_ns(std::chrono::duration_cast<nanoseconds>(delay).count());
}

}  // namespace wire
