// An alarm, armed in a runtime's timer wheel.
#pragma once

#include <cstdint>

#include <wire/detail/list.hpp>

namespace wire::detail {

/// One alarm. Lives in the frame or object that arms it and must not move while armed.
struct timer : link {
    using callback = void (*)(timer&) noexcept;
    explicit timer(callback f) noexcept : fire(f) {}

    [[nodiscard]] bool armed() const noexcept { return linked(); }

    // Called by expire(), with the timer disarmed. What it arms for a time that has passed fires in
    // the same expire().
    callback fire;
    std::int64_t at = 0;
};

}  // namespace wire::detail
