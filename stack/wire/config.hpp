// What every header of the library needs: symbol visibility, the geometry of a cache, and what it
// takes to stay in one place.
#pragma once

#include <cstddef>

/// Marks what the shared library exports. Everything else stays hidden.
#define WIRE_API __attribute__((visibility("default")))

namespace wire {

/// The unit in which cores exchange memory. Two lines are fetched as a pair by the prefetcher of
/// current x86 parts, so data of different threads is kept that far apart.
inline constexpr std::size_t cache_line = 64;
inline constexpr std::size_t cache_line_pair = 128;

namespace detail {

/// A base of what can be neither copied nor moved.
struct immovable {
    immovable() = default;
    immovable(const immovable&) = delete;
    immovable& operator=(const immovable&) = delete;
};

}  // namespace detail
}  // namespace wire
