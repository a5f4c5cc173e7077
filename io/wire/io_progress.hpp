// How far a call has come that moves many bytes.
#pragma once

#include <cstddef>
#include <system_error>

namespace wire::io {

/// What a call that moves many bytes, or messages, has done, and why it stopped early if it did.
/// What was moved is never lost, also not at the end of the stream, a deadline or a cancellation.
struct [[nodiscard]] io_progress {
    std::size_t done = 0;  ///< bytes, or messages
    int code = 0;  ///< 0 if all was done, else an errno; ENODATA: the stream or file has ended

    /// Whether all was done.
    explicit operator bool() const noexcept { return code == 0; }
    /// `code` in the system category.
    [[nodiscard]] std::error_code error() const noexcept { return {code, std::system_category()}; }
};

}  // namespace wire::io
