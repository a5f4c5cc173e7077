#include "reactor_uring.hpp"

#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <new>

#include "prepare.hpp"
#include "scheduler.hpp"
#include "syscalls.hpp"

namespace wire::io::detail {
namespace {

std::uint64_t tagged(const void* object, tag kind) noexcept {
    return reinterpret_cast<std::uintptr_t>(object) | kind;
}

template <class T>
T& object_of(std::uint64_t about) noexcept {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): user data is a number
    return *reinterpret_cast<T*>(about & ~std::uint64_t{tag_mask});
}

// What a test wants the call to fail with, as -errno; else 0.
std::ptrdiff_t refused(const char* call) noexcept {
    return invoke(call, [] { return 0; });
}

// Connections that wait for accept(): with more of them the kernel is asked to stop.
constexpr std::size_t accepted_max = 32;

// Whether accept() has something to return at once.
bool has_accepted(const fd_entry& e) noexcept {
    return e.accepts && (e.accepts->taken < e.accepts->accepted.size() || e.accepts->error);
}

}  // namespace

void reactor_uring::bind() {
    make_wakeup();
    if (ring_.is_open()) return;
    if (const ring_refusal no = ring_.open())
        made(no.what, no.error ? -no.error : -ENOSYS, use_epoll);
    arm_wakeup();
}

void reactor_uring::arm_wakeup() noexcept {
    io_uring_sqe& sqe = place();
    ::io_uring_prep_poll_multishot(&sqe, wakeup_, POLLIN);
    sqe.user_data = the_wakeup;
}

void reactor_uring::poll(deadline until) {
    if (outer_ >= 0) ring_.quieten(true);
    const bool sleeps = until.is_never() || until.ns() > 0;
    timespec patience{};
    if (sleeps && !until.is_never()) patience = remaining(until, now());
    if (const int error = ring_.enter(sleeps, until.is_never() ? nullptr : &patience))
        made("io_uring_enter", -error, use_epoll);
    cancels_queued_ = false;
    take_completions();
}

// Submits all that is queued, and takes up what is over at once.
void reactor_uring::settle() noexcept {
    constexpr int attempts_max = 1000;  // where the kernel takes only a part
    int attempts = 0;
    do {
        static_cast<void>(ring_.enter(false, nullptr));
        take_completions();
    } while (ring_.has_queued() && ++attempts < attempts_max);
    cancels_queued_ = false;
}

void reactor_uring::submit() noexcept {
    if (!is_copy() && ring_.is_open() && ring_.has_queued()) settle();
}

void reactor_uring::recall() noexcept {
    for (flight* f = flights_.next(nullptr); f; f = flights_.next(f)) cancel(tagged(f, a_flight));
    constexpr timespec patience{.tv_sec = 1, .tv_nsec = 0};
    while (!flights_.empty() && ring_.enter(true, &patience) == 0) take_completions();
}

void reactor_uring::take_completions() noexcept {
    for (completion c; ring_.take(c);) on_completion(c);
}

void reactor_uring::on_completion(const completion& c) noexcept {
    switch (c.about & tag_mask) {
        case a_flight: {
            flight& f = object_of<flight>(c.about);
            f.result = c.result;
            f.flags = c.flags;
            f.landed = true;
            f.unlink();
            wire::detail::wake(f);
            break;
        }
        case a_poll:
            return on_poll(object_of<poll_request>(c.about), c.result);
        case an_acceptor:
            return on_accept(object_of<acceptor>(c.about), c);
        case the_wakeup:
            if (!(c.flags & IORING_CQE_F_MORE) && outer_ < 0) arm_wakeup();
            break;
        case the_timer:
            timer_at_ = deadline::never_ns;
            break;
        default:
            break;
    }
}

// A place for a submission.
io_uring_sqe& reactor_uring::place() noexcept {
    WIRE_ASSERT(!is_copy(), wire::detail::of_the_parent);
    constexpr int attempts_max = 1000;
    for (int attempts = 0;; ++attempts) {
        if (io_uring_sqe* const free = ring_.next()) return *free;
        WIRE_ASSERT(attempts < attempts_max, "io_uring takes no submissions any more");
        take_completions();
    }
}

void reactor_uring::cancel(std::uint64_t about) noexcept {
    if (is_copy()) return;
    io_uring_sqe& sqe = place();
    ::io_uring_prep_cancel64(&sqe, about, 0);
    sqe.user_data = nothing;
}

// --- operations ---

