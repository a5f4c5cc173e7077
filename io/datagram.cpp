#include <wire/datagram.hpp>

#include <algorithm>
#include <array>

#include "operation.hpp"
#include "socket.hpp"

namespace wire::io {
namespace {

using detail::invoke;
using detail::operation;

constexpr std::size_t batch_max = 32;  // messages with one system call: 2.5 KiB of stack

// What the system is told of one message. `name`: the address, or room for one, or none.
void describe(mmsghdr& header, iovec& part, std::span<const std::byte> bytes, const sockaddr* name,
              socklen_t length) noexcept {
    part = {const_cast<std::byte*>(bytes.data()), bytes.size()};
    header.msg_hdr = {};
    header.msg_hdr.msg_iov = &part;
    header.msg_hdr.msg_iovlen = 1;
    header.msg_hdr.msg_namelen = length;
    if (length > 0) header.msg_hdr.msg_name = const_cast<sockaddr*>(name);
}

bool is_truncated(const mmsghdr& header) noexcept {
    return header.msg_hdr.msg_flags & MSG_TRUNC;
}

}  // namespace

result<datagram> datagram::adopt(int fd) noexcept {
    auto owned = detail::adopt_socket(fd, SOCK_DGRAM);
    if (!owned) return failure{owned.code()};
    return datagram(*std::move(owned));
}

result<received> datagram::receive(std::span<std::byte> buffer, deadline until) noexcept {
    received got;
    mmsghdr header;
    iovec part;
    describe(header, part, buffer, got.from.room(), address::length_max);
    const std::ptrdiff_t n = fd_.perform(operation::receive(std::span(&header, 1)), until);
    if (n < 0) return detail::failed(n);
    got.size = header.msg_len;
    got.truncated = is_truncated(header);
    got.from.resize(header.msg_hdr.msg_namelen);
    return got;
}

result<std::size_t> datagram::receive_batch(std::span<message> messages, deadline until) noexcept {
    std::array<mmsghdr, batch_max> headers;
    std::array<iovec, batch_max> parts;
    const auto batch = messages.first(std::min(messages.size(), batch_max));
    if (batch.empty()) return std::size_t{0};
    for (std::size_t i = 0; i < batch.size(); ++i)
        describe(headers[i], parts[i], batch[i].buffer, batch[i].peer.room(), address::length_max);
    const auto used = std::span(headers).first(batch.size());
    const std::ptrdiff_t n = fd_.perform(operation::receive(used), until);
    for (std::size_t i = 0; std::cmp_less(i, n); ++i) {
        batch[i].size = headers[i].msg_len;
        batch[i].truncated = is_truncated(headers[i]);
        batch[i].peer.resize(headers[i].msg_hdr.msg_namelen);
    }
    return detail::to_size(n);
}

// Only if we are connected to it does an event say that a Unix socket's queue has room again.
std::ptrdiff_t datagram::perform(operation op, const address& to, deadline until) noexcept {
    if (to.family() != AF_UNIX) return fd_.perform(op, until);
    return detail::retry_while_full([&] { return op.attempt(fd_.number()); }, until);
}

result<void> datagram::send_to(std::span<const std::byte> data, const address& to,
                               deadline until) noexcept {
    mmsghdr header;
    iovec part;
    describe(header, part, data, to.raw(), to.length());
    return detail::outcome(perform(operation::send(std::span(&header, 1)), to, until));
}

io_progress datagram::send_batch(std::span<const message> messages, deadline until) noexcept {
    std::array<mmsghdr, batch_max> headers;
    std::array<iovec, batch_max> parts;
    return detail::move_all(messages.size(), [&](std::size_t done) {
        const auto rest = messages.subspan(done);
        const auto batch = rest.first(std::min(rest.size(), batch_max));
        for (std::size_t i = 0; i < batch.size(); ++i) {
            const message& m = batch[i];
            WIRE_ASSERT(m.size <= m.buffer.size(), "a message to send is longer than its buffer");
            describe(headers[i], parts[i], m.buffer.first(m.size), m.peer.raw(), m.peer.length());
        }
        const auto used = std::span(headers).first(batch.size());
        return detail::to_size(perform(operation::send(used), batch[0].peer, until));
    });
}

result<void> datagram::connect(const address& to) noexcept {
    return detail::outcome(
        invoke("connect", [&] { return ::connect(native_handle(), to.raw(), to.length()); }));
}

result<void> datagram::set_option(int level, int name, int value) noexcept {
    return detail::set_option(native_handle(), level, name, value);
}

result<address> datagram::local_address() const noexcept {
    return detail::address_of(native_handle(), "getsockname", &::getsockname);
}

result<datagram> open_datagram(int family) noexcept {
    auto fd = detail::make_socket(family, SOCK_DGRAM);
    if (!fd) return failure{fd.code()};
    return datagram(*std::move(fd));
}

result<datagram> bind_datagram(const address& at, const datagram_options& options) noexcept {
    auto made =
        detail::make_bound_socket(at, SOCK_DGRAM, {false, options.reuse_port, options.ipv6_only});
    if (!made) return failure{made.code()};
    return datagram(std::move(made->fd), std::move(made->path));
}

result<datagram> bind_udp(std::string_view host, std::uint16_t port,
                          const datagram_options& options) noexcept {
    return detail::and_then(address::ip(host, port),
                            [&](const address& at) { return bind_datagram(at, options); });
}

result<datagram> bind_unix_datagram(std::string_view path) noexcept {
    return detail::and_then(address::local(path),
                            [](const address& at) { return bind_datagram(at); });
}

}  // namespace wire::io
