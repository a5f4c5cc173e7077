// A transfer of a file's bytes, which may block the thread: described here, for the backends.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wire::io::detail {

/// What a system call moves at most.
inline constexpr std::size_t transfer_max = 0x7ffff000;

/// The fields are those of a submission to io_uring.
struct file_call {
    enum class kind : std::uint8_t { read, read_vector, write, write_vector };

    kind what;
    int fd;
    const void* data;      // buffer or iovec array
    std::uint32_t len;     // bytes or elements
    std::uint64_t offset;  // in the file

    /// Makes the call on this thread. Returns its result or -errno.
    [[nodiscard]] std::ptrdiff_t attempt() const noexcept;
};

}  // namespace wire::io::detail
