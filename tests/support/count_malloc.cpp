#include "count_malloc.hpp"

#include <atomic>
#include <cerrno>

#include "environment.hpp"

// The C library's own functions under the names that stay free when a program defines malloc.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace wire::test {
namespace {

// relaxed: counters that order nothing.
constinit std::atomic<std::size_t> count{0};
constinit std::atomic<long> until_failure{0};

[[maybe_unused]] bool fails() noexcept {
    count.fetch_add(1, std::memory_order_relaxed);
    if (until_failure.load(std::memory_order_relaxed) == 0) return false;
    if (until_failure.fetch_sub(1, std::memory_order_relaxed) != 1) return false;
    errno = ENOMEM;
    return true;
}

}  // namespace

bool counts_allocations() noexcept {
    return !under_asan && !under_tsan && !under_valgrind();
}
std::size_t allocations() noexcept {
    return count.load(std::memory_order_relaxed);
}
void fail_allocation(long nth) noexcept {
    until_failure.store(nth, std::memory_order_relaxed);
}

}  // namespace wire::test

#if !WIRE_TEST_ASAN && !WIRE_TEST_TSAN

// operator new of the standard library calls these.
extern "C" {

void* malloc(std::size_t size) noexcept {
    return wire::test::fails() ? nullptr : __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) noexcept {
    return wire::test::fails() ? nullptr : __libc_calloc(n, size);
}
void* realloc(void* old, std::size_t size) noexcept {
    return wire::test::fails() ? nullptr : __libc_realloc(old, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    return wire::test::fails() ? nullptr : __libc_memalign(alignment, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
    return wire::test::fails() ? nullptr : __libc_memalign(alignment, size);
}
int posix_memalign(void** out, std::size_t alignment, std::size_t size) noexcept {
    if (wire::test::fails()) return ENOMEM;
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

}  // extern "C"
#endif
