// Datagrams: UDP and Unix sockets that carry messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <wire/address.hpp>
#include <wire/bound_path.hpp>
#include <wire/deadline.hpp>
#include <wire/descriptor.hpp>
#include <wire/result.hpp>
#include <wire/stream.hpp>

namespace wire::io {

/// What one receive() brought.
struct received {
    std::size_t size = 0;    ///< bytes in the buffer; a message may be empty
    address from = {};       ///< the sender; no address if a Unix socket has none
    bool truncated = false;  ///< the message was longer than the buffer, and the rest is gone
};

/// One message of a batch, in memory of the caller's.
struct message {
    std::span<std::byte> buffer;  ///< where its bytes are, or room for them
    std::size_t size = 0;         ///< how many of them there are
    address peer = {};            ///< sender or receiver; none: the one of a connected socket
    bool truncated = false;       ///< received: it was longer than the buffer
};

/// How to bind a datagram socket.
struct datagram_options {
    bool reuse_port = false;  ///< UDP: share the port with other sockets, one for each thread
    bool ipv6_only = true;    ///< IPv6: leave IPv4 to a socket of its own
};

/// A socket for datagrams, bound, connected, both or neither. Calls block the wire, never the
/// thread; those that take a deadline need a wire, and fail with ETIMEDOUT or ECANCELED. After
/// close(), from whichever wire, they fail with EBADF.
///
/// Any number of wires may send and receive; a message goes to one of them. Movable; may go to
/// another runtime as long as no wire has waited for it, and belongs to one from then on
/// (asserted). Calls that never have to wait yield after every 64 on this socket.
///
/// If a host answers that nobody has the port, a connected UDP socket fails once with ECONNREFUSED,
/// in whichever call comes next.
class WIRE_API datagram {
public:
    /// Closed.
    datagram() noexcept = default;

    /// Takes over a datagram socket, and makes it non-blocking and close-on-exec. Fails with
    /// ENOTSOCK, EPROTOTYPE (no datagrams) or as fcntl(2); `fd` then stays the caller's.
    static result<datagram> adopt(int fd) noexcept;

    /// Waits for a message and puts it into `buffer`. Errors: recv(2).
    result<received> receive(std::span<std::byte> buffer, deadline until = never) noexcept;
    /// Sends one message to `to`, whole. Waits for room in the system, and for a Unix socket in the
    /// receiver's queue. Errors: sendto(2), among them EMSGSIZE.
    result<void> send_to(std::span<const std::byte> data, const address& to,
                         deadline until = never) noexcept;
    /// The same, to the address that connect() was given (EDESTADDRREQ or ENOTCONN without).
    result<void> send(std::span<const std::byte> data, deadline until = never) noexcept {
        return send_to(data, {}, until);
    }

    /// Waits for a message and takes what else is there, 32 at most, with one system call. Fills in
    /// all but the buffers, of the first elements. Returns how many (0 only for none of them).
    /// Errors: recv(2).
    result<std::size_t> receive_batch(std::span<message> messages, deadline until = never) noexcept;
    /// Sends all, in order, 32 with each system call. `done` counts messages, and those behind them
    /// were not sent; errors as send_to().
    io_progress send_batch(std::span<const message> messages, deadline until = never) noexcept;

    /// Sets the address for send(), and receives from nobody else then. Never suspends. Errors:
    /// connect(2).
    result<void> connect(const address& to) noexcept;
    /// Closes it and wakes every wire that waits for it with EBADF. A path that bind_datagram()
    /// made is removed, unless somebody has put another file there. Never suspends; again has no
    /// effect.
    void close() noexcept {
        path_.remove();
        fd_.close();
    }

    /// Any integer option of setsockopt(2), whose errors it has.
    result<void> set_option(int level, int name, int value) noexcept;
    /// Errors: getsockname(2).
    [[nodiscard]] result<address> local_address() const noexcept;
    [[nodiscard]] bool is_open() const noexcept { return fd_.number() >= 0; }
    /// The number, which stays owned here; -1 when closed.
    [[nodiscard]] int native_handle() const noexcept { return fd_.number(); }
    /// Gives the number away, open and non-blocking; wires that wait for it get EBADF. A path is
    /// not removed.
    [[nodiscard]] int release() noexcept {
        path_.leave();
        return fd_.release();
    }

private:
    friend result<datagram> open_datagram(int) noexcept;
    friend result<datagram> bind_datagram(const address&, const datagram_options&) noexcept;
    explicit datagram(detail::descriptor fd, detail::bound_path path = {}) noexcept
        : fd_(std::move(fd)), path_(std::move(path)) {}
    std::ptrdiff_t perform(detail::operation op, const address& to, deadline until) noexcept;

    detail::descriptor fd_;
    detail::bound_path path_;
};

/// A socket of AF_INET, AF_INET6 or AF_UNIX that is not bound: to send, or to connect(). Unless it
/// is bound a Unix socket can get no answer. Errors: socket(2). Never suspends; any thread.
WIRE_API result<datagram> open_datagram(int family) noexcept;
/// A socket at an address. Errors: socket(2), setsockopt(2), bind(2). A Unix path that exists is
/// replaced only if it is a datagram socket that nobody has open (EADDRINUSE otherwise). Never
/// suspends; any thread, in a wire or outside.
WIRE_API result<datagram> bind_datagram(const address& at,
                                        const datagram_options& options = {}) noexcept;
/// A UDP socket at a numeric address; port 0 lets the system choose. Fails with EINVAL for a name,
/// and as bind_datagram().
WIRE_API result<datagram> bind_udp(std::string_view host, std::uint16_t port,
                                   const datagram_options& options = {}) noexcept;
/// A Unix datagram socket; '@' begins an abstract name. Fails with ENAMETOOLONG, with EINVAL
/// (empty), and as bind_datagram().
WIRE_API result<datagram> bind_unix_datagram(std::string_view path) noexcept;

}  // namespace wire::io
