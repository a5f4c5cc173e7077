// The reactor's backend on io_uring.
//
// A wire's operation is a `flight`: it lies on the wire's stack, and the wire returns only when the
// kernel has sent its completion. A deadline or a cancellation asks the kernel to cancel it and
// waits; what was done nevertheless is the result. So no buffer is the kernel's after its wire has
// gone on. What has no buffer needs no such care: polls and acceptors live here and may outlive
// whoever began them.
//
// One wire at a time has the `turn` in a direction of a descriptor, in the order of asking; the
// others sleep until it is handed to them. So the kernel has at most one operation of a direction,
// and what comes is given out first come, first served.
//
// Sends, receives, accepts, and reads and writes of files are the kernel's affair as a whole. What
// else descriptors do, and the wait for one, is a poll and then an attempt; other calls on files
// would only go from the kernel to threads of its own, so helper threads make them.
//
// close() never suspends: it cancels the flights of the descriptor, whose wires return EBADF later,
// and submits what is queued, so that nothing refers to the number when it is used again.
//
// Another loop is given an epoll descriptor over the eventfd that notify() writes to. The ring
// signals that eventfd, too, instead of polling it: its own descriptor wakes no poll where
// completions are deferred. Timers are timeouts of the ring, submitted with the rest. Everything
// there is edge-triggered or for one event, and taken back by one system call at the end of
// run_once(), before the last look for completions: one that comes later signals again.
//
// The kernel does not signal at once, and may not signal at all, what completes inside a write to
// somebody else's eventfd. So the epoll watches what wires of others' descriptors wait for as well,
// only to wake the other loop: the completion is the ring's. Such an event may come first; so what
// is still waited for then is watched again.
//
// The user data of a submission is the address of what it is about, with its kind in the low bits.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "backend.hpp"
#include "ring.hpp"

namespace wire::io::detail {

inline constexpr const char* use_epoll = "or set WIRE_REACTOR=epoll";

/// What a submission is about: the low bits of its user data.
enum tag : std::uintptr_t { a_flight, a_poll, an_acceptor, the_wakeup, the_timer, nothing };
inline constexpr std::uintptr_t tag_mask = 7;

/// An operation of a wire, on its stack, from its submission to its completion.
struct flight : wire::detail::waiter {
    int result = 0;
    unsigned flags = 0;
    bool landed = false;
};

/// A wait for one readiness. It is free again after its completion.
struct poll_request {
    fd_waiter* who = nullptr;  // nullptr: nobody cares any more
    poll_request* next_free = nullptr;
};

/// The connections that the kernel accepts for a listener. It is free again when it has no owner
/// and the kernel is done with it.
struct acceptor {
    fd_entry* owner = nullptr;
    wire::detail::waiter* sleeper = nullptr;
    std::vector<int> accepted;
    std::size_t taken = 0;  // of `accepted`
    int error = 0;
    bool armed = false;      // the kernel accepts
    bool cancelled = false;  // and has been asked to stop
    acceptor* next_free = nullptr;
};

class reactor_uring final : public backend {
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
    std::ptrdiff_t perform(const file_call& call, deadline until) noexcept override;
    int wait_while(const std::uint32_t& word, std::uint32_t value,
                   deadline until) noexcept override;

    void submit() noexcept override;
    void recall() noexcept override;

private:
    ~reactor_uring() override = default;

    void let_go(fd_entry& entry) noexcept override;
    void shut() noexcept override;

    void arm_wakeup() noexcept;
    void arm_timer(std::int64_t at) noexcept;
    void hint(fd_entry& e) noexcept;
    bool take_hints() noexcept;
    void take_completions() noexcept;
    void settle() noexcept;
    void on_completion(const completion& c) noexcept;
    void on_poll(poll_request& p, int result) noexcept;
    void on_accept(acceptor& a, const completion& c) noexcept;

    int take_turn(fd_entry& e, half h, deadline until) noexcept;
    void pass_turn(fd_entry::direction& d) noexcept;
    std::ptrdiff_t make(fd_entry& e, operation& op, deadline until) noexcept;
    std::ptrdiff_t fly(fd_entry& e, operation& op, deadline until) noexcept;
    int land(flight& f, const char* what, deadline until) noexcept;
    std::ptrdiff_t attempt_when_ready(fd_entry& e, operation& op, deadline until) noexcept;

    bool arm(fd_waiter& w, int fd, half h) noexcept;
    bool give_up(fd_waiter& w) noexcept;
    int wait_a_moment(fd_entry& e, deadline until) noexcept;
    int sleep_armed(fd_waiter& me, int fd, half h, deadline until) noexcept;
    io_uring_sqe& place() noexcept;
    void cancel(std::uint64_t about) noexcept;

    acceptor* acceptor_of(fd_entry& e) noexcept;
    std::ptrdiff_t accept(fd_entry& e, deadline until) noexcept;
    void begin(acceptor& a, int fd) noexcept;
    void keep(acceptor& a, int fd) noexcept;
    void stop(acceptor& a) noexcept;
    void abandon(acceptor& a) noexcept;

    ring ring_;
    int outer_ = -1;  // epoll; while exposed
    std::int64_t timer_at_ = deadline::never_ns;
    __kernel_timespec timer_time_{};  // of a submission
    wire::detail::list<flight> flights_;
    std::deque<poll_request> polls_;
    poll_request* free_poll_ = nullptr;
    std::size_t polling_ = 0;      // requests that the kernel is not done with
    bool cancels_queued_ = false;  // some of them are to end with the next system call
    std::deque<acceptor> acceptors_;
    acceptor* free_acceptor_ = nullptr;
    std::size_t accepting_ = 0;  // acceptors that the kernel is not done with
};

}  // namespace wire::io::detail
