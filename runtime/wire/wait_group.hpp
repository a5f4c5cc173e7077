// Waiting until a number of things are done.
#pragma once

#include <cstddef>

#include <wire/detail/park.hpp>
#include <wire/result.hpp>

namespace wire {

/// Counts what is still to be done; wires wait until nothing is. May be used again and again. For
/// the wires of one runtime; nothing here allocates. (To wait for wires, with_scope() is simpler.)
///
///     wire::wait_group jobs(2);
///     wire::go([&] { first(); jobs.done(); });
///     wire::go([&] { second(); jobs.done(); });
///     if (!jobs.wait(within(1s))) ...
class wait_group : detail::immovable {
public:
    explicit wait_group(std::size_t things = 0) noexcept : left_(things) {}
    /// Asserts that no wire waits.
    ~wait_group() {
        WIRE_ASSERT(waiting_.empty(), "a wait_group is destroyed while somebody waits for it");
    }

    /// So many more things are to be done. Never suspends.
    void add(std::size_t things = 1) noexcept { left_ += things; }
    /// One of them is done; the last makes ready all wires that wait, also if more is added before
    /// they run. Never suspends. Asserts that something was to be done. On the runtime's own
    /// thread.
    void done() noexcept {
        WIRE_ASSERT(left_ > 0, "done() of a wait_group more often than add() has promised");
        if (--left_ == 0) detail::wake_all(waiting_);
    }
    /// What is still to be done.
    [[nodiscard]] std::size_t left() const noexcept { return left_; }

    /// Waits until nothing is to be done, at once if that is so. Fails with ETIMEDOUT or ECANCELED.
    /// Call from a wire.
    result<void> wait(deadline until = never) noexcept {
        if (left_ == 0) return to_result(detail::check_cancelled());
        return to_result(detail::park_in(waiting_, "wait_group", until));
    }

private:
    std::size_t left_;
    detail::list<detail::waiter> waiting_;
};

}  // namespace wire
