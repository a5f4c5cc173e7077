// A file descriptor that wires can wait for: what streams, listeners and signals are made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include <wire/deadline.hpp>
#include <wire/result.hpp>

namespace wire::io::detail {

struct fd_entry;
struct operation;

/// Owns a descriptor and, once a wire has waited for it, its registration with a reactor.
///
/// It may be moved to another runtime as long as nothing has waited for it. Belongs to one runtime
/// from then on (asserted).
///
/// Operations that never block would let nobody else run, so each 64th in a row yields. They are
/// counted for each descriptor, whichever wires make them; a wait begins the count anew.
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
    /// -1 if there is none.
    [[nodiscard]] int number() const noexcept { return fd_; }

    /// Makes the call of `op`; waits as often as it would block. Returns its result or -errno.
    /// Call from a wire.
    std::ptrdiff_t perform(operation op, deadline until) noexcept;

    /// Lets the kernel begin what wires have asked for and it has not been told of yet, before
    /// another kind of call on the descriptor.
    void submit() noexcept;

private:
    int fd_ = -1;
    std::uint32_t streak_ = 0;  // operations since the wire last gave way
    fd_entry* entry_ = nullptr;
};

}  // namespace wire::io::detail

namespace wire::io {

/// Owns a descriptor of any kind that came from elsewhere: number(), close(), release(). Closes it
/// at its end. For sockets, give release() to adopt().
using owned_descriptor = detail::descriptor;

}  // namespace wire::io
