// The reactor's backend on epoll.
//
// Descriptors of the library are registered once, at their first wait, edge-triggered and for both
// directions. An event sets the direction's sticky `ready`, which only an attempt that would have
// blocked takes back; so an event that comes while its wire is busy is not lost. One waiter is
// woken for each event; after its attempt it wakes the next if there may be more.
//
// A short transfer on a TCP socket also takes `ready` back, which saves the attempt that fails: an
// edge follows when there is more. Three cases have no such edge (the peer's end, an error, urgent
// data, where recv() stops short at the mark). They set `ended`: attempts are always made then.
//
// Descriptors of others may be closed and their numbers used again without our knowledge. They are
// armed for one event at every wait (EPOLLONESHOT); ENOENT then tells that it is another file.
//
// Another loop is given the epoll descriptor itself, which then watches a timerfd, too. All that
// makes it readable is edge-triggered or for one event, so that the poll at the begin of run_once()
// takes it back: one system call, and none at the end. The timerfd is set only for an earlier time
// than it has.
//
// An event carries the index and generation of its record. The generation changes when the record
// is given up, so an event that was fetched before and is looked at after is dropped.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <span>

#include "backend.hpp"

namespace wire::io::detail {

class reactor_epoll final : public backend {
public:
    using backend::backend;
    void bind() override;
    void poll(deadline until) override;
    bool rest(deadline until) override;
    int expose() override;
    void hide() noexcept override;
    std::ptrdiff_t complete(int fd, fd_entry*& entry, operation& op,
                            deadline until) noexcept override;
    int wait(int fd, half h, deadline until) noexcept override;
    bool watch(fd_waiter& w, int fd, half h) noexcept override;
    void unwatch(fd_waiter& w) noexcept override;

private:
    ~reactor_epoll() override = default;

    void let_go(fd_entry& entry) noexcept override;
    void shut() noexcept override;

    int control(int operation, fd_entry& e, std::uint32_t events) noexcept;

    int register_owned(int fd, fd_entry*& entry) noexcept;
    int arm_foreign(fd_entry& e) noexcept;
    int wait_owned(fd_entry& e, half h, deadline until) noexcept;
    int look_again(fd_entry& e, half h) noexcept;

    void watch_always(int fd, std::uint64_t tag);
    std::ptrdiff_t sleep_in_kernel(std::span<epoll_event> events, deadline until);
    void on_event(std::uint64_t tag, std::uint32_t events) noexcept;
    void on_owned_event(fd_entry& e, std::uint32_t events) noexcept;
    void on_foreign_event(fd_entry& e, std::uint32_t events) noexcept;

    int epoll_ = -1;
    bool awake_ = false;   // knows the eventfd
    bool coarse_ = false;  // epoll_pwait2 is refused
    int timer_ = -1;       // timerfd, edge-triggered: never read; while exposed
    std::int64_t timer_at_ = deadline::never_ns;
    std::size_t fetched_ = 0;  // events of the last poll()
};

}  // namespace wire::io::detail
