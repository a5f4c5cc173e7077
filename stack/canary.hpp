// The canary of a stack in the caller's memory: a pattern at its low end that a wire which uses all
// of its stack overwrites. It stands in for the guard, which needs memory of its own and pages.
#pragma once

#include <wire/stack.hpp>

namespace wire::detail {

inline constexpr std::size_t canary_size = 64;

void write_canary(const stack& s) noexcept;

/// Whether it is as it was written. Reads one cache line.
[[nodiscard]] bool canary_intact(const stack& s) noexcept;

}  // namespace wire::detail
