#include "operation.hpp"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>

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

std::span<mmsghdr> messages(const operation& op) noexcept {
    return {static_cast<mmsghdr*>(op.data), op.size};
}

// One message takes the call that every sandbox knows.
std::ptrdiff_t receive_messages(int fd, std::span<mmsghdr> to) noexcept {
    constexpr int flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
    if (to.size() > 1)
        return invoke("recvmmsg", [&] {
            return ::recvmmsg(fd, to.data(), static_cast<unsigned>(to.size()), flags, nullptr);
        });
    const auto n = invoke("recvmsg", [&] { return ::recvmsg(fd, &to[0].msg_hdr, flags); });
    if (n < 0) return n;
    to[0].msg_len = static_cast<unsigned>(n);
    return 1;
}

std::ptrdiff_t send_messages(int fd, std::span<mmsghdr> from) noexcept {
    constexpr int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    if (from.size() > 1)
        return invoke("sendmmsg", [&] {
            return ::sendmmsg(fd, from.data(), static_cast<unsigned>(from.size()), flags);
        });
    const auto n = invoke("sendmsg", [&] { return ::sendmsg(fd, &from[0].msg_hdr, flags); });
    if (n < 0) return n;
    from[0].msg_len = static_cast<unsigned>(n);
    return 1;
}

// Some calls have no flag against the SIGPIPE that comes to the calling thread if the peer is gone.
// So it is blocked meanwhile and taken back, unless there was one before. That costs two cheap
// system calls, but changes nothing that lasts: what a process does about SIGPIPE is its affair.
template <class Fn>
std::ptrdiff_t without_sigpipe(const char* name, Fn fn) noexcept {
    sigset_t broken;
    sigset_t before;
    sigset_t pending;
    ::sigemptyset(&broken);
    ::sigaddset(&broken, SIGPIPE);
    ::sigemptyset(&pending);
    ::pthread_sigmask(SIG_BLOCK, &broken, &before);
    const bool was_blocked = ::sigismember(&before, SIGPIPE) == 1;
    if (was_blocked) ::sigpending(&pending);
    const auto n = invoke(name, fn);
    if (n == -EPIPE && ::sigismember(&pending, SIGPIPE) == 0) {
        const timespec at_once{};
        while (::sigtimedwait(&broken, nullptr, &at_once) < 0 && errno == EINTR) {
        }
    }
    if (!was_blocked) ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return n;
}

std::ptrdiff_t splice_now(int from, int to, std::size_t count) noexcept {
    constexpr unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
    return without_sigpipe("splice",
                           [&] { return ::splice(from, nullptr, to, nullptr, count, flags); });
}

std::ptrdiff_t reap_now(int fd, siginfo_t& how) noexcept {
    how.si_pid = 0;
    const auto n = invoke("waitid", [&] {
        return ::waitid(P_PIDFD, static_cast<id_t>(fd), &how, WEXITED | WNOHANG);
    });
    return n == 0 && how.si_pid == 0 ? -EAGAIN : n;
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
        case kind::receive_messages:
            return receive_messages(fd, messages(*this));
        case kind::send_messages:
            return send_messages(fd, messages(*this));
        case kind::send_file:
            return without_sigpipe(
                "sendfile", [&] { return ::sendfile(fd, other, static_cast<off_t*>(data), size); });
        case kind::splice_in:
            return splice_now(fd, other, size);
        case kind::splice_out:
            return splice_now(other, fd, size);
        case kind::write:
            return without_sigpipe("write", [&] { return ::write(fd, data, size); });
        case kind::reap:
            return reap_now(fd, *static_cast<siginfo_t*>(data));
    }
    return -EINVAL;
}

bool operation::moves_nothing() const noexcept {
    switch (what) {
        case kind::receive:
        case kind::send:
        case kind::write:
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
