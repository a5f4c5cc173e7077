#include "reactor_epoll.hpp"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include <wire/diagnostics.hpp>
#include "syscalls.hpp"

namespace wire::io::detail {
namespace {

constexpr std::size_t events_per_call = 512;
// While so many are served, more come: another look costs less than a rest and a call by the loop.
constexpr std::size_t events_when_busy = 6;
constexpr std::uint64_t wakeup_tag = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t timer_tag = wakeup_tag - 1;
constexpr std::uint32_t read_events = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t write_events = EPOLLOUT | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t read_ends = EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t write_ends = EPOLLHUP | EPOLLERR;

// Rounded up: a sleep that ends too early would be repeated until the deadline.
int milliseconds_to(deadline until, std::int64_t now) noexcept {
    constexpr std::int64_t ms = 1'000'000;
    const std::int64_t ns = std::max<std::int64_t>(until.ns() - now, 0);
    return static_cast<int>(std::min<std::int64_t>(ns / ms + (ns % ms != 0), 60'000));
}

}  // namespace

void reactor_epoll::bind() {
    if (epoll_ < 0)
        epoll_ = made("epoll_create1",
                      invoke("epoll_create1", [] { return ::epoll_create1(EPOLL_CLOEXEC); }),
                      more_files);
    make_wakeup();
    if (awake_) return;
    watch_always(wakeup_, wakeup_tag);
    awake_ = true;
}

// Registers a descriptor of the reactor's own, which is never read.
void reactor_epoll::watch_always(int fd, std::uint64_t tag) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = tag;
    made("epoll_ctl",
         invoke("epoll_ctl", [&] { return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event); }),
         "raise fs.epoll.max_user_watches");
}

int reactor_epoll::expose() {
    constexpr int flags = TFD_CLOEXEC | TFD_NONBLOCK;
    timer_ = made("timerfd_create",
                  invoke("timerfd_create", [] { return ::timerfd_create(CLOCK_MONOTONIC, flags); }),
                  more_files);
    timer_at_ = deadline::never_ns;
    try {
        watch_always(timer_, timer_tag);
    } catch (...) {
        hide();
        throw;
    }
    return epoll_;
}

void reactor_epoll::hide() noexcept {
    ::close(std::exchange(timer_, -1));
}

bool reactor_epoll::rest(deadline until) {
    if (until.ns() < timer_at_) {
        itimerspec at{};  // of an absolute time, 0 would stop it
        at.it_value = remaining(std::max(until, deadline::at_ns(1)), 0);
        made("timerfd_settime",
             invoke("timerfd_settime",
                    [&] { return ::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &at, nullptr); }),
             "is it refused here?");
        timer_at_ = until.ns();
    }
    return fetched_ < events_when_busy;
}

void reactor_epoll::poll(deadline until) {
    std::array<epoll_event, events_per_call> events;
    const auto n = sleep_in_kernel(events, until);
    fetched_ = static_cast<std::size_t>(std::max<std::ptrdiff_t>(n, 0));
    for (std::ptrdiff_t i = 0; i < n; ++i)
        on_event(events[static_cast<std::size_t>(i)].data.u64,
                 events[static_cast<std::size_t>(i)].events);
}

// Returns how many events there are; 0 after an interruption.
std::ptrdiff_t reactor_epoll::sleep_in_kernel(std::span<epoll_event> events, deadline until) {
    const char* call = "epoll_pwait2";
    std::ptrdiff_t n = -1;
    if (!coarse_) {
        timespec patience{};
        if (until.ns() > 0 && !until.is_never()) patience = remaining(until, now());
        n = wire::detail::sys::call(call, [&] {
            return ::syscall(SYS_epoll_pwait2, epoll_, events.data(), events.size(),
                             until.is_never() ? nullptr : &patience, nullptr, 0);
        });
        coarse_ = n < 0 && (errno == ENOSYS || errno == EPERM);
        if (coarse_)
            wire::detail::report(diagnostic::fallback,
                                 "epoll_pwait2 is refused (before Linux 5.11, or "
                                 "by a sandbox): deadlines are as coarse as a millisecond");
    }
    if (coarse_) {
        call = "epoll_wait";
        const int patience = until.is_never() ? -1 : milliseconds_to(until, now());
        n = wire::detail::sys::call(call, [&] {
            return ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), patience);
        });
    }
    if (n < 0 && errno != EINTR) made(call, -errno, "is epoll refused here?");
    return n;
}

void reactor_epoll::on_event(std::uint64_t tag, std::uint32_t events) noexcept {
    if (tag == wakeup_tag) return;
    if (tag == timer_tag) {
        timer_at_ = deadline::never_ns;
        return;
    }
    fd_entry& e = table_[static_cast<std::uint32_t>(tag)];
    if (e.generation != tag >> 32) return;  // of a descriptor that is gone
    if (e.foreign)
        on_foreign_event(e, events);
    else
        on_owned_event(e, events);
}

void reactor_epoll::on_owned_event(fd_entry& e, std::uint32_t events) noexcept {
    const auto note = [&](half h, std::uint32_t any, std::uint32_t ends) {
        if (!(events & any)) return;
        e[h].ready = true;
        if (events & ends) e[h].ended = true;
        wake_next(e[h].waiters);
    };
    note(half::read, read_events, read_ends);
    note(half::write, write_events, write_ends);
}

