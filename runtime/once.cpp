#include <wire/once.hpp>

#include "scheduler.hpp"

namespace wire {

once::~once() {
    WIRE_ASSERT(!runner_, "a once is destroyed while a wire runs its function");
    WIRE_ASSERT(waiting_.empty(), "a once is destroyed while somebody waits for it");
}

int once::begin(deadline until) noexcept {
    if (const int error = detail::check_cancelled()) return error;
    if (done_) return 0;
    detail::fiber* const self = detail::running_or_none();
    WIRE_ASSERT(runner_ != self,
                "call() of a once from within its function, which would wait for itself for ever");
    if (!runner_) {
        runner_ = self;
        return 0;
    }
    return detail::park_in(waiting_, "once", until);
}

void once::end(bool succeeded) noexcept {
    done_ = succeeded;
    const detail::waiter* const next = succeeded ? nullptr : detail::wake_first(waiting_);
    runner_ = next ? next->who : nullptr;
    if (succeeded) detail::wake_all(waiting_);
}

}  // namespace wire
