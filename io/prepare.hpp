// Operations as submissions to an io_uring.
#pragma once

#include <liburing.h>

#include <algorithm>
#include <cstddef>

#include "file_call.hpp"
#include "operation.hpp"

namespace wire::io::detail {

/// Whether the kernel makes it as a whole, waiting included; otherwise it is polled for.
inline bool is_native(const operation& op) noexcept {
    switch (op.what) {
        case operation::kind::receive:
        case operation::kind::receive_vector:
        case operation::kind::send:
        case operation::kind::send_vector:
            return true;
        default:
            return false;
    }
}

/// What the shim calls it.
inline const char* name_of(const operation& op) noexcept {
    switch (op.what) {
        case operation::kind::receive:
            return "recv";
        case operation::kind::receive_vector:
            return "recvmsg";
        case operation::kind::send:
            return "send";
        default:
            return "sendmsg";
    }
}

/// Fills `sqe` for a native operation. `message` must live as long as the operation does.
/// `poll_first`: an attempt has failed, so the kernel need not begin with another (Linux 5.19).
inline void prepare(io_uring_sqe& sqe, int fd, const operation& op, msghdr& message,
                    bool poll_first) noexcept {
    const std::size_t size = std::min<std::size_t>(op.size, transfer_max);
    message.msg_iov = static_cast<iovec*>(op.data);
    message.msg_iovlen = op.size;
    switch (op.what) {
        case operation::kind::receive:
            ::io_uring_prep_recv(&sqe, fd, op.data, size, 0);
            break;
        case operation::kind::receive_vector:
            ::io_uring_prep_recvmsg(&sqe, fd, &message, 0);
            break;
        case operation::kind::send:
            ::io_uring_prep_send(&sqe, fd, op.data, size, MSG_NOSIGNAL);
            break;
        default:
            ::io_uring_prep_sendmsg(&sqe, fd, &message, MSG_NOSIGNAL);
            break;
    }
    if (poll_first) sqe.ioprio |= IORING_RECVSEND_POLL_FIRST;
}

inline int opcode_of(const file_call& call) noexcept {
    switch (call.what) {
        case file_call::kind::read:
            return IORING_OP_READ;
        case file_call::kind::read_vector:
            return IORING_OP_READV;
        case file_call::kind::write:
            return IORING_OP_WRITE;
        default:
            return IORING_OP_WRITEV;
    }
}

/// What the shim calls it.
inline const char* name_of(const file_call& call) noexcept {
    switch (call.what) {
        case file_call::kind::read:
            return "pread";
        case file_call::kind::read_vector:
            return "preadv";
        case file_call::kind::write:
            return "pwrite";
        default:
            return "pwritev";
    }
}

}  // namespace wire::io::detail
