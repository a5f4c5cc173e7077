// The results of calls that move bytes.
#pragma once

#include <cerrno>
#include <cstddef>

#include <wire/io_progress.hpp>
#include <wire/result.hpp>

namespace wire::io::detail {

/// Success, or the failure that a negative result of invoke() stands for.
inline result<void> outcome(std::ptrdiff_t n) noexcept {
    return to_result(n < 0 ? static_cast<int>(-n) : 0);
}

/// The bytes that a call has moved, or the failure that a negative number stands for.
inline result<std::size_t> to_size(std::ptrdiff_t n) noexcept {
    if (n < 0) return failure{static_cast<int>(0 - n)};  // clang-tidy cannot follow -n
    return static_cast<std::size_t>(n);
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
