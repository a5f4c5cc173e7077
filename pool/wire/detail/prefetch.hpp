// Fetching cache lines ahead of their use.
//
// Slots are used in the order in which they lie in memory, as long as nobody keeps one, and the
// lines of those that come next are with the other side's core. A store to such a line waits for it
// in the store buffer, which soon is full of the stores behind it; a load holds up what is computed
// from it. Fetched some slots before, they come meanwhile: a message of 8 bytes then takes half the
// time.
#pragma once

#include <algorithm>
#include <cstddef>

#include <wire/config.hpp>

namespace wire::detail {

enum class access : bool { read, write };

/// Fetches the line that `at` lies in.
template <access For>
[[gnu::always_inline]] inline void prefetch(const void* at) noexcept {
#ifdef __x86_64__
    // The built-in would fetch a line to read it, without an option for newer processors; those
    // that do not know this one ignore it.
    if constexpr (For == access::write)
        asm volatile("prefetchw (%0)" : : "r"(at));
    else
#endif
        __builtin_prefetch(at, For == access::write);
}

/// Fetches what lies eight lines behind the `size` bytes at `here`, four lines at most; nothing
/// unless that is among the `more` slots that the side may use now: the others are in use.
template <access For>
[[gnu::always_inline]] inline void prefetch_ahead(const void* here, std::size_t size,
                                                  std::size_t more) noexcept {
    constexpr std::size_t ahead = 8 * cache_line;
    if (more * size < ahead) return;
    const char* const begin = static_cast<const char*>(here) + ahead;
    for (std::size_t n = 0; n < std::min(size, 4 * cache_line); n += cache_line)
        prefetch<For>(begin + n);
}

}  // namespace wire::detail
