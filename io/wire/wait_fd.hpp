// Waiting for descriptors that belong to somebody else: a library's socket, a pipe, a timerfd.
#pragma once

#include <wire/deadline.hpp>
#include <wire/result.hpp>
#include <wire/wait.hpp>

namespace wire::io {
namespace detail {

class backend;

/// The place of a wire, or of a wait, in the queue of one direction of a descriptor.
struct fd_waiter : wire::detail::waiter {
    fd_waiter() noexcept = default;
    explicit fd_waiter(wire::detail::wake_target& t) noexcept : waiter(t) {}
    int error = 0;                   // EBADF: closed meanwhile; it must not be touched
    std::size_t* counted = nullptr;  // what counts a wait in a queue
    void* request = nullptr;         // what the kernel has been asked for it
};

}  // namespace detail

/// Waits until `fd`, which stays its owner's, can be read without blocking: data, end of file, a
/// connection to accept, or an error to fetch. Then the caller makes the system's call.
///
/// It is a hint: another reader may be faster, so a blocking descriptor may block the thread after
/// all; let it be non-blocking. Regular files can always be read. Nothing is read here, and what is
/// there ends the next wait again. Any number of wires may wait for one descriptor, each for either
/// direction; all that wait for a direction are woken.
///
/// Fails with ETIMEDOUT, with ECANCELED, with EBADF if the number is not open, or as epoll_ctl(2).
/// A descriptor of this library that is closed or given away on this thread during the wait ends it
/// with EBADF; of any other that is closed only the deadline does. Call from a wire of a runtime
/// with a reactor.
WIRE_API result<void> wait_readable(int fd, deadline until = never) noexcept;

/// The same for writing: there is room, or an error to fetch.
WIRE_API result<void> wait_writable(int fd, deadline until = never) noexcept;

/// A wait for one direction of a descriptor, in a wait_list with others: readable_wait or
/// writable_wait. `fd` is somebody else's, or the native_handle() of one of ours.
///
/// Triggered when the descriptor is ready (if it is already: when the runtime looks next), and when
/// it cannot be waited for: status() tells. As wait_readable() it is a hint. reset() it before the
/// next await(), after the system's call. Made, reset and destroyed on a wire of one runtime with a
/// reactor, and gone before that.
class WIRE_API fd_wait : public wire::detail::queued_wait {
public:
    /// Success, also while it is not triggered; EBADF if the number is not open or was closed, or
    /// as epoll_ctl(2).
    [[nodiscard]] result<void> status() const noexcept;

protected:
    fd_wait(int fd, bool for_writing) noexcept;
    ~fd_wait() override { fd_wait::leave(); }

private:
    bool enter() noexcept override;
    void leave() noexcept override;
    const int fd_;
    const bool for_writing_;
    detail::backend* home_ = nullptr;
    detail::fd_waiter here_{*this};
};

/// Triggered when `fd` can be read without blocking.
class readable_wait : public fd_wait {
public:
    explicit readable_wait(int fd) noexcept : fd_wait(fd, false) {}
};

/// Triggered when `fd` can be written without blocking.
class writable_wait : public fd_wait {
public:
    explicit writable_wait(int fd) noexcept : fd_wait(fd, true) {}
};

}  // namespace wire::io
