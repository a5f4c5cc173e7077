// Listeners: sockets that accept streams.
#pragma once

#include <string_view>

#include <wire/address.hpp>
#include <wire/bound_path.hpp>
#include <wire/descriptor.hpp>
#include <wire/stream.hpp>

namespace wire::io {

/// How to listen.
struct listen_options {
    int backlog = 4096;         ///< connections that may wait; capped at net.core.somaxconn
    bool reuse_address = true;  ///< TCP: take the port although old connections linger
    bool reuse_port = false;    ///< TCP: share the port with other listeners, one for each thread
    bool ipv6_only = true;      ///< IPv6: leave IPv4 to a listener of its own
};

/// A listening stream socket. Several wires may accept from it; each connection wakes one. Movable;
/// it may go to another runtime as long as no wire has waited for it, and belongs to one from then
/// on (asserted). Accepting without a pause yields after every 64 connections.
class WIRE_API listener {
public:
    /// Closed.
    listener() noexcept = default;

    /// Takes over a listening stream socket, and makes it non-blocking and close-on-exec. Fails
    /// with ENOTSOCK, EPROTOTYPE (not a stream) or as fcntl(2); `fd` then stays the caller's.
    static result<listener> adopt(int fd) noexcept;

    /// Waits for a connection, which is non-blocking and close-on-exec.
    ///
    /// Connections that died in the queue are skipped. When descriptors or memory run out (EMFILE,
    /// ENFILE, ENOBUFS, ENOMEM), it tries again after 10 to 500 ms, or as soon as this runtime
    /// closes a descriptor, and says so in a diagnostic, once a minute. Fails with ETIMEDOUT,
    /// ECANCELED, EBADF (closed) or as accept(2). Call from a wire.
    result<stream> accept(deadline until = never) noexcept;

    /// Closes it, wakes its acceptors with EBADF. A Unix socket's path is removed if listen() has
    /// made it and nobody has put another file there. Never suspends; again has no effect.
    void close() noexcept {
        path_.remove();
        fd_.close();
    }

    /// Where it listens. Errors: getsockname(2).
    [[nodiscard]] result<address> local_address() const noexcept;
    /// The TCP port, also when it was chosen by the system; 0 for a Unix socket, or when closed.
    [[nodiscard]] std::uint16_t port() const noexcept;
    [[nodiscard]] bool is_open() const noexcept { return fd_.number() >= 0; }
    /// The number, which stays owned here; -1 when closed.
    [[nodiscard]] int native_handle() const noexcept { return fd_.number(); }
    /// Gives the number away, open and non-blocking; acceptors get EBADF. A Unix socket's path is
    /// not removed. Connections that the system has accepted ahead of accept() are closed: to lose
    /// none, end the acceptors and call accept(within(0s)) until it fails, then release().
    [[nodiscard]] int release() noexcept {
        path_.leave();
        return fd_.release();
    }

private:
    friend result<listener> listen(const address&, const listen_options&) noexcept;
    explicit listener(detail::descriptor fd, detail::bound_path path = {}) noexcept
        : fd_(std::move(fd)), path_(std::move(path)) {}
    detail::descriptor fd_;
    detail::bound_path path_;
};

/// Listens on an address. Errors: socket(2), setsockopt(2), bind(2), listen(2). A Unix path that
/// exists is replaced only if it is a socket that nobody listens on (EADDRINUSE otherwise). Never
/// suspends; any thread, in a wire or outside.
WIRE_API result<listener> listen(const address& at, const listen_options& options = {}) noexcept;
/// Listens on a numeric address; port 0 lets the system choose. Fails with EINVAL for a name, and
/// as listen().
WIRE_API result<listener> listen_tcp(std::string_view host, std::uint16_t port,
                                     const listen_options& options = {}) noexcept;
/// Listens on a Unix socket; '@' begins an abstract name. Fails with ENAMETOOLONG, with EINVAL
/// (empty), and as listen().
WIRE_API result<listener> listen_unix(std::string_view path,
                                      const listen_options& options = {}) noexcept;

}  // namespace wire::io
