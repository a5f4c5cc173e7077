// No signal on this thread for a while.
#pragma once

#include <signal.h>

#include <wire/config.hpp>

namespace wire::io::detail {

/// Blocks all signals for this thread, and for those that it starts meanwhile; but for those that a
/// fault of the thread itself raises, which stay as they are: blocked, they would end the program
/// without a word.
class signals_blocked : wire::detail::immovable {
public:
    signals_blocked() noexcept {
        sigset_t all;
        ::sigfillset(&all);
        for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS})
            ::sigdelset(&all, fault);
        ::pthread_sigmask(SIG_BLOCK, &all, &before_);
    }
    ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_;
};

}  // namespace wire::io::detail
