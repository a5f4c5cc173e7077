#include <wire/listener.hpp>

#include "back_off.hpp"
#include "operation.hpp"
#include "socket.hpp"

namespace wire::io {
namespace {

// A connection that failed before it was accepted; see accept(2), "Error handling".
bool is_dead_connection(int error) noexcept {
    constexpr int errors[] = {ECONNABORTED, EPROTO,       ENETDOWN, ENETUNREACH,
                              EHOSTDOWN,    EHOSTUNREACH, ENONET,   ENOPROTOOPT};
    return std::ranges::find(errors, error) != std::end(errors);
}

bool is_exhaustion(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
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
        const std::ptrdiff_t n = fd_.perform(detail::operation::accept(), until);
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
    auto made = detail::make_bound_socket(
        at, SOCK_STREAM, {options.reuse_address, options.reuse_port, options.ipv6_only});
    if (!made) return failure{made.code()};
    const auto n =
        detail::invoke("listen", [&] { return ::listen(made->fd.number(), options.backlog); });
    if (n < 0) return detail::failed(n);
    return listener(std::move(made->fd), std::move(made->path));
}

result<listener> listen_tcp(std::string_view host, std::uint16_t port,
                            const listen_options& options) noexcept {
    return detail::and_then(address::ip(host, port),
                            [&](const address& at) { return listen(at, options); });
}

result<listener> listen_unix(std::string_view path, const listen_options& options) noexcept {
    return detail::and_then(address::local(path),
                            [&](const address& at) { return listen(at, options); });
}

}  // namespace wire::io
