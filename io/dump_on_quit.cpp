// The objects are in one list, which a signal handler walks. The handler may come on any thread at
// any moment; so whoever holds the list's lock has signals blocked, and is never interrupted by
// somebody who waits for the lock on the same thread.
#include <wire/dump_on_quit.hpp>

#include <sched.h>

#include <atomic>
#include <cerrno>
#include <system_error>

#include "scheduler.hpp"
#include "signals_blocked.hpp"
#include "sys.hpp"

namespace wire::io {

struct quit_list {
    static void add(dump_on_quit& d) {
        const detail::signals_blocked quiet;
        const guard lock;
        if (!first) install();
        d.next_ = first;
        first = &d;
    }

    static void remove(dump_on_quit& d) noexcept {
        const detail::signals_blocked quiet;
        const guard lock;
        dump_on_quit** at = &first;
        while (*at != &d) at = &(*at)->next_;
        *at = d.next_;
        if (!first) restore();
    }

private:
    // Signals must be blocked.
    class guard : wire::detail::immovable {
    public:
        guard() noexcept {
            // [L] acquire: the list as the one before has left it. Pairs with [L'].
            while (locked.exchange(true, std::memory_order_acquire)) ::sched_yield();
        }
        ~guard() {
            // [L'] release: the list. Pairs with [L].
            locked.store(false, std::memory_order_release);
        }
    };

    // The signal handler, with all signals blocked.
    static void ask_all(int) noexcept {
        const int error = errno;
        {
            const guard lock;
            for (dump_on_quit* d = first; d; d = d->next_)
                if (d->state_.is_of_this_process()) d->state_.nudge(wire::detail::request::dump);
        }
        errno = error;
    }

    static void install() {
        struct sigaction wanted {};
        wanted.sa_handler = &ask_all;
        wanted.sa_flags = SA_RESTART | SA_ONSTACK;
        ::sigfillset(&wanted.sa_mask);
        const auto act = [&] { return ::sigaction(SIGQUIT, &wanted, &before); };
        if (wire::detail::sys::call("sigaction", act) != 0)
            throw std::system_error(errno, std::system_category(), "sigaction failed for SIGQUIT");
    }

    static void restore() noexcept {
        struct sigaction now {};
        ::sigaction(SIGQUIT, nullptr, &now);
        if (now.sa_handler == &ask_all) ::sigaction(SIGQUIT, &before, nullptr);
    }

    static inline constinit std::atomic<bool> locked{false};
    static inline constinit dump_on_quit* first = nullptr;
    static inline struct sigaction before {};
};

dump_on_quit::dump_on_quit(runtime& rt) : state_(rt.internals().shared()) {
    quit_list::add(*this);
}

dump_on_quit::~dump_on_quit() {
    quit_list::remove(*this);
}

}  // namespace wire::io
