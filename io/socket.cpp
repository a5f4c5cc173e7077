#include "socket.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

namespace wire::io::detail {

result<descriptor> make_socket(int family, int type) noexcept {
    return owned(
        invoke("socket", [&] { return ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }));
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
    return owned(n < 0 ? n : fd);
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
    if (n < 0) return failed(n);
    found.resize(length);
    return found;
}

// ---- sockets at an address

namespace {

result<void> prepare(int fd, int family, const bind_options& how) noexcept {
    const bool ip = family != AF_UNIX;
    result<void> set;
    if (ip && how.reuse_address) set = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (set && ip && how.reuse_port) set = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!set || family != AF_INET6) return set;
    return set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, how.ipv6_only);
}

std::uint64_t inode_of(const std::string& path) noexcept {
    struct stat s {};
    return ::lstat(path.c_str(), &s) == 0 ? s.st_ino : 0;
}

std::ptrdiff_t bind_now(int fd, const address& at) noexcept {
    return invoke("bind", [&] { return ::bind(fd, at.raw(), at.length()); });
}

// Whether `path` is a socket that nobody uses any more.
bool is_stale(const address& at, const std::string& path, int type) noexcept {
    struct stat s {};
    if (::lstat(path.c_str(), &s) != 0 || !S_ISSOCK(s.st_mode)) return false;
    const auto probe = make_socket(AF_UNIX, type);
    return probe && invoke("connect", [&] {
                        return ::connect(probe->number(), at.raw(), at.length());
                    }) == -ECONNREFUSED;
}

result<bound_path> bind(int fd, const address& at, int type) noexcept {
    const std::string path = at.path();
    const bool in_file_system = !path.empty() && path.front() != '@';
    auto n = bind_now(fd, at);
    if (n == -EADDRINUSE && in_file_system && is_stale(at, path, type)) {
        n = invoke("unlink", [&] { return ::unlink(path.c_str()); });
        if (n == 0) n = bind_now(fd, at);
    }
    if (n < 0) return failed(n);
    return in_file_system ? bound_path(path) : bound_path();
}

}  // namespace

bound_path::bound_path(std::string path) noexcept
    : path_(std::move(path)), inode_(inode_of(path_)) {}

void bound_path::remove() noexcept {
    if (!path_.empty() && inode_of(path_) == inode_) ::unlink(path_.c_str());
    path_.clear();
}

result<bound_socket> make_bound_socket(const address& at, int type,
                                       const bind_options& how) noexcept {
    auto fd = make_socket(at.family(), type);
    if (!fd) return failure{fd.code()};
    if (auto set = prepare(fd->number(), at.family(), how); !set) return failure{set.code()};
    auto path = bind(fd->number(), at, type);
    if (!path) return failure{path.code()};
    return bound_socket{*std::move(fd), *std::move(path)};
}

}  // namespace wire::io::detail
