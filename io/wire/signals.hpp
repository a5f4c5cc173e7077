// Signals as something to wait for.
#pragma once

#include <signal.h>

#include <initializer_list>

#include <wire/descriptor.hpp>

namespace wire::io {

/// A set of signals that wires wait for, instead of handlers.
///
/// Construction blocks the signals for the calling thread and those it starts later, so make it
/// before other threads, in main() or in the first wire; a thread that has them unblocked may take
/// them, with their usual effect. A signal belongs to one such object, and that to the runtime
/// whose wire waits first.
class WIRE_API signals {
public:
    /// Throws std::system_error naming signalfd. SIGKILL and SIGSTOP never come; asserts that the
    /// numbers are signals.
    explicit signals(std::initializer_list<int> numbers);
    /// Unblocks the signals that were not blocked before, but in the calling thread only: destroy
    /// it where it was made. In threads that were started meanwhile they stay blocked. Signals that
    /// nobody has waited for have their usual effect then. Wires that wait get EBADF.
    ~signals();
    signals(const signals&) = delete;
    signals& operator=(const signals&) = delete;

    /// Waits for one of the signals and returns its number. One that came before is not lost;
    /// several of one kind may be one. Fails with ETIMEDOUT, ECANCELED or EBADF (destroyed). Call
    /// from a wire.
    result<int> wait(deadline until = never) noexcept;

private:
    sigset_t blocked_;  // those that were not blocked before
    detail::descriptor fd_;
};

}  // namespace wire::io
