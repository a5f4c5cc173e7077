// The contract between descriptors and whatever waits in the kernel for them.
//
// It is completion-style: a descriptor hands an operation over and gets its result, and how it
// comes about is the backend's affair. Descriptors first attempt an operation themselves, so the
// calls here are made only by a wire that is about to sleep.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <wire/deadline.hpp>
#include <wire/detail/park.hpp>
#include <wire/poller.hpp>
#include <wire/wait_fd.hpp>
#include "operation.hpp"

namespace wire::io::detail {

/// Wakes the longest-waiting wire of a direction, and the waits before it: those only look, so the
/// readiness is still there. Returns whether there was anybody.
inline bool wake_next(wire::detail::list<fd_waiter>& queue) noexcept {
    bool any = false;
    while (const fd_waiter* const w = wire::detail::wake_first(queue)) {
        any = true;
        if (!w->counted) break;
        --*w->counted;
    }
    return any;
}

inline void wake_every(wire::detail::list<fd_waiter>& queue) noexcept {
    while (wake_next(queue)) {
    }
}

/// A backend's record of a descriptor. Its address is stable; it is used again for others.
struct fd_entry {
    struct direction {
        wire::detail::list<fd_waiter> waiters;
        bool ready = false;  // sticky: an event said so, and no attempt has failed since
        bool ended = false;  // end of stream, error or urgent data: no edge may follow, so attempt

        [[nodiscard]] bool worth_an_attempt() const noexcept { return ready || ended; }
    };

    int fd = -1;
    std::uint32_t generation = 0;  // counts the descriptors that this record has stood for
    std::uint32_t index = 0;
    bool foreign = false;            // somebody else's number, armed for one event at each wait
    bool short_means_empty = false;  // TCP: a short transfer shows that the direction is exhausted
    direction directions[2];
    backend* home = nullptr;
    fd_entry* next_free = nullptr;

    direction& operator[](half h) noexcept { return directions[static_cast<int>(h)]; }
    /// Draws the conclusions from an attempt: readiness for later ones, and for the next waiter.
    void attempted(const operation& op, std::ptrdiff_t n) noexcept {
        direction& d = (*this)[op.needs];
        if (n == -EAGAIN) d.ready = d.ended = false;
        if (short_means_empty && op.exhausts(n)) d.ready = false;
        if (d.ready && !d.waiters.empty()) wake_next(d.waiters);
    }
};

class backend : public poller {
public:
    /// The backend of the running wire's runtime, most quickly if it is the `likely` one; asserts
    /// that it has one. nullptr: the reactor is gone because the runtime ends, and the wire, sent
    /// in the last moment, can only be cancelled.
    static backend* current(backend* likely = nullptr) noexcept;

    /// Makes `op` on the descriptor when it no longer blocks. `entry` is null until the first time.
    /// Returns the result of the call or -errno.
    virtual std::ptrdiff_t complete(int fd, fd_entry*& entry, operation& op,
                                    deadline until) noexcept = 0;

    /// Waits until somebody else's descriptor is ready. Returns 0 or an errno.
    virtual int wait(int fd, half h, deadline until) noexcept = 0;

    /// Queues `w`, which stands for a wait, until the descriptor is ready. Returns true, without
    /// queueing it, if the descriptor is ready already or cannot be waited for: w.error tells.
    virtual bool watch(fd_waiter& w, int fd, half h) noexcept = 0;

    /// Takes `w` out of its queue.
    virtual void unwatch(fd_waiter& w) noexcept = 0;

    /// The descriptor is about to be closed or given away: wakes its waiters with EBADF.
    virtual void forget(fd_entry& entry) noexcept = 0;

    /// The reactor is gone, and no wire waits. Descriptors may still refer to their records here:
    /// the last one to be closed deletes the backend.
    virtual void retire() noexcept = 0;

    [[nodiscard]] virtual std::string_view name() const noexcept = 0;

protected:
    ~backend() override = default;
};

}  // namespace wire::io::detail
