// A call on files, which may block the thread: described here, performed in one place.
#pragma once

#include <fcntl.h>

#include <cstddef>
#include <cstdint>

#include <wire/deadline.hpp>

namespace wire::io::detail {

/// What a system call moves at most.
inline constexpr std::size_t transfer_max = 0x7ffff000;

/// The fields are those of a submission to io_uring, so what they mean for a kind is what
/// io_uring_enter(2) says of its opcode.
struct file_call {
    enum class kind : std::uint8_t {
        open,
        close,
        read,
        read_vector,
        write,
        write_vector,
        statx,
        sync,
        allocate,
        rename,
        unlink
    };

    kind what;
    int fd = AT_FDCWD;         // the file; open, statx, rename, unlink: the folder of a path
    std::uint64_t addr = 0;    // buffer, iovec array or path; allocate: bytes
    std::uint32_t len = 0;     // bytes or elements; open, allocate: mode; statx: mask; rename: the
                               // new folder
    std::uint64_t offset = 0;  // in the file; statx: the result; rename: the new path
    std::uint32_t flags = 0;   // of the call

    /// Makes the call on this thread. Returns its result or -errno.
    [[nodiscard]] std::ptrdiff_t attempt() const noexcept;
};

/// Makes the call without blocking the thread. Returns its result or -errno; with -ECANCELED,
/// -ETIMEDOUT and -ENOMEM it may not have been made. What it points to is not used any more. On a
/// wire.
std::ptrdiff_t perform(const file_call& call, deadline until) noexcept;

}  // namespace wire::io::detail
