#include "death_watch.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <new>

#include <wire/shm/detail/identity.hpp>
#include "sys.hpp"
#include "without_signals.hpp"

namespace wire::shm::detail {
namespace {

bool add(int epoll, int fd) noexcept {
    // One-shot: a dead process stays readable until it is forgotten.
    epoll_event e{.events = EPOLLIN | EPOLLONESHOT, .data = {.fd = fd}};
    return wire::detail::sys::call("epoll_ctl",
                                   [&] { return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e); }) == 0;
}

}  // namespace

death_watch::~death_watch() {
    if (listener_.joinable()) {
        const std::uint64_t one = 1;
        static_cast<void>(!::write(stop_, &one, sizeof one));
        listener_.join();
    }
    for (const auto& [who, fd] : watched_) ::close(fd);
    if (stop_ >= 0) ::close(stop_);
    if (epoll_ >= 0) ::close(epoll_);
}

bool death_watch::watch(std::uint64_t who) noexcept {
    if (watched_.contains(who)) return true;
    if (!start()) return false;
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, identity::pid(who), 0));
    if (fd < 0) {
        if (errno != ESRCH) return false;
        died_.store(true, std::memory_order_relaxed);
        return true;
    }
    if (!add(epoll_, fd) || !remember(who, fd)) {
        ::close(fd);
        return false;
    }
    // The number may be another's already.
    if (identity::has_ended(who)) died_.store(true, std::memory_order_relaxed);
    return true;
}

bool death_watch::remember(std::uint64_t who, int fd) noexcept {
    try {
        watched_.emplace(who, fd);
    } catch (const std::bad_alloc&) {
        return false;
    }
    return true;
}

void death_watch::forget_the_dead() noexcept {
    forget_if(identity::has_ended);
}

bool death_watch::start() noexcept {
    if (listener_.joinable()) return true;
    if (epoll_ < 0) epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (stop_ < 0) stop_ = ::eventfd(0, EFD_CLOEXEC);
    if (epoll_ < 0 || stop_ < 0 || !add(epoll_, stop_)) return false;
    const without_signals meanwhile;
    try {
        listener_ = std::thread([this] { listen(); });
    } catch (const std::exception&) {  // no thread, or no memory
        return false;
    }
    return true;
}

void death_watch::listen() noexcept {
    for (epoll_event e;;) {
        if (::epoll_wait(epoll_, &e, 1, -1) != 1) continue;
        if (e.data.fd == stop_) return;
        died_.store(true, std::memory_order_relaxed);
        ring_bell_();
    }
}

}  // namespace wire::shm::detail
