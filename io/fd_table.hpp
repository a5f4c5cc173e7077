// What a backend knows of each descriptor: its record.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include <wire/detail/park.hpp>
#include <wire/wait_fd.hpp>
#include "operation.hpp"

namespace wire::io::detail {

class backend;
struct acceptor;
struct flight;

/// Takes `w` out of its queue and wakes it. As wake().
inline bool take_out(fd_waiter& w) noexcept {
    w.unlink();
    if (w.counted) --*w.counted;
    return wire::detail::wake(w);
}

/// Wakes the longest-waiting wire of a direction, and the waits before it: those only look, so the
/// readiness is still there. Returns whether there was anybody.
inline bool wake_next(wire::detail::list<fd_waiter>& queue) noexcept {
    bool any = false;
    while (!queue.empty()) {
        fd_waiter& w = queue.front();
        if (!take_out(w)) continue;
        any = true;
        if (!w.counted) break;
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

        // io_uring only: one wire at a time has the turn, the others queue for it.
        bool taken = false;
        wire::detail::list<fd_waiter> turns;
        flight* flying = nullptr;  // its operation that is with the kernel

        [[nodiscard]] bool worth_an_attempt() const noexcept { return ready || ended; }
    };

    int fd = -1;
    std::uint32_t generation = 0;  // counts the descriptors that this record has stood for
    std::uint32_t index = 0;
    bool foreign = false;            // somebody else's number, armed for one event at each wait
    bool short_means_empty = false;  // TCP: a short transfer shows that the direction is exhausted
    bool gathers_sends = false;      // io_uring only: one system call makes those of many wires
    direction directions[2];
    acceptor* accepts = nullptr;  // io_uring only
    backend* home = nullptr;
    fd_entry* next_free = nullptr;

    direction& operator[](half h) noexcept { return directions[static_cast<int>(h)]; }
    [[nodiscard]] bool is_waited_for() const noexcept {
        return !directions[0].waiters.empty() || !directions[1].waiters.empty();
    }
    /// Draws the conclusions from an attempt: readiness for later ones, and for the next waiter.
    void attempted(const operation& op, std::ptrdiff_t n) noexcept {
        direction& d = (*this)[op.needs];
        if (n == -EAGAIN) d.ready = d.ended = false;
        if (short_means_empty && op.exhausts(n)) d.ready = false;
        if (d.ready && !d.waiters.empty()) wake_next(d.waiters);
    }
};

/// The records of one backend.
class fd_table {
public:
    explicit fd_table(backend& home) noexcept : home_(home) {}

    /// A record for `fd`, neither ready nor foreign; nullptr if there is no memory for another.
    fd_entry* add(int fd) noexcept;
    /// Whoever waits gets `error`. The record may be used again at once.
    void remove(fd_entry& e, int error) noexcept;
    /// The record of a number; nullptr if there is none.
    [[nodiscard]] fd_entry* find(int fd) const noexcept {
        const auto n = static_cast<std::size_t>(fd);
        return n < by_number_.size() ? by_number_[n] : nullptr;
    }
    /// The record of a number that may be somebody else's; nullptr if there is no memory for one.
    fd_entry* find_or_add(int fd) noexcept;
    fd_entry& operator[](std::uint32_t index) noexcept { return entries_[index]; }
    /// How many records there are, used or not.
    [[nodiscard]] std::uint32_t size() const noexcept {
        return static_cast<std::uint32_t>(entries_.size());
    }

private:
    backend& home_;
    std::deque<fd_entry> entries_;
    fd_entry* free_ = nullptr;
    std::vector<fd_entry*> by_number_;
};

}  // namespace wire::io::detail
