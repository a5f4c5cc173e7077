// A notified wire is not woken to find the mutex held: its waiter moves from the queue here to the
// mutex's, and unlock() wakes it with the mutex in its hands.
#include <wire/condition_variable.hpp>

#include "scheduler.hpp"

namespace wire {

struct condition_variable::sleeper : detail::waiter {
    sleeper(detail::fiber& self, mutex& m) noexcept : waiter(self), lock(m) {}
    mutex& lock;
};

condition_variable::~condition_variable() {
    WIRE_ASSERT(waiting_.empty(), "a condition_variable is destroyed while somebody waits for it");
}

result<void> condition_variable::wait(std::unique_lock<mutex>& lock, deadline until) noexcept {
    WIRE_ASSERT(lock.owns_lock(), "wait() of a condition_variable without holding the mutex");
    if (const int error = detail::check_cancelled()) return failure{error};
    mutex& m = *lock.mutex();
    sleeper me(detail::running_fiber("wait() of a condition_variable outside a wire"), m);
    waiting_.push_back(me);
    m.unlock();
    const int error = detail::park("condition_variable", until);
    if (!error) return {};
    me.leave();  // before the next park, or it would be taken for this one
    m.lock();
    return failure{error};
}

bool condition_variable::notify_first() noexcept {
    sleeper& first = waiting_.front();
    first.unlink();
    if (!detail::shield_park(first, "mutex")) return false;
    first.lock.give_to(first);
    return true;
}

void condition_variable::notify_one() noexcept {
    while (!waiting_.empty() && !notify_first()) {
    }
}

void condition_variable::notify_all() noexcept {
    while (!waiting_.empty()) notify_first();
}

}  // namespace wire
