// The shim below every system call of the library, so that tests can make any of them fail.
#pragma once

#include <atomic>
#include <cerrno>
#include <utility>

namespace wire::detail::sys {

/// Asked before each system call with its name; a positive answer is the errno with which the call
/// fails without being made. Only tests install one.
using fault_hook = int (*)(const char* call) noexcept;

// relaxed throughout: tests install it before they start threads.
inline constinit std::atomic<fault_hook> hook{nullptr};

/// Makes the system call `fn()`, or fails with -1 and the errno that the test hook asks for.
template <class Fn>
auto call(const char* name, Fn&& fn) noexcept -> decltype(fn()) {
    if (const fault_hook h = hook.load(std::memory_order_relaxed)) [[unlikely]] {
        if (const int error = h(name)) {
            errno = error;
            return -1;
        }
    }
    return std::forward<Fn>(fn)();
}

}  // namespace wire::detail::sys
