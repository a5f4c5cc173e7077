#include <wire/signals.hpp>

#include <pthread.h>
#include <sys/signalfd.h>

#include <span>
#include <system_error>

#include "operation.hpp"
#include "socket.hpp"

namespace wire::io {

signals::signals(std::initializer_list<int> numbers) {
    sigset_t before;
    sigset_t wanted;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &before);
    ::sigemptyset(&wanted);
    ::sigemptyset(&blocked_);
    for (const int n : numbers) {
        WIRE_ASSERT(::sigaddset(&wanted, n) == 0, "wire::io::signals with a number that is none");
        if (!::sigismember(&before, n)) ::sigaddset(&blocked_, n);
    }
    auto fd = detail::owned(detail::invoke(
        "signalfd", [&] { return ::signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC); }));
    if (!fd)
        throw std::system_error(fd.error(),
                                "signalfd failed; raise the limit of open files (ulimit -n)");
    fd_ = *std::move(fd);
    ::pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
}

signals::~signals() {
    ::pthread_sigmask(SIG_UNBLOCK, &blocked_, nullptr);
}

namespace {

// `read` makes an operation; returns the number of the signal.
template <class Read>
result<int> fetch(Read read) noexcept {
    signalfd_siginfo info{};
    const std::ptrdiff_t n =
        read(detail::operation::read(std::as_writable_bytes(std::span(&info, 1))));
    if (n < 0) return detail::failed(n);
    return static_cast<int>(info.ssi_signo);
}

}  // namespace

result<int> signals::wait(deadline until) noexcept {
    return fetch([&](auto op) { return fd_.perform(op, until); });
}

result<int> signals::try_wait() noexcept {
    return fetch([&](auto op) { return op.attempt(fd_.number()); });
}

}  // namespace wire::io