void reactor_epoll::on_foreign_event(fd_entry& e, std::uint32_t events) noexcept {
    if (events & read_events) wake_every(e[half::read].waiters);
    if (events & write_events) wake_every(e[half::write].waiters);
    // The event has disarmed both directions. If they cannot be armed again the waiters look.
    if (e.is_waited_for() && arm_foreign(e) != 0)
        for (auto& d : e.directions) wake_every(d.waiters);
}

std::ptrdiff_t reactor_epoll::complete(int fd, fd_entry*& entry, operation& op,
                                       deadline until) noexcept {
    if (!entry)
        if (const int error = register_owned(fd, entry)) return -error;
    fd_entry& e = *entry;
    const std::uint32_t generation = e.generation;
    for (bool first = true;; first = false) {
        if (!e[op.needs].worth_an_attempt()) {
            fd_waiter me;
            // A wire that was woken for nothing keeps its place: behind the others it could starve.
            if (first)
                e[op.needs].waiters.push_back(me);
            else
                e[op.needs].waiters.push_front(me);
            if (const int error = sleep(me, op.needs, until)) return -error;
            // Closed after the wake-up: the number may be another descriptor's already.
            if (e.generation != generation) return -EBADF;
        }
        const std::ptrdiff_t n = op.attempt(fd);
        e.attempted(op, n);
        if (n != -EAGAIN) return n;
    }
}

int reactor_epoll::register_owned(int fd, fd_entry*& entry) noexcept {
    // The number was waited for as somebody else's. Those waits go on in wait_owned().
    if (fd_entry* const stranger = table_.find(fd); stranger && stranger->foreign)
        table_.remove(*stranger, EAGAIN);
    entry = enrol(fd);
    if (!entry) return ENOMEM;
    constexpr std::uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
    int error = control(EPOLL_CTL_ADD, *entry, events);
    if (error == EEXIST) error = control(EPOLL_CTL_MOD, *entry, events);  // armed by wait()
    if (error) forget(*std::exchange(entry, nullptr));
    return error;
}

void reactor_epoll::let_go(fd_entry& e) noexcept {
    control(EPOLL_CTL_DEL, e, 0);
}

void reactor_epoll::shut() noexcept {
    if (epoll_ >= 0) ::close(std::exchange(epoll_, -1));
}

int reactor_epoll::wait(int fd, half h, deadline until) noexcept {
    if (fd < 0) return EBADF;
    for (;;) {
        fd_entry* const e = table_.find_or_add(fd);
        if (!e) return ENOMEM;
        if (!e->foreign) return wait_owned(*e, h, until);
        fd_waiter me;
        (*e)[h].waiters.push_back(me);
        if (const int error = arm_foreign(*e)) return error == EPERM ? 0 : error;  // a regular file
        const int outcome = sleep(me, h, until);
        if (outcome != EAGAIN) return outcome;  // EAGAIN: the number became a library descriptor's
    }
}

bool reactor_epoll::watch(fd_waiter& w, int fd, half h) noexcept {
    fd_entry* const e = fd < 0 ? nullptr : table_.find_or_add(fd);
    if (!e) {
        w.error = fd < 0 ? EBADF : ENOMEM;
        return true;
    }
    if (!e->foreign) {
        if (const int n = look_again(*e, h)) {
            w.error = n < 0 ? -n : 0;
            return true;
        }
    }
    (*e)[h].waiters.push_back(w);
    if (const int error = e->foreign ? arm_foreign(*e) : 0) {
        w.unlink();
        w.error = error == EPERM ? 0 : error;  // a regular file is always ready
        return true;
    }
    w.counted = &waiting_;
    ++waiting_;
    return false;
}

void reactor_epoll::unwatch(fd_waiter& w) noexcept {
    w.unlink();
    --waiting_;
}

int reactor_epoll::arm_foreign(fd_entry& e) noexcept {
    std::uint32_t events = EPOLLONESHOT;
    if (!e[half::read].waiters.empty()) events |= EPOLLIN | EPOLLRDHUP;
    if (!e[half::write].waiters.empty()) events |= EPOLLOUT;
    const int error = control(EPOLL_CTL_MOD, e, events);
    if (error != ENOENT) return error;
    ++e.generation;  // it is another file than last time
    return control(EPOLL_CTL_ADD, e, events);
}

// Asks the system whether a descriptor of the library is ready: what is noted may be out of date.
// Returns 0, 1 or -errno.
int reactor_epoll::look_again(fd_entry& e, half h) noexcept {
    const int n = look(e.fd, h);
    if (n == 0) e[h].ready = false;
    return n;
}

// A wait for a number that a descriptor of the library owns.
int reactor_epoll::wait_owned(fd_entry& e, half h, deadline until) noexcept {
    for (;;) {
        if (const int n = look_again(e, h)) {
            wake_next(e[h].waiters);
            return n > 0 ? wire::detail::check_cancelled() : -n;
        }
        fd_waiter me;
        const std::uint32_t generation = e.generation;
        e[h].waiters.push_back(me);
        if (const int error = sleep(me, h, until)) return error;
        if (e.generation != generation) return EBADF;
    }
}

// Returns 0 or an errno.
int reactor_epoll::control(int operation, fd_entry& e, std::uint32_t events) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.u64 = std::uint64_t{e.generation} << 32 | e.index;
    return static_cast<int>(
        -invoke("epoll_ctl", [&] { return ::epoll_ctl(epoll_, operation, e.fd, &event); }));
}

}  // namespace wire::io::detail