std::ptrdiff_t reactor_uring::complete(int fd, fd_entry*& entry, operation& op,
                                       deadline until) noexcept {
    if (!entry) {
        // The number was waited for as somebody else's. Those waits begin again.
        if (fd_entry* const stranger = table_.find(fd); stranger && stranger->foreign)
            table_.remove(*stranger, EAGAIN);
        entry = enrol(fd);
        if (!entry) return -ENOMEM;
        entry->gathers_sends = true;
        // The attempt of `op` has failed; the other direction has not been tried.
        for (auto& d : entry->directions) d.ready = true;
        (*entry)[op.needs].ready = false;
    }
    fd_entry& e = *entry;
    const std::uint32_t generation = e.generation;
    if (const int error = take_turn(e, op.needs, until)) return -error;
    const std::ptrdiff_t n = e.generation == generation ? make(e, op, until) : -EBADF;
    if (e.generation != generation) return n;
    pass_turn(e[op.needs]);
    // Nobody waits any more: connections are better off in the listener's queue, and whoever else
    // accepts from it is to be woken for them, not this thread.
    if (n < 0 && e.accepts && !e[op.needs].taken) {
        stop(*e.accepts);
        submit();
    }
    return n;
}

void reactor_uring::pass_turn(fd_entry::direction& d) noexcept {
    d.taken = wire::detail::wake_first(d.turns) != nullptr;
}

// Waits until the wire has the turn. Returns 0 or an errno.
int reactor_uring::take_turn(fd_entry& e, half h, deadline until) noexcept {
    if (!std::exchange(e[h].taken, true)) return 0;
    fd_waiter me;
    e[h].turns.push_back(me);
    return sleep(me, h, until);
}

std::ptrdiff_t reactor_uring::make(fd_entry& e, operation& op, deadline until) noexcept {
    // Before 5.19 a non-blocking listener is refused with EAGAIN.
    if (op.what == operation::kind::accept && ring_.is_modern()) return accept(e, until);
    return is_native(op) ? fly(e, op, until) : attempt_when_ready(e, op, until);
}

std::ptrdiff_t reactor_uring::fly(fd_entry& e, operation& op, deadline until) noexcept {
    fd_entry::direction& d = e[op.needs];
    const std::uint32_t generation = e.generation;
    for (;;) {
        if (const auto n = refused(name_of(op))) return n;
        flight f;
        msghdr message{};
        io_uring_sqe& sqe = place();
        prepare(sqe, e.fd, op, message, ring_.is_modern() && !d.ready);
        sqe.user_data = tagged(&f, a_flight);
        d.flying = &f;
        const int why = land(f, what(op.needs), until);
        const bool closed = e.generation != generation;
        if (!closed) {
            d.flying = nullptr;
            // A send that was done says nothing of the next, which is tried at once.
            d.ready = f.result != -EAGAIN && (op.is_send() || f.result <= 0 ||
                                              (f.flags & IORING_CQE_F_SOCK_NONEMPTY) != 0);
        }
        if (f.result == -ECANCELED) return why ? -why : -EBADF;
        const bool again = f.result == -EINTR || f.result == -EAGAIN;
        if (!again) return f.result;
        if (closed || why) return closed ? -EBADF : -why;
    }
}

// Sleeps until the kernel is done with `f`. Returns what ended the wait before, if anything did.
int reactor_uring::land(flight& f, const char* what, deadline until) noexcept {
    ++waiting_;
    flights_.push_back(f);
    const int why = wire::detail::park(what, until);
    if (!f.landed) cancel(tagged(&f, a_flight));
    while (!f.landed)
        wire::detail::current_scheduler()->park_shielded("the end of a cancelled operation");
    --waiting_;
    return why;
}

std::ptrdiff_t reactor_uring::attempt_when_ready(fd_entry& e, operation& op,
                                                 deadline until) noexcept {
    constexpr int vain_max = 8;
    const std::uint32_t generation = e.generation;
    for (int vain = 0;; ++vain) {
        if (vain > vain_max)
            if (const int error = wait_a_moment(e, until)) return -error;
        fd_waiter me;
        e[op.needs].waiters.push_back(me);
        if (const int error = sleep_armed(me, e.fd, op.needs, until)) return -error;
        if (e.generation != generation) return -EBADF;
        const std::ptrdiff_t n = op.attempt(e.fd);
        if (n == -EAGAIN) continue;
        e[op.needs].ready = true;
        return n;
    }
}

// A descriptor says that it is ready, and is not: urgent data, or errors to be fetched otherwise.
int reactor_uring::wait_a_moment(fd_entry& e, deadline until) noexcept {
    const std::uint32_t generation = e.generation;
    const deadline next = within(std::chrono::milliseconds(1));
    const int why = wire::detail::park("a descriptor that only seems ready", std::min(next, until));
    if (e.generation != generation) return EBADF;
    return why == ETIMEDOUT && next <= until ? 0 : why;
}

