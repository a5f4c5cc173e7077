// Counts what a binary takes from the heap, and can make the heap run dry. Link count_malloc.cpp.
#pragma once

#include <cstddef>

namespace wire::test {

/// Whether allocations are counted: not under sanitizers and valgrind, which have a heap of theirs.
bool counts_allocations() noexcept;

/// Calls of malloc, calloc, realloc, aligned_alloc and operator new so far, in all threads.
std::size_t allocations() noexcept;

/// Lets the `nth` allocation from now on (1 is the next) fail, once. 0: none.
void fail_allocation(long nth) noexcept;

/// Allocations since it was made.
class allocation_count {
public:
    [[nodiscard]] std::size_t value() const noexcept { return allocations() - before_; }

private:
    std::size_t before_ = allocations();
};

}  // namespace wire::test
