// One system call on a descriptor that may have to wait: what the backends complete.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace wire::io::detail {

/// The directions of a descriptor, each with readiness and waiting wires of its own.
enum class half : std::uint8_t { read, write };

struct operation {
    enum class kind : std::uint8_t {
        accept,
        connect,
        receive,
        receive_vector,
        send,
        send_vector,
        read
    };

    kind what;
    half needs;
    bool begun = false;    // connect: the first attempt has been made
    void* data = nullptr;  // buffer, iovec array or sockaddr
    std::size_t size = 0;  // bytes, elements or length of those

    static operation accept() { return {kind::accept, half::read}; }
    static operation connect(const sockaddr* to, socklen_t length) {
        return {kind::connect, half::write, false, const_cast<sockaddr*>(to), length};
    }
    static operation receive(std::span<std::byte> to) {
        return {kind::receive, half::read, false, to.data(), to.size()};
    }
    static operation receive(std::span<const iovec> to) {
        return {kind::receive_vector, half::read, false, const_cast<iovec*>(to.data()), to.size()};
    }
    static operation send(std::span<const std::byte> from) {
        return {kind::send, half::write, false, const_cast<std::byte*>(from.data()), from.size()};
    }
    static operation send(std::span<const iovec> from) {
        return {kind::send_vector, half::write, false, const_cast<iovec*>(from.data()),
                from.size()};
    }
    /// read(2), for descriptors that are no sockets.
    static operation read(std::span<std::byte> to) {
        return {kind::read, half::read, false, to.data(), to.size()};
    }

    /// Makes the call on a non-blocking descriptor. Returns its result or -errno; -EAGAIN: wait
    /// until `needs` is ready, then attempt again.
    std::ptrdiff_t attempt(int fd) noexcept;

    /// Whether it would transfer no byte at all, for which the system might wait.
    [[nodiscard]] bool moves_nothing() const noexcept;

    /// Whether a result of n shows that a TCP socket has no more to read, or takes no more.
    [[nodiscard]] bool exhausts(std::ptrdiff_t n) const noexcept;
};

}  // namespace wire::io::detail