std::ptrdiff_t reactor_uring::perform(const file_call& call, deadline until) noexcept {
    if (const auto n = refused(name_of(call))) return n;
    for (;;) {
        flight f;
        io_uring_sqe& sqe = place();
        ::io_uring_prep_rw(opcode_of(call), &sqe, call.fd, call.data, call.len, call.offset);
        sqe.user_data = tagged(&f, a_flight);
        const int why = land(f, "a file", until);
        if (f.result == -ECANCELED && why) return -why;
        if (f.result != -EINTR && f.result != -EAGAIN) return f.result;
        if (why) return -why;
        if (f.result == -EAGAIN) return backend::perform(call, until);
    }
}

int reactor_uring::wait_while(const std::uint32_t& word, std::uint32_t value,
                              deadline until) noexcept {
    if (!ring_.has_futex()) return ENOSYS;
    constexpr int futex2_size_u32 = 2;
    flight f;
    io_uring_sqe& sqe = place();
    ::io_uring_prep_rw(op_futex_wait, &sqe, futex2_size_u32, &word, 0, value);
    sqe.addr3 = FUTEX_BITSET_MATCH_ANY;
    sqe.user_data = tagged(&f, a_flight);
    const int why = land(f, "a word in shared memory", until);
    if (f.result == -ECANCELED && why) return why;
    return f.result == 0 || f.result == -EAGAIN || f.result == -EINTR ? 0 : -f.result;
}

void reactor_uring::let_go(fd_entry& e) noexcept {
    bool any = cancels_queued_;
    for (auto& d : e.directions) {
        if (const flight* const f = std::exchange(d.flying, nullptr)) {
            cancel(tagged(f, a_flight));
            any = true;
        }
        for (fd_waiter* w = d.waiters.next(nullptr); w; w = d.waiters.next(w))
            any = give_up(*w) || any;
    }
    if (acceptor* const a = std::exchange(e.accepts, nullptr)) {
        any = any || a->armed;
        abandon(*a);
    }
    // Mostly all is over at once, and the wires of the flights go first.
    if (any) settle();
}

// --- readiness ---

// Has the kernel poll for `w`. Returns false if there is no memory for it.
bool reactor_uring::arm(fd_waiter& w, int fd, half h) noexcept try {
    if (!free_poll_) free_poll_ = &polls_.emplace_back();
    poll_request& p = *std::exchange(free_poll_, free_poll_->next_free);
    p.who = &w;
    w.request = &p;
    ++waiting_;
    ++polling_;
    io_uring_sqe& sqe = place();
    ::io_uring_prep_poll_add(&sqe, fd, h == half::read ? POLLIN | POLLRDHUP : POLLOUT);
    sqe.user_data = tagged(&p, a_poll);
    return true;
} catch (const std::bad_alloc&) {
    return false;
}

void reactor_uring::on_poll(poll_request& p, int result) noexcept {
    fd_waiter* const w = std::exchange(p.who, nullptr);
    p.next_free = std::exchange(free_poll_, &p);
    --polling_;
    if (!w) return;
    --waiting_;
    w->request = nullptr;
    w->leave();
    if (result < 0) w->error = -result;
    wire::detail::wake(*w);
}

void reactor_uring::unwatch(fd_waiter& w) noexcept {
    w.leave();
    give_up(w);
}

// The kernel need not poll for `w` any more. Returns whether it did.
bool reactor_uring::give_up(fd_waiter& w) noexcept {
    auto* const p = static_cast<poll_request*>(std::exchange(w.request, nullptr));
    if (!p) return false;
    p->who = nullptr;
    --waiting_;
    cancel(tagged(p, a_poll));
    return cancels_queued_ = true;
}

// Parks until a poll has ended the wait of `me`, which may be in a queue. Returns 0 or an errno.
int reactor_uring::sleep_armed(fd_waiter& me, int fd, half h, deadline until) noexcept {
    if (!arm(me, fd, h)) return ENOMEM;
    const int outcome = wire::detail::park(what(h), until);
    unwatch(me);
    return me.error ? me.error : outcome;
}

int reactor_uring::wait(int fd, half h, deadline until) noexcept {
    if (fd < 0) return EBADF;
    int outcome = EAGAIN;
    while (outcome == EAGAIN) {  // the number has become a library descriptor's
        fd_entry* const e = table_.find_or_add(fd);
        if (!e) return ENOMEM;
        if (h == half::read && has_accepted(*e)) return wire::detail::check_cancelled();
        fd_waiter me;
        (*e)[h].waiters.push_back(me);
        if (outer_ >= 0) hint(*e);
        outcome = sleep_armed(me, fd, h, until);
    }
    return outcome;
}

