#include <wire/semaphore.hpp>

#include "scheduler.hpp"

namespace wire {

semaphore::~semaphore() {
    WIRE_ASSERT(waiting_.empty(), "a semaphore is destroyed while somebody waits for it");
}

result<void> semaphore::acquire(deadline until) noexcept {
    return to_result(acquire_for("semaphore", until));
}

int semaphore::acquire_for(const char* what, deadline until) noexcept {
    if (const int error = detail::check_cancelled()) return error;
    if (try_acquire()) return 0;
    return detail::park_in(waiting_, what, until);
}

void semaphore::release(std::size_t permits) noexcept {
    while (permits > 0 && detail::wake_first(waiting_)) --permits;
    free_ += permits;
}

const detail::wait_source semaphore_wait::source{
    .attach =
        [](wait& w) noexcept {
            auto& self = static_cast<semaphore_wait&>(w);
            self.given = self.semaphore_.try_acquire();
            if (!self.given) self.semaphore_.waiting_.push_back(self.here);
            return self.given;
        },
    .detach =
        [](wait& w) noexcept {
            auto& self = static_cast<semaphore_wait&>(w);
            leave(self);
            if (self.take()) self.semaphore_.release();
        },
};

semaphore_wait::semaphore_wait(semaphore& s) noexcept : placed_wait(source), semaphore_(s) {
    attach();
}

}  // namespace wire
