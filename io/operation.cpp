#include "operation.hpp"

#include <unistd.h>

#include "syscalls.hpp"

namespace wire::io::detail {
namespace {

std::ptrdiff_t connect_now(int fd, operation& op) noexcept {
    if (!op.begun) {
        op.begun = true;
        const auto n = invoke("connect", [&] {
            return ::connect(fd, static_cast<const sockaddr*>(op.data),
                             static_cast<socklen_t>(op.size));
        });
        return n == -EINPROGRESS ? -EAGAIN : n;
    }
    int error = 0;
    socklen_t length = sizeof error;
    const auto n = invoke("getsockopt",
                          [&] { return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length); });
    return n < 0 ? n : -error;
}

msghdr message(const operation& op) noexcept {
    msghdr m{};
    m.msg_iov = static_cast<iovec*>(op.data);
    m.msg_iovlen = op.size;
    return m;
}

std::size_t total(const operation& op) noexcept {
    std::size_t sum = 0;
    for (const iovec& v : std::span(static_cast<const iovec*>(op.data), op.size)) sum += v.iov_len;
    return sum;
}

}  // namespace

std::ptrdiff_t operation::attempt(int fd) noexcept {
    switch (what) {
        case kind::accept:
            return invoke("accept4", [&] {
                return ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            });
        case kind::connect:
            return connect_now(fd, *this);
        case kind::receive:
            return invoke("recv", [&] { return ::recv(fd, data, size, MSG_DONTWAIT); });
        case kind::receive_vector: {
            msghdr m = message(*this);
            return invoke("recvmsg", [&] { return ::recvmsg(fd, &m, MSG_DONTWAIT); });
        }
        case kind::send:
            return invoke("send",
                          [&] { return ::send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL); });
        case kind::send_vector: {
            const msghdr m = message(*this);
            return invoke("sendmsg",
                          [&] { return ::sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL); });
        }
        case kind::read:
            return invoke("read", [&] { return ::read(fd, data, size); });
    }
    return -EINVAL;
}

bool operation::moves_nothing() const noexcept {
    switch (what) {
        case kind::receive:
        case kind::send:
            return size == 0;
        case kind::receive_vector:
        case kind::send_vector:
            return total(*this) == 0;
        default:
            return false;
    }
}

bool operation::exhausts(std::ptrdiff_t n) const noexcept {
    if (n <= 0) return false;
    const auto done = static_cast<std::size_t>(n);
    switch (what) {
        case kind::receive:
        case kind::send:
            return done < size;
        case kind::receive_vector:
        case kind::send_vector:
            return done < total(*this);
        default:
            return false;
    }
}

}  // namespace wire::io::detail
