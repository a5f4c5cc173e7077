#include <wire/barrier.hpp>

#include "scheduler.hpp"

namespace wire {

barrier::barrier(std::size_t wires) noexcept : wires_(wires) {
    WIRE_ASSERT(wires > 0, "a barrier for no wires");
}

barrier::~barrier() {
    WIRE_ASSERT(waiting_.empty(), "a barrier is destroyed while somebody waits for it");
}

result<bool> barrier::arrive_and_wait(deadline until) noexcept {
    if (const int error = detail::check_cancelled()) return failure{error};
    if (arrived_ + 1 == wires_) forget_withdrawn();
    if (arrived_ + 1 == wires_) {
        arrived_ = 0;
        detail::wake_all(waiting_);
        return true;
    }
    detail::waiter me;
    waiting_.push_back(me);
    ++arrived_;
    const int error = detail::park("barrier", until);
    if (me.linked()) {
        me.unlink();
        --arrived_;
    }
    if (error) return failure{error};
    return false;
}

// Takes out those whose time was up, or who were cancelled, and who have not run since.
void barrier::forget_withdrawn() noexcept {
    detail::waiter* w = waiting_.next(nullptr);
    while (w) {
        detail::waiter* const next = waiting_.next(w);
        if (w->who->state != detail::fiber_state::waiting) {
            w->unlink();
            --arrived_;
        }
        w = next;
    }
}

}  // namespace wire
