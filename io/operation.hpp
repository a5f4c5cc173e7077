// One system call on a descriptor that may have to wait: what the backends complete.
#pragma once

#include <signal.h>
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
        read,
        receive_messages,
        send_messages,
        send_file,
        splice_in,
        splice_out,
        write,
        reap
    };

    kind what;
    half needs;
    bool begun = false;    // connect: the first attempt has been made
    void* data = nullptr;  // buffer, iovec array, sockaddr, mmsghdr array, off_t or siginfo_t
    std::size_t size = 0;  // bytes, elements or length of those
    int other = -1;        // the file or pipe at the other end

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
    /// write(2), for descriptors that are no sockets, without SIGPIPE.
    static operation write(std::span<const std::byte> from) {
        return {kind::write, half::write, false, const_cast<std::byte*>(from.data()), from.size()};
    }
    /// waitid(2), on a pidfd.
    static operation reap(siginfo_t& how) { return {kind::reap, half::read, false, &how}; }

    /// recvmmsg(2) or sendmmsg(2): returns how many messages, each with its length and flags.
    static operation receive(std::span<mmsghdr> to) {
        return {kind::receive_messages, half::read, false, to.data(), to.size()};
    }
    static operation send(std::span<mmsghdr> from) {
        return {kind::send_messages, half::write, false, from.data(), from.size()};
    }
    /// sendfile(2): advances `offset`. Returns 0 at the end of the file.
    static operation send_file(int file, off_t& offset, std::size_t count) {
        return {kind::send_file, half::write, false, &offset, count, file};
    }
    /// splice(2) into an empty pipe, 0 at the end of the stream; and out of one that holds `count`.
    static operation splice_in(int pipe, std::size_t count) {
        return {kind::splice_in, half::read, false, nullptr, count, pipe};
    }
    static operation splice_out(int pipe, std::size_t count) {
        return {kind::splice_out, half::write, false, nullptr, count, pipe};
    }

    /// Makes the call on a non-blocking descriptor. Returns its result or -errno; -EAGAIN: wait
    /// until `needs` is ready, then attempt again.
    std::ptrdiff_t attempt(int fd) noexcept;

    /// Whether it is a send on a connection.
    [[nodiscard]] bool is_send() const noexcept {
        return what == kind::send || what == kind::send_vector;
    }

    /// Whether it would transfer no byte at all, for which the system might wait.
    [[nodiscard]] bool moves_nothing() const noexcept;

    /// Whether a result of n shows that a TCP socket has no more to read, or takes no more.
    [[nodiscard]] bool exhausts(std::ptrdiff_t n) const noexcept;
};

}  // namespace wire::io::detail
