// The system calls of the io layer: through the shim, repeated after EINTR, errors as -errno; and
// what their callers make of the results.
#pragma once

#include <cerrno>
#include <cstddef>

#include <wire/io_progress.hpp>
#include <wire/result.hpp>
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

/// The failure that a negative result stands for.
inline failure failed(std::ptrdiff_t n) noexcept {
    return {static_cast<int>(0 - n)};  // clang-tidy cannot follow -n
}

/// Success, or the failure that a negative result stands for.
inline result<void> outcome(std::ptrdiff_t n) noexcept {
    if (n < 0) return failed(n);
    return {};
}

/// The bytes that a call has moved, or the failure that a negative number stands for.
inline result<std::size_t> to_size(std::ptrdiff_t n) noexcept {
    if (n < 0) return failed(n);
    return static_cast<std::size_t>(n);
}

/// What `next` makes of a value; or the failure that is there instead of one.
template <class T, class Next>
auto and_then(result<T> first, Next next) -> decltype(next(*first)) {
    if (!first) return failure{first.code()};
    return next(*first);
}

/// Calls `move(done)`, which moves some bytes more or none at the end of the stream, until at least
/// `least` are moved.
template <class Move>
io_progress move_all(std::size_t least, Move move) noexcept {
    io_progress progress;
    while (progress.done < least) {
        const result<std::size_t> n = move(progress.done);
        if (!n || *n == 0) {
            progress.code = n ? ENODATA : n.code();
            break;
        }
        progress.done += *n;
    }
    return progress;
}

}  // namespace wire::io::detail
