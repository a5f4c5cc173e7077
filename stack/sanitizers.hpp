// Which sanitizers the library is built with: WIRE_ASAN and WIRE_TSAN, and their interfaces.
#pragma once

#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WIRE_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WIRE_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WIRE_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define WIRE_TSAN 1
#endif

#if WIRE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if WIRE_TSAN
#include <sanitizer/tsan_interface.h>
#endif

// For functions that a flow leaves by jumping away for good. ThreadSanitizer notes each call of a
// flow until it returns, and has room for 65,536.
#if WIRE_TSAN && defined(__clang__)
#define WIRE_LEFT_BY_JUMP __attribute__((disable_sanitizer_instrumentation))
#elif WIRE_TSAN
#define WIRE_LEFT_BY_JUMP __attribute__((no_sanitize("thread")))
#else
#define WIRE_LEFT_BY_JUMP
#endif

namespace wire::detail {

/// Whatever frames ended flows have left on [lowest, top), the memory is free to be used again.
inline void forget_frames([[maybe_unused]] std::byte* lowest,
                          [[maybe_unused]] std::byte* top) noexcept {
#if WIRE_ASAN
    __asan_unpoison_memory_region(lowest, static_cast<std::size_t>(top - lowest));
#endif
}

/// Memory goes from one thread to another through the kernel, which ThreadSanitizer does not see:
/// what came before lend() on the one came before borrow() on the other. `way` names the way.
inline void lend([[maybe_unused]] void* way) noexcept {
#if WIRE_TSAN
    __tsan_release(way);
#endif
}
inline void borrow([[maybe_unused]] void* way) noexcept {
#if WIRE_TSAN
    __tsan_acquire(way);
#endif
}

}  // namespace wire::detail
