#include <wire/mutex.hpp>

#include "scheduler.hpp"

namespace wire {

mutex::~mutex() {
    WIRE_ASSERT(!owner_, "a mutex is destroyed while a wire holds it");
    WIRE_ASSERT(!is_awaited(), "a mutex is destroyed while somebody waits for it");
}

namespace {

// The scheduler of the wire that wants the lock and must not hold it yet.
detail::scheduler& asking(const detail::fiber* owner) noexcept {
    detail::scheduler& s = detail::on_wire("a mutex is locked outside a wire: call it from a wire");
    WIRE_ASSERT(s.running() != owner,
                "a wire locks a mutex that it holds, and would wait for itself for ever");
    return s;
}

}  // namespace

void mutex::lock_slowly() noexcept {
    detail::scheduler& s = asking(owner_);
    detail::waiter me(*s.running());
    waiting_.push_back(me);
    s.park_shielded("mutex");
}

result<void> mutex::lock(deadline until) noexcept {
    detail::scheduler& s = asking(owner_);
    if (s.running()->scope->cancelled) return failure{ECANCELED};
    if (try_lock()) return {};
    detail::waiter me(*s.running());
    waiting_.push_back(me);
    return to_result(s.park("mutex", until));
}

void mutex::unlock_slowly() noexcept {
    WIRE_ASSERT(owner_, "unlock of a mutex that nobody holds");
    WIRE_ASSERT(owner_ == detail::running_or_none(), "unlock of a mutex that another wire holds");
    pass_on();
}

void mutex::pass_on() noexcept {
    const detail::waiter* const next = detail::wake_first(waiting_);
    owner_ = next ? next->who : nullptr;
    if (!owner_) detail::wake_all(waiting_for_clear_);
}

// To a wire whose park only a wake ends.
void mutex::give_to(detail::waiter& parked) noexcept {
    if (owner_) {
        waiting_.push_back(parked);
    } else {
        owner_ = parked.who;
        detail::wake(parked);
    }
}

result<void> mutex::wait_clear(deadline until) noexcept {
    detail::scheduler& s = asking(owner_);
    if (s.running()->scope->cancelled) return failure{ECANCELED};
    // Whoever runs before the woken wire may lock it again.
    while (owner_)
        if (const int error = detail::park_in(waiting_for_clear_, "a clear mutex", until))
            return failure{error};
    return {};
}

}  // namespace wire
