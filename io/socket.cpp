#include "socket.hpp"

#include <fcntl.h>

#include "syscalls.hpp"

namespace wire::io::detail {

result<descriptor> make_socket(int family) noexcept {
    const auto fd = invoke(
        "socket", [&] { return ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
    if (fd < 0) return failure{static_cast<int>(-fd)};
    return descriptor(static_cast<int>(fd));
}

result<descriptor> adopt_socket(int fd) noexcept {
    int type = 0;
    socklen_t length = sizeof type;
    auto n =
        invoke("getsockopt", [&] { return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length); });
    if (n == 0 && type != SOCK_STREAM) n = -EPROTOTYPE;
    if (n == 0) n = invoke("fcntl", [&] { return ::fcntl(fd, F_SETFD, FD_CLOEXEC); });
    if (n == 0) n = invoke("fcntl", [&] { return ::fcntl(fd, F_GETFL); });
    if (n >= 0) {
        const int flags = static_cast<int>(n) | O_NONBLOCK;
        n = invoke("fcntl", [&] { return ::fcntl(fd, F_SETFL, flags); });
    }
    if (n < 0) return failure{static_cast<int>(-n)};
    return descriptor(fd);
}

result<void> set_option(int fd, int level, int name, int value) noexcept {
    return outcome(
        invoke("setsockopt", [&] { return ::setsockopt(fd, level, name, &value, sizeof value); }));
}

result<address> address_of(int fd, const char* name,
                           int (*call)(int, sockaddr*, socklen_t*)) noexcept {
    sockaddr_storage raw{};
    socklen_t length = sizeof raw;
    const auto n =
        invoke(name, [&] { return call(fd, reinterpret_cast<sockaddr*>(&raw), &length); });
    if (n < 0) return failure{static_cast<int>(-n)};
    return address::from(reinterpret_cast<const sockaddr*>(&raw), length);
}

}  // namespace wire::io::detail
