// A seal on the stack of a wire that has ended: a pattern over all that was used of it. Whoever
// writes there before the next wire does, a system call that still has a buffer on it or another
// thread, damages it. In builds with debug information and without sanitizers.
#pragma once

#include <wire/stack.hpp>

namespace wire::detail {

/// Seals what lies between the lowest byte used and `limit`, 64 KiB at most; high_water() stays as
/// it was. Returns where the seal begins; nullptr where nothing is sealed, as under Valgrind, which
/// would take the pattern for initialised memory.
[[nodiscard]] std::byte* seal(const stack& s, std::byte* limit) noexcept;

/// Asserts that nobody has written between `from` and `limit` since seal().
void check_seal(const std::byte* from, const std::byte* limit) noexcept;

}  // namespace wire::detail
