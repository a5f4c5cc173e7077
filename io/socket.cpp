#include "socket.hpp"

#include <fcntl.h>
#include <netinet/in.h>

#include "syscalls.hpp"

namespace wire::io::detail {

result<descriptor> make_socket(int family, int type) noexcept {
    const auto fd =
        invoke("socket", [&] { return ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
    if (fd < 0) return failure{static_cast<int>(-fd)};
    return descriptor(static_cast<int>(fd));
}

std::ptrdiff_t make_non_blocking(int fd) noexcept {
    auto n = invoke("fcntl", [&] { return ::fcntl(fd, F_SETFD, FD_CLOEXEC); });
    if (n == 0) n = invoke("fcntl", [&] { return ::fcntl(fd, F_GETFL); });
    if (n < 0) return n;
    const int flags = static_cast<int>(n) | O_NONBLOCK;
    return invoke("fcntl", [&] { return ::fcntl(fd, F_SETFL, flags); });
}

result<descriptor> adopt_socket(int fd, int type) noexcept {
    int actual = 0;
    socklen_t length = sizeof actual;
    auto n = invoke("getsockopt",
                    [&] { return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &actual, &length); });
    if (n == 0 && actual != type) n = -EPROTOTYPE;
    if (n == 0) n = make_non_blocking(fd);
    if (n < 0) return failure{static_cast<int>(-n)};
    return descriptor(fd);
}

result<void> share_port(int fd, int family, bool share, bool ipv6_only) noexcept {
    if (family != AF_UNIX && share)
        if (auto r = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1); !r) return r;
    if (family != AF_INET6) return {};
    return set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, ipv6_only);
}

result<void> set_option(int fd, int level, int name, int value) noexcept {
    return outcome(
        invoke("setsockopt", [&] { return ::setsockopt(fd, level, name, &value, sizeof value); }));
}

result<address> address_of(int fd, const char* name,
                           int (*call)(int, sockaddr*, socklen_t*)) noexcept {
    address found;
    socklen_t length = address::length_max;
    const auto n = invoke(name, [&] { return call(fd, found.room(), &length); });
    if (n < 0) return failure{static_cast<int>(-n)};
    found.resize(length);
    return found;
}

}  // namespace wire::io::detail
