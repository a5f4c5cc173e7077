// What streams, listeners and datagrams do alike to their sockets.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <chrono>

#include <wire/address.hpp>
#include <wire/bound_path.hpp>
#include <wire/descriptor.hpp>
#include <wire/detail/park.hpp>
#include <wire/this_wire.hpp>
#include "syscalls.hpp"

namespace wire::io::detail {

/// A non-blocking, close-on-exec socket. Errors: socket(2).
result<descriptor> make_socket(int family, int type) noexcept;
/// Makes a descriptor close-on-exec, too. Returns 0 or -errno.
std::ptrdiff_t make_non_blocking(int fd) noexcept;
/// Owns `fd`, which must be a socket of that type (ENOTSOCK, EPROTOTYPE), and makes it non-blocking
/// and close-on-exec. On failure it stays the caller's.
result<descriptor> adopt_socket(int fd, int type) noexcept;
result<void> set_option(int fd, int level, int name, int value) noexcept;
/// What getsockname or getpeername say.
result<address> address_of(int fd, const char* name,
                           int (*call)(int, sockaddr*, socklen_t*)) noexcept;

/// Owns a descriptor that a system call has returned, or is the failure that it stands for.
inline result<descriptor> owned(std::ptrdiff_t fd) noexcept {
    if (fd < 0) return failed(fd);
    return descriptor(static_cast<int>(fd));
}

/// Options of an IP socket that is to be bound.
struct bind_options {
    bool reuse_address;
    bool reuse_port;
    bool ipv6_only;
};

struct bound_socket {
    descriptor fd;
    bound_path path;
};

/// A socket at an address; a Unix path that exists is replaced only if nobody uses it any more.
result<bound_socket> make_bound_socket(const address& at, int type,
                                       const bind_options& how) noexcept;

/// Makes attempt() until its result is not -EAGAIN, with growing pauses: for the queue of a Unix
/// socket that is not ours, of which no event says that it has room again. Returns that result,
/// -ETIMEDOUT or -ECANCELED.
template <class Attempt>
std::ptrdiff_t retry_while_full(Attempt attempt, deadline until) noexcept {
    using std::chrono::milliseconds;
    for (milliseconds pause(1);; pause = std::min(2 * pause, milliseconds(50))) {
        if (const int error = wire::detail::check_cancelled()) return -error;
        const std::ptrdiff_t n = attempt();
        if (n != -EAGAIN) return n;
        const deadline next = within(pause);
        static_cast<void>(sleep(std::min(next, until)));
        if (until < next) return -ETIMEDOUT;
    }
}

}  // namespace wire::io::detail
