// Waiting for descriptors that belong to somebody else: a library's socket, a pipe, a timerfd.
#pragma once

#include <wire/deadline.hpp>
#include <wire/result.hpp>

namespace wire::io {

/// Waits until `fd`, which stays its owner's, can be read without blocking: data, end of file, a
/// connection to accept, or an error to fetch. Then the caller makes the system's call.
///
/// It is a hint: another reader may be faster, so a blocking descriptor may block the thread after
/// all; let it be non-blocking. Regular files can always be read. Nothing is read here, and what is
/// there ends the next wait again. Any number of wires may wait for one descriptor, each for either
/// direction; all that wait for a direction are woken.
///
/// Fails with ETIMEDOUT, with ECANCELED, with EBADF if the number is not open, or as epoll_ctl(2).
/// If the owner closes the number during the wait, only the deadline ends it. Call from a wire of a
/// runtime with a reactor.
WIRE_API result<void> wait_readable(int fd, deadline until = never) noexcept;

/// The same for writing: there is room, or an error to fetch.
WIRE_API result<void> wait_writable(int fd, deadline until = never) noexcept;

}  // namespace wire::io
