// A file descriptor that wires can wait for: what streams, listeners and signals are made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include <wire/deadline.hpp>
#include <wire/result.hpp>

namespace wire::io {

namespace detail {

struct fd_entry;
struct operation;

/// Owns a descriptor and, once a wire has waited for it, its registration with a reactor.
///
/// It may be moved to another runtime as long as nothing has waited for it. Belongs to one runtime
/// from then on (asserted).
class WIRE_API descriptor {
public:
    descriptor() noexcept = default;
    explicit descriptor(int fd) noexcept : fd_(fd) {}
    descriptor(descriptor&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)),
          streak_(other.streak_),
          entry_(std::exchange(other.entry_, nullptr)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        descriptor old(std::move(*this));
        std::swap(fd_, other.fd_);
        std::swap(entry_, other.entry_);
        return *this;
    }
    ~descriptor() {
        if (fd_ >= 0) close();
    }

    /// Closes the descriptor and wakes every wire that waits for it with EBADF. Never suspends.
    void close() noexcept;
    /// Gives the number away, open and non-blocking; wires that wait for it get EBADF.
    [[nodiscard]] int release() noexcept;
    [[nodiscard]] int number() const noexcept { return fd_; }

    /// Makes the call of `op`; waits as often as it would block. Returns its result or -errno.
    std::ptrdiff_t perform(operation& op, deadline until) noexcept;

private:
    int fd_ = -1;
    std::uint32_t streak_ = 0;  // operations since the wire last gave way
    fd_entry* entry_ = nullptr;
};

}  // namespace detail

/// Waits until `fd`, which somebody else owns, can be read without blocking: data, end of file, a
/// connection to accept, or an error to fetch. Regular files always can. It is a hint: another
/// reader may be faster. Fails with ETIMEDOUT, ECANCELED, EBADF, or as epoll_ctl(2). If the owner
/// closes the number during the wait, only the deadline ends it. Call from a wire.
WIRE_API result<void> wait_readable(int fd, deadline until = never) noexcept;
/// The same for writing.
WIRE_API result<void> wait_writable(int fd, deadline until = never) noexcept;

}  // namespace wire::io
