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

semaphore_wait::semaphore_wait(semaphore& s) noexcept : semaphore_(s) {
    attach();
}

bool semaphore_wait::enter() noexcept {
    given = semaphore_.try_acquire();
    if (!given) semaphore_.waiting_.push_back(here);
    return given;
}

void semaphore_wait::leave() noexcept {
    placed_wait::leave();
    if (take()) semaphore_.release();
}

}  // namespace wire
