#include <wire/listener.hpp>

#include <sys/socket.h>

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

result<void> prepare(int fd, int family, const listen_options& options) noexcept {
    const bool tcp = family != AF_UNIX;
    if (tcp && options.reuse_address)
        if (auto r = detail::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1); !r) return r;
    return detail::share_port(fd, family, options.reuse_port, options.ipv6_only);
}

}  // namespace

result<listener> listener::adopt(int fd) noexcept {
    auto owned = detail::adopt_socket(fd, SOCK_STREAM);
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

result<address> listener::local_address() const noexcept {
    return detail::address_of(native_handle(), "getsockname", &::getsockname);
}

std::uint16_t listener::port() const noexcept {
    const auto at = local_address();
    return at ? at->port() : 0;
}

result<listener> listen(const address& at, const listen_options& options) noexcept {
    auto fd = detail::make_socket(at.family(), SOCK_STREAM);
    if (!fd) return failure{fd.code()};
    const int number = fd->number();
    if (auto r = prepare(number, at.family(), options); !r) return failure{r.code()};
    auto path = detail::bind(number, at, SOCK_STREAM);
    if (!path) return failure{path.code()};
    listener made(*std::move(fd));
    made.path_ = *std::move(path);
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
