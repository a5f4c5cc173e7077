#include <wire/stream.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "operation.hpp"
#include "socket.hpp"

namespace wire::io {
namespace {

using detail::invoke;
using detail::operation;
using detail::to_size;

constexpr std::size_t buffers_max = 1024;          // IOV_MAX
constexpr std::size_t file_part_max = 256 * 1024;  // with one call, so that others get their turn

// Skips `n` bytes of `buffers`; returns what is left, without empty elements in front.
std::span<iovec> skip_bytes(std::span<iovec> buffers, std::size_t n) noexcept {
    while (!buffers.empty() && n >= buffers.front().iov_len) {
        n -= std::exchange(buffers.front().iov_len, 0);
        buffers = buffers.subspan(1);
    }
    if (!buffers.empty()) {
        buffers.front().iov_base = static_cast<std::byte*>(buffers.front().iov_base) + n;
        buffers.front().iov_len -= n;
    }
    return buffers;
}

}  // namespace

result<stream> stream::adopt(int fd) noexcept {
    auto owned = detail::adopt_socket(fd, SOCK_STREAM);
    if (!owned) return failure{owned.code()};
    return stream(*std::move(owned));
}

result<std::size_t> stream::read(std::span<std::byte> buffer, deadline until) noexcept {
    return to_size(fd_.perform(operation::receive(buffer), until));
}

result<std::size_t> stream::read(std::span<const iovec> buffers, deadline until) noexcept {
    const auto some = buffers.first(std::min(buffers.size(), buffers_max));
    return to_size(fd_.perform(operation::receive(some), until));
}

io_progress stream::read_at_least(std::span<std::byte> buffer, std::size_t least,
                                  deadline until) noexcept {
    WIRE_ASSERT(least <= buffer.size(), "read_at_least() of more than its buffer holds");
    return detail::move_all(least,
                            [&](std::size_t done) { return read(buffer.subspan(done), until); });
}

result<std::size_t> stream::write(std::span<const std::byte> data, deadline until) noexcept {
    return to_size(fd_.perform(operation::send(data), until));
}

result<std::size_t> stream::write(std::span<const iovec> buffers, deadline until) noexcept {
    const auto some = buffers.first(std::min(buffers.size(), buffers_max));
    return to_size(fd_.perform(operation::send(some), until));
}

io_progress stream::write_all(std::span<const std::byte> data, deadline until) noexcept {
    return detail::move_all(data.size(),
                            [&](std::size_t done) { return write(data.subspan(done), until); });
}

io_progress stream::write_all(std::span<iovec> buffers, deadline until) noexcept {
    std::size_t total = 0;
    for (const iovec& b : buffers) total += b.iov_len;
    auto rest = skip_bytes(buffers, 0);
    return detail::move_all(total, [&](std::size_t) {
        auto n = write(std::span<const iovec>(rest), until);
        if (n) rest = skip_bytes(rest, *n);
        return n;
    });
}

io_progress stream::send_file(int file, std::uint64_t offset, std::size_t count,
                              deadline until) noexcept {
    auto at = static_cast<off_t>(offset);
    return detail::move_all(count, [&](std::size_t done) {
        const auto part = std::min(count - done, file_part_max);
        return to_size(fd_.perform(operation::send_file(file, at, part), until));
    });
}

result<void> stream::shutdown(direction which) noexcept {
    fd_.submit();  // a write that has begun comes first
    const int how = which == direction::read    ? SHUT_RD
                    : which == direction::write ? SHUT_WR
                                                : SHUT_RDWR;
    return detail::outcome(invoke("shutdown", [&] { return ::shutdown(native_handle(), how); }));
}

result<void> stream::set_no_delay(bool on) noexcept {
    return set_option(IPPROTO_TCP, TCP_NODELAY, on);
}

result<void> stream::set_option(int level, int name, int value) noexcept {
    return detail::set_option(native_handle(), level, name, value);
}

result<address> stream::local_address() const noexcept {
    return detail::address_of(native_handle(), "getsockname", &::getsockname);
}

result<address> stream::peer_address() const noexcept {
    return detail::address_of(native_handle(), "getpeername", &::getpeername);
}

result<stream> connect(const address& to, deadline until) noexcept {
    auto fd = detail::make_socket(to.family(), SOCK_STREAM);
    if (!fd) return failure{fd.code()};
    // Connecting to a Unix listener succeeds or fails at once, or else its queue is full.
    const auto connect_now = [&] {
        return invoke("connect", [&] { return ::connect(fd->number(), to.raw(), to.length()); });
    };
    const std::ptrdiff_t n = to.family() == AF_UNIX
                                 ? detail::retry_while_full(connect_now, until)
                                 : fd->perform(operation::connect(to.raw(), to.length()), until);
    if (n < 0) return detail::failed(n);
    return stream(*std::move(fd));
}

result<stream> connect_tcp(std::string_view host, std::uint16_t port, deadline until) noexcept {
    return detail::and_then(address::ip(host, port),
                            [&](const address& to) { return connect(to, until); });
}

result<stream> connect_unix(std::string_view path, deadline until) noexcept {
    return detail::and_then(address::local(path),
                            [&](const address& to) { return connect(to, until); });
}

result<std::pair<stream, stream>> make_stream_pair() noexcept {
    int fds[2] = {-1, -1};
    const auto n = invoke("socketpair", [&] {
        return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
    });
    if (n < 0) return detail::failed(n);
    return std::pair(stream(detail::descriptor(fds[0])), stream(detail::descriptor(fds[1])));
}

}  // namespace wire::io
