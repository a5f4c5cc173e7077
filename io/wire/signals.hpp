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
/// them. The destructor unblocks those that were not blocked before. A signal belongs to one such
/// object, and that to the runtime whose wire waits first.
class WIRE_API signals {
public:
    /// Throws std::system_error naming signalfd.
    explicit signals(std::initializer_list<int> numbers);
    ~signals();
    signals(const signals&) = delete;
    signals& operator=(const signals&) = delete;

    /// Waits for one of the signals and returns its number. Fails with ETIMEDOUT or ECANCELED.
    result<int> wait(deadline until = never) noexcept;

private:
    sigset_t blocked_;  // those that were not blocked before
    detail::descriptor fd_;
};

}  // namespace wire::io
