// Signals as something to wait for.
#pragma once

#include <signal.h>

#include <initializer_list>

#include <wire/descriptor.hpp>
#include <wire/wait_fd.hpp>

namespace wire::detail {
class signal_branch;
}

namespace wire::io {

/// A set of signals that wires wait for, instead of handlers.
///
/// Construction blocks the signals for the calling thread and those it starts later, so make it
/// before other threads, in main() or in the first wire; a thread that has them unblocked may take
/// them, with their usual effect. A signal belongs to one such object, and that to the runtime
/// whose wire waits first.
class WIRE_API signals : wire::detail::immovable {
public:
    /// Throws std::system_error naming signalfd. SIGKILL and SIGSTOP never come; asserts that the
    /// numbers are signals.
    explicit signals(std::initializer_list<int> numbers);
    /// Unblocks the signals that were not blocked before, but in the calling thread only: destroy
    /// it where it was made. In threads that were started meanwhile they stay blocked. Signals that
    /// nobody has waited for have their usual effect then. Wires that wait get EBADF.
    ~signals();

    /// Waits for one of the signals and returns its number. One that came before is not lost;
    /// several of one kind may be one. Fails with ETIMEDOUT, ECANCELED or EBADF (destroyed). Call
    /// from a wire.
    result<int> wait(deadline until = never) noexcept;
    /// The number of a signal that has come; EAGAIN if there is none. Never suspends.
    result<int> try_wait() noexcept;

private:
    friend class signal_wait;
    friend class wire::detail::signal_branch;
    sigset_t blocked_;  // those that were not blocked before
    detail::descriptor fd_;
};

/// Signals in a wait_list with other things: triggered when one of the set has come. try_wait()
/// tells which; it has none if another wire was faster. reset() it after that. As readable_wait;
/// must be gone before the signals are.
class signal_wait : public fd_wait {
public:
    explicit signal_wait(const signals& set) noexcept : fd_wait(set.fd_.number(), false) {}
};

}  // namespace wire::io
