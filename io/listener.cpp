#include <wire/listener.hpp>

#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "back_off.hpp"
#include "operation.hpp"
#include "socket.hpp"
#include "syscalls.hpp"

namespace wire::io {
namespace {

using detail::invoke;
using detail::operation;

// A connection that failed before it was accepted; see accept(2), "Error handling".
bool is_dead_connection(int error) noexcept {
    switch (error) {
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case ENETUNREACH:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENONET:
        case ENOPROTOOPT:
            return true;
        default:
            return false;
    }
}

bool is_exhaustion(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

result<void> bind_to(int fd, const address& at) noexcept {
    return detail::outcome(invoke("bind", [&] { return ::bind(fd, at.raw(), at.length()); }));
}

// Whether `path` is a socket that nobody listens on any more.
bool is_stale(const address& at, const std::string& path) noexcept {
    struct stat s {};
    if (::lstat(path.c_str(), &s) != 0 || !S_ISSOCK(s.st_mode)) return false;
    const auto probe = detail::make_socket(AF_UNIX);
    return probe && invoke("connect", [&] {
                        return ::connect(probe->number(), at.raw(), at.length());
                    }) == -ECONNREFUSED;
}

result<void> bind_or_replace(int fd, const address& at) noexcept {
    const auto bound = bind_to(fd, at);
    if (bound.code() != EADDRINUSE || at.family() != AF_UNIX) return bound;
    const std::string path = at.path();
    if (path.front() == '@' || !is_stale(at, path)) return bound;
    const auto n = invoke("unlink", [&] { return ::unlink(path.c_str()); });
    return n < 0 ? detail::outcome(n) : bind_to(fd, at);
}

std::uint64_t inode_of(const std::string& path) noexcept {
    struct stat s {};
    return ::lstat(path.c_str(), &s) == 0 ? s.st_ino : 0;
}

result<void> prepare(int fd, int family, const listen_options& options) noexcept {
    const auto set = [fd](bool wanted, int level, int name, int value) {
        return wanted ? detail::set_option(fd, level, name, value) : result<void>();
    };
    const bool tcp = family != AF_UNIX;
    if (auto r = set(tcp && options.reuse_address, SOL_SOCKET, SO_REUSEADDR, 1); !r) return r;
    if (auto r = set(tcp && options.reuse_port, SOL_SOCKET, SO_REUSEPORT, 1); !r) return r;
    return set(family == AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6_only);
}

}  // namespace

result<listener> listener::adopt(int fd) noexcept {
    auto owned = detail::adopt_socket(fd);
    if (!owned) return failure{owned.code()};
    return listener(*std::move(owned));
}

result<stream> listener::accept(deadline until) noexcept {
    detail::back_off pause;
    for (;;) {
        auto op = operation::accept();
        const std::ptrdiff_t n = fd_.perform(op, until);
        if (n >= 0) return stream(detail::descriptor(static_cast<int>(n)));
        const int error = static_cast<int>(-n);
        if (is_dead_connection(error)) continue;
        if (!is_exhaustion(error)) return failure{error};
        if (const int why = pause.wait(error, until)) return failure{why};
    }
}

void listener::close() noexcept {
    if (!is_open()) return;
    // Another server may have put its own socket there meanwhile.
    if (!path_.empty() && inode_of(path_) == inode_) ::unlink(path_.c_str());
    path_.clear();
    fd_.close();
}

int listener::release() noexcept {
    path_.clear();
    return fd_.release();
}

result<address> listener::local_address() const noexcept {
    return detail::address_of(native_handle(), "getsockname", &::getsockname);
}

std::uint16_t listener::port() const noexcept {
    const auto at = local_address();
    return at ? at->port() : 0;
}

result<listener> listen(const address& at, const listen_options& options) noexcept {
    auto fd = detail::make_socket(at.family());
    if (!fd) return failure{fd.code()};
    const int number = fd->number();
    if (auto r = prepare(number, at.family(), options); !r) return failure{r.code()};
    if (auto r = bind_or_replace(number, at); !r) return failure{r.code()};
    listener made(*std::move(fd));
    if (const std::string path = at.path(); !path.empty() && path.front() != '@') {
        made.path_ = path;
        made.inode_ = inode_of(path);
    }
    const auto n = invoke("listen", [&] { return ::listen(number, options.backlog); });
    if (n < 0) return failure{static_cast<int>(-n)};
    return made;
}

result<listener> listen_tcp(std::string_view host, std::uint16_t port,
                            const listen_options& options) noexcept {
    const auto at = address::ip(host, port);
    if (!at) return failure{at.code()};
    return listen(*at, options);
}

result<listener> listen_unix(std::string_view path, const listen_options& options) noexcept {
    const auto at = address::local(path);
    if (!at) return failure{at.code()};
    return listen(*at, options);
}

}  // namespace wire::io
