// The objects are in one list, which a signal handler walks. The handler may come on any thread at
// any moment; so whoever holds the list's lock has all signals blocked, and is never interrupted by
// somebody who waits for the lock on the same thread.
#include <wire/dump_on_quit.hpp>

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <system_error>

#include "scheduler.hpp"
#include "sys.hpp"

namespace wire::io {

struct quit_list {
    static void add(dump_on_quit& d);
    static void remove(dump_on_quit& d) noexcept;
    static void ask_all(int) noexcept;

private:
    // All signals must be blocked.
    class guard {
    public:
        guard() noexcept {
            // [L] acquire: the list as the one before has left it. Pairs with [L'].
            while (locked.exchange(true, std::memory_order_acquire)) ::sched_yield();
        }
        ~guard() {
            // [L'] release: the list. Pairs with [L].
            locked.store(false, std::memory_order_release);
        }
        guard(const guard&) = delete;
        guard& operator=(const guard&) = delete;
    };

    static void install();
    static void restore() noexcept;

    static inline constinit std::atomic<bool> locked{false};
    static inline constinit dump_on_quit* first = nullptr;
    static inline struct sigaction before {};
};

namespace {

class all_signals_blocked {
public:
    all_signals_blocked() noexcept {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~all_signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    all_signals_blocked(const all_signals_blocked&) = delete;
    all_signals_blocked& operator=(const all_signals_blocked&) = delete;

private:
    sigset_t before_;
};

}  // namespace

void quit_list::install() {
    struct sigaction wanted {};
    wanted.sa_handler = &ask_all;
    wanted.sa_flags = SA_RESTART | SA_ONSTACK;
    ::sigfillset(&wanted.sa_mask);
    if (wire::detail::sys::call("sigaction",
                                [&] { return ::sigaction(SIGQUIT, &wanted, &before); }) != 0)
        throw std::system_error(errno, std::system_category(), "sigaction failed for SIGQUIT");
}

void quit_list::restore() noexcept {
    struct sigaction now {};
    ::sigaction(SIGQUIT, nullptr, &now);
    if (now.sa_handler == &ask_all) ::sigaction(SIGQUIT, &before, nullptr);
}

void quit_list::add(dump_on_quit& d) {
    const all_signals_blocked blocked;
    const guard lock;
    if (!first) install();
    d.next_ = first;
    first = &d;
}

void quit_list::remove(dump_on_quit& d) noexcept {
    const all_signals_blocked blocked;
    const guard lock;
    dump_on_quit** at = &first;
    while (*at != &d) at = &(*at)->next_;
    *at = d.next_;
    if (!first) restore();
}

// The signal handler.
void quit_list::ask_all(int) noexcept {
    const int error = errno;
    {
        const guard lock;
        for (dump_on_quit* d = first; d; d = d->next_) d->state_.nudge(wire::detail::request::dump);
    }
    errno = error;
}

dump_on_quit::dump_on_quit(runtime& rt) : state_(rt.internals().shared()) {
    quit_list::add(*this);
}

dump_on_quit::~dump_on_quit() {
    quit_list::remove(*this);
}

}  // namespace wire::io
