#include "backend.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include <wire/offload.hpp>
#include "scheduler.hpp"
#include "syscalls.hpp"

namespace wire::io::detail {
namespace {

constinit thread_local backend* bound_here = nullptr;  // the last one

bool is_tcp(int fd) noexcept {
    int protocol = 0;
    socklen_t length = sizeof protocol;
    return invoke("getsockopt",
                  [&] { return ::getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length); }) ==
               0 &&
           protocol == IPPROTO_TCP;
}

}  // namespace

backend* backend::current(backend* likely) noexcept {
    poller& p = wire::detail::current_poller("I/O outside a wire: call it from a wire");
    if (&p == likely) return likely;  // a dynamic_cast takes longer than the rest of a wait
    auto* const b = dynamic_cast<backend*>(&p);
    WIRE_ASSERT(b || wire::detail::current_scheduler()->running()->root.cancelled,
                "I/O in a runtime without a reactor: make a wire::io::reactor for it");
    return b;
}

void backend::notify() noexcept {
    // Fails only if the counter is full, and then an edge is on its way.
    static_cast<void>(invoke("eventfd_write", [&] { return ::eventfd_write(wakeup_, 1); }));
}

void backend::make_wakeup() {
    if (wakeup_ >= 0) return;
    wakeup_ =
        made("eventfd", invoke("eventfd", [] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }),
             more_files);
    bound_in_ = wire::detail::this_generation;
    next_here_ = std::exchange(bound_here, this);
}

int backend::sleep(fd_waiter& me, half h, deadline until) noexcept {
    ++waiting_;
    const int outcome = wire::detail::park(what(h), until);
    --waiting_;
    return me.error ? me.error : outcome;
}

fd_entry* backend::enrol(int fd) noexcept {
    fd_entry* const e = table_.add(fd);
    if (!e) return nullptr;
    e->short_means_empty = is_tcp(fd);
    ++enrolled_;
    return e;
}

std::ptrdiff_t backend::perform(const file_call& call, deadline until) noexcept {
    std::ptrdiff_t n = 0;
    auto body = [&] { n = call.attempt(); };
    const int error = run_on_helper(until, body);
    return error ? -error : n;
}

int backend::wait_while(const std::uint32_t&, std::uint32_t, deadline) noexcept {
    return ENOSYS;
}

void backend::forget(fd_entry& e) noexcept {
    if (!retired_ && !is_copy()) let_go(e);
    table_.remove(e, EBADF);
    if (--enrolled_ == 0 && retired_) delete this;
}

void backend::forget_number(int fd) noexcept {
    for (backend* b = bound_here; b; b = b->next_here_) {
        fd_entry* const e = b->is_copy() ? nullptr : b->table_.find(fd);
        if (!e || !e->foreign || !e->is_waited_for()) continue;
        b->let_go(*e);
        b->table_.remove(*e, EBADF);
    }
}

void backend::retire() noexcept {
    shut();
    if (wakeup_ >= 0) ::close(std::exchange(wakeup_, -1));
    for (backend** at = &bound_here; *at; at = &(*at)->next_here_) {
        if (*at != this) continue;
        *at = next_here_;
        break;
    }
    retired_ = true;
    if (enrolled_ == 0) delete this;
}

int look(int fd, half h) noexcept {
    if (fd < 0) return -EBADF;
    pollfd now{
        .fd = fd, .events = static_cast<short>(h == half::read ? POLLIN : POLLOUT), .revents = 0};
    const auto n = static_cast<int>(invoke("poll", [&] { return ::poll(&now, 1, 0); }));
    return n > 0 && (now.revents & POLLNVAL) ? -EBADF : n;
}

int made(const char* call, std::ptrdiff_t outcome, const char* fix) {
    if (outcome < 0)
        throw std::system_error(static_cast<int>(-outcome), std::system_category(),
                                std::string(call) + " for a reactor failed; " + fix);
    return static_cast<int>(outcome);
}

timespec remaining(deadline until, std::int64_t now) noexcept {
    const std::int64_t ns = std::max<std::int64_t>(until.ns() - now, 0);
    return {.tv_sec = static_cast<time_t>(ns / 1'000'000'000),
            .tv_nsec = static_cast<long>(ns % 1'000'000'000)};
}

}  // namespace wire::io::detail
