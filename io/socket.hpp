// What streams and listeners do alike to their sockets.
#pragma once

#include <sys/socket.h>

#include <wire/address.hpp>
#include <wire/descriptor.hpp>
#include <wire/result.hpp>

namespace wire::io::detail {

/// Success, or the failure that a negative result of invoke() stands for.
inline result<void> outcome(std::ptrdiff_t n) noexcept {
    return to_result(n < 0 ? static_cast<int>(-n) : 0);
}

/// A non-blocking, close-on-exec stream socket. Errors: socket(2).
result<descriptor> make_socket(int family) noexcept;
/// Owns `fd`, which must be a stream socket (ENOTSOCK, EPROTOTYPE), and makes it non-blocking and
/// close-on-exec. On failure it stays the caller's.
result<descriptor> adopt_socket(int fd) noexcept;
result<void> set_option(int fd, int level, int name, int value) noexcept;
/// What getsockname or getpeername say.
result<address> address_of(int fd, const char* name,
                           int (*call)(int, sockaddr*, socklen_t*)) noexcept;

}  // namespace wire::io::detail
