// The io_uring backend in the loop of another; see reactor_uring.hpp.
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>

#include "reactor_uring.hpp"
#include "syscalls.hpp"

namespace wire::io::detail {
namespace {

constexpr std::size_t hints_per_call = 64;
constexpr std::uint64_t wakeup_tag = std::numeric_limits<std::uint64_t>::max();

std::ptrdiff_t control(int epoll, int operation, int fd, std::uint32_t events,
                       std::uint64_t tag) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.u64 = tag;
    return invoke("epoll_ctl", [&] { return ::epoll_ctl(epoll, operation, fd, &event); });
}

}  // namespace

int reactor_uring::expose() {
    outer_ =
        made("epoll_create1",
             invoke("epoll_create1", [] { return ::epoll_create1(EPOLL_CLOEXEC); }), more_files);
    try {
        made("epoll_ctl", control(outer_, EPOLL_CTL_ADD, wakeup_, EPOLLIN | EPOLLET, wakeup_tag),
             "raise fs.epoll.max_user_watches");
        made("io_uring_register", -ring_.signal(wakeup_), use_epoll);
    } catch (...) {
        ::close(std::exchange(outer_, -1));
        throw;
    }
    for (std::uint32_t i = 0; i < table_.size(); ++i) hint(table_[i]);
    cancel(the_wakeup);
    settle();
    return outer_;
}

void reactor_uring::hide() noexcept {
    ::close(std::exchange(outer_, -1));
    ring_.be_silent();
    io_uring_sqe& sqe = place();
    ::io_uring_prep_timeout_remove(&sqe, the_timer, 0);
    sqe.user_data = nothing;
    arm_wakeup();
    settle();
}

bool reactor_uring::rest(deadline until) {
    if (until.ns() < timer_at_) arm_timer(until.ns());
    if (ring_.has_queued()) {
        if (const int error = ring_.enter(false, nullptr))
            made("io_uring_enter", -error, use_epoll);
        cancels_queued_ = false;
    }
    if (ring_.has_news()) return false;
    const bool all = take_hints();
    ring_.quieten(false);
    return all && !ring_.has_queued() && !ring_.has_news();
}

// The timer is to fire at `at`: earlier than it would, if it is set.
void reactor_uring::arm_timer(std::int64_t at) noexcept {
    constexpr std::int64_t second = 1'000'000'000;
    at = std::max<std::int64_t>(at, 1);  // 0 is no time
    timer_time_ = {.tv_sec = at / second, .tv_nsec = at % second};
    io_uring_sqe& sqe = place();
    const bool is_set = timer_at_ != deadline::never_ns;
    if (is_set)
        ::io_uring_prep_timeout_update(&sqe, &timer_time_, the_timer, IORING_TIMEOUT_ABS);
    else
        ::io_uring_prep_timeout(&sqe, &timer_time_, 0, IORING_TIMEOUT_ABS);
    sqe.user_data = is_set ? nothing : the_timer;
    timer_at_ = at;
}

// What is waited for of somebody else's descriptor shall wake the other loop, once.
void reactor_uring::hint(fd_entry& e) noexcept {
    if (!e.foreign || !e.is_waited_for()) return;
    std::uint32_t events = EPOLLONESHOT;
    if (!e[half::read].waiters.empty()) events |= EPOLLIN | EPOLLRDHUP;
    if (!e[half::write].waiters.empty()) events |= EPOLLOUT;
    const std::uint64_t tag = std::uint64_t{e.generation} << 32 | e.index;
    // What fails, as for a regular file, completes or fails in the ring at once.
    if (control(outer_, EPOLL_CTL_MOD, e.fd, events, tag) == -ENOENT)
        control(outer_, EPOLL_CTL_ADD, e.fd, events, tag);
}

// Takes back what has woken the other loop. Returns whether that is all.
bool reactor_uring::take_hints() noexcept {
    std::array<epoll_event, hints_per_call> events;
    const auto n = invoke("epoll_wait", [&] {
        return ::epoll_wait(outer_, events.data(), static_cast<int>(events.size()), 0);
    });
    for (std::ptrdiff_t i = 0; i < n; ++i) {
        const std::uint64_t tag = events[static_cast<std::size_t>(i)].data.u64;
        if (tag == wakeup_tag) continue;
        fd_entry& e = table_[static_cast<std::uint32_t>(tag)];
        if (e.generation == tag >> 32) hint(e);
    }
    return n < static_cast<std::ptrdiff_t>(hints_per_call);
}

}  // namespace wire::io::detail
