// What the test runs under. Some checks make no sense there, and say so when they are left out.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WIRE_TEST_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WIRE_TEST_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WIRE_TEST_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define WIRE_TEST_TSAN 1
#endif
#if WIRE_TEST_ASAN
#include <sanitizer/lsan_interface.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif

/// Ends a test case, visibly, where it cannot work.
#define WIRE_LEAVE_OUT_IF(condition, why) \
    do {                                  \
        if (condition) {                  \
            MESSAGE("left out: " why);    \
            return;                       \
        }                                 \
    } while (false)

namespace wire::test {

#if WIRE_TEST_ASAN
inline constexpr bool under_asan = true;
/// What this thread allocates while it lives may leak.
using leaks_ignored = __lsan::ScopedDisabler;
#else
inline constexpr bool under_asan = false;
struct leaks_ignored {};
#endif
#if WIRE_TEST_TSAN
inline constexpr bool under_tsan = true;
#else
inline constexpr bool under_tsan = false;
#endif

inline bool under_valgrind() noexcept {
#ifdef RUNNING_ON_VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}

/// Called before a fault that the test wants: Valgrind would count it as an error of the program
/// and replace the exit code by its own.
inline void fault_on_purpose() noexcept {
#ifdef VALGRIND_DISABLE_ERROR_REPORTING
    VALGRIND_DISABLE_ERROR_REPORTING;
#endif
}

}  // namespace wire::test
