// A lock that many readers or one writer hold.
#pragma once

#include <cstddef>

#include <wire/detail/park.hpp>
#include <wire/detail/running.hpp>
#include <wire/result.hpp>

namespace wire {

/// A lock that one wire holds alone (a writer) or any number share (readers). Those who wait get it
/// in the order of asking: a writer that waits holds up the readers that come after it, and readers
/// that wait side by side at the head of the queue enter together. So neither kind starves the
/// other. For the wires of one runtime; nothing here allocates.
///
/// It meets the standard's SharedLockable, for std::unique_lock and std::shared_lock.
///
/// Of readers only the number is known. A reader that locks again, either way, may wait for a
/// writer that waits for it: don't.
class WIRE_API shared_mutex : detail::immovable {
public:
    /// Asserts that no wire holds it or waits for it.
    ~shared_mutex();

    /// Takes it alone, waiting for its turn. Cancellation does not end the wait, so it cannot fail.
    /// Asserts that this wire does not hold it alone already. Call from a wire.
    void lock() noexcept {
        if (!try_lock()) [[unlikely]]
            lock_slowly(to_write);
    }
    /// The same with a deadline and cancellation: fails with ETIMEDOUT or ECANCELED, and does not
    /// hold it then; readers that waited behind are let in. Call from a wire.
    result<void> lock(deadline until) noexcept { return lock_until(to_write, until); }
    /// Takes it alone if nobody holds it. Never suspends. Returns false outside a wire.
    [[nodiscard]] bool try_lock() noexcept {
        if (writer_ || readers_ > 0) return false;
        writer_ = detail::running_or_none();
        return writer_ != nullptr;
    }
    /// Lets in those whose turn it is. Never suspends. Asserts that this wire holds it alone.
    void unlock() noexcept {
        if (!writer_ || writer_ != detail::running_or_none() || !waiting_.empty()) [[unlikely]]
            return unlock_slowly();
        writer_ = nullptr;
    }

    /// Takes a share of it, waiting for its turn. Cancellation does not end the wait, so it cannot
    /// fail. Asserts that this wire does not hold it alone. Call from a wire.
    void lock_shared() noexcept {
        if (!try_lock_shared()) [[unlikely]]
            lock_slowly(to_read);
    }
    /// The same with a deadline and cancellation: fails with ETIMEDOUT or ECANCELED, and has no
    /// share then. Call from a wire.
    result<void> lock_shared(deadline until) noexcept { return lock_until(to_read, until); }
    /// Takes a share if no writer holds it or waits for it. Never suspends.
    [[nodiscard]] bool try_lock_shared() noexcept {
        if (writer_ || !waiting_.empty()) return false;
        ++readers_;
        return true;
    }
    /// Gives a share back; the last one lets in those whose turn it is. Never suspends. Asserts
    /// that there is a share to give back.
    void unlock_shared() noexcept {
        WIRE_ASSERT(readers_ > 0, "unlock_shared of a shared_mutex that nobody shares");
        if (--readers_ == 0 && !waiting_.empty()) admit();
    }

private:
    struct claim;
    enum purpose : bool { to_write, to_read };
    void lock_slowly(purpose why) noexcept;
    result<void> lock_until(purpose why, deadline until) noexcept;
    void unlock_slowly() noexcept;
    void admit() noexcept;

    // Invariants: there is no writer while there are readers. The first in the queue cannot enter:
    // it wants to write and somebody holds the lock, or to read and there is a writer; or it has
    // given up and not run since.
    detail::fiber* writer_ = nullptr;
    std::size_t readers_ = 0;
    detail::list<claim> waiting_;
};

}  // namespace wire
