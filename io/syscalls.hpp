// The system calls of the io layer: through the shim, repeated after EINTR, errors as -errno.
#pragma once

#include <cerrno>
#include <cstddef>

#include "sys.hpp"

namespace wire::io::detail {

/// Makes the call until no signal interrupts it. Returns its result, or -errno.
template <class Fn>
std::ptrdiff_t invoke(const char* name, Fn&& fn) noexcept {
    for (;;) {
        const std::ptrdiff_t n = wire::detail::sys::call(name, fn);
        if (n >= 0) return n;
        if (errno != EINTR) return -errno;
    }
}

}  // namespace wire::io::detail