bool reactor_uring::watch(fd_waiter& w, int fd, half h) noexcept {
    const int now = look(fd, h);
    fd_entry* const e = now < 0 ? nullptr : table_.find_or_add(fd);
    if (now < 0 || !e) {
        w.error = now < 0 ? -now : ENOMEM;
        return true;
    }
    if (now > 0 || (h == half::read && has_accepted(*e))) return true;
    if (!arm(w, fd, h)) {
        w.error = ENOMEM;
        return true;
    }
    (*e)[h].waiters.push_back(w);
    if (outer_ >= 0) hint(*e);
    return false;
}

// --- accept ---

acceptor* reactor_uring::acceptor_of(fd_entry& e) noexcept try {
    if (e.accepts) return e.accepts;
    if (!free_acceptor_) {
        acceptor& fresh = acceptors_.emplace_back();
        fresh.next_free = std::exchange(free_acceptor_, &fresh);
    }
    free_acceptor_->accepted.reserve(2 * accepted_max);
    e.accepts = std::exchange(free_acceptor_, free_acceptor_->next_free);
    e.accepts->owner = &e;
    e.accepts->error = 0;
    return e.accepts;
} catch (const std::bad_alloc&) {
    return nullptr;
}

std::ptrdiff_t reactor_uring::accept(fd_entry& e, deadline until) noexcept {
    acceptor* const a = acceptor_of(e);
    if (!a) return -ENOMEM;
    const std::uint32_t generation = e.generation;
    for (;;) {
        if (a->taken < a->accepted.size()) return a->accepted[a->taken++];
        if (a->error) return -std::exchange(a->error, 0);
        a->accepted.clear();
        a->taken = 0;
        if (const auto n = refused("accept4")) return n;
        if (!a->armed) begin(*a, e.fd);
        fd_waiter me;
        a->sleeper = &me;
        const int error = sleep(me, half::read, until);
        if (e.generation != generation) return -EBADF;
        a->sleeper = nullptr;
        if (error && a->accepted.empty()) return -error;
    }
}

void reactor_uring::begin(acceptor& a, int fd) noexcept {
    constexpr int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    io_uring_sqe& sqe = place();
    ::io_uring_prep_multishot_accept(&sqe, fd, nullptr, nullptr, flags);
    sqe.user_data = tagged(&a, an_acceptor);
    a.armed = true;
    a.cancelled = false;
    ++accepting_;
}

// A connection for which there is no memory is closed.
void reactor_uring::keep(acceptor& a, int fd) noexcept try {
    a.accepted.push_back(fd);
    if (a.accepted.size() - a.taken >= accepted_max) stop(a);
} catch (const std::bad_alloc&) {
    ::close(fd);
}

void reactor_uring::stop(acceptor& a) noexcept {
    if (!a.armed || std::exchange(a.cancelled, true)) return;
    cancel(tagged(&a, an_acceptor));
}

void reactor_uring::on_accept(acceptor& a, const completion& c) noexcept {
    if (!(c.flags & IORING_CQE_F_MORE)) {
        a.armed = false;
        --accepting_;
    }
    if (c.result >= 0 && a.owner) {
        keep(a, c.result);
    } else if (c.result >= 0) {
        ::close(c.result);
    } else if (c.result != -ECANCELED && c.result != -EINTR && c.result != -EAGAIN) {
        a.error = -c.result;
    }
    if (!a.owner && !a.armed) a.next_free = std::exchange(free_acceptor_, &a);
    if (a.sleeper) wire::detail::wake(*a.sleeper);
    if (a.owner && has_accepted(*a.owner)) wake_every((*a.owner)[half::read].waiters);
}

// The listener goes: so do the connections that nobody has asked for.
void reactor_uring::abandon(acceptor& a) noexcept {
    for (std::size_t i = a.taken; i < a.accepted.size(); ++i) ::close(a.accepted[i]);
    a.accepted.clear();
    a.taken = 0;
    a.error = 0;
    if (a.sleeper) wire::detail::wake(*a.sleeper);
    a.sleeper = nullptr;
    a.owner = nullptr;
    if (a.armed)
        stop(a);
    else
        a.next_free = std::exchange(free_acceptor_, &a);
}

void reactor_uring::shut() noexcept {
    for (acceptor& a : acceptors_) {
        if (!a.owner) continue;
        a.owner->accepts = nullptr;
        abandon(a);
    }
    for (poll_request& p : polls_)
        if (std::exchange(p.who, nullptr)) cancel(tagged(&p, a_poll));
    // What the kernel has accepted and not yet reported would stay open, as what it polls for.
    constexpr timespec patience{.tv_sec = 1, .tv_nsec = 0};
    while (accepting_ + polling_ > 0 && ring_.enter(true, &patience) == 0) take_completions();
    ring_.close();
}

}  // namespace wire::io::detail
