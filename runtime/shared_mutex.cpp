#include <wire/shared_mutex.hpp>

#include "scheduler.hpp"

namespace wire {

// The place of a wire in the queue.
struct shared_mutex::claim : detail::waiter {
    claim(detail::fiber& self, purpose p) noexcept : waiter(self), why(p) {}
    [[nodiscard]] const char* shown() const noexcept {
        return why == to_read ? "a share of shared_mutex" : "shared_mutex";
    }
    const purpose why;
};

namespace {

// The scheduler of the wire that wants the lock and must not be its writer yet.
detail::scheduler& asking(const detail::fiber* writer) noexcept {
    detail::scheduler& s =
        detail::on_wire("a shared_mutex is locked outside a wire: call it from a wire");
    WIRE_ASSERT(s.running() != writer,
                "a wire locks a shared_mutex that it holds, and would wait for itself for ever");
    return s;
}

}  // namespace

shared_mutex::~shared_mutex() {
    WIRE_ASSERT(!writer_ && readers_ == 0, "a shared_mutex is destroyed while a wire holds it");
    WIRE_ASSERT(waiting_.empty(), "a shared_mutex is destroyed while somebody waits for it");
}

void shared_mutex::lock_slowly(purpose why) noexcept {
    detail::scheduler& s = asking(writer_);
    claim mine(*s.running(), why);
    waiting_.push_back(mine);
    s.park_shielded(mine.shown());
}

result<void> shared_mutex::lock_until(purpose why, deadline until) noexcept {
    detail::scheduler& s = asking(writer_);
    if (s.running()->scope->cancelled) return failure{ECANCELED};
    if (why == to_read ? try_lock_shared() : try_lock()) return {};
    claim mine(*s.running(), why);
    waiting_.push_back(mine);
    const int error = s.park(mine.shown(), until);
    if (!error) return {};
    mine.leave();
    admit();  // those who waited only because this one did
    return failure{error};
}

void shared_mutex::unlock_slowly() noexcept {
    WIRE_ASSERT(writer_, "unlock of a shared_mutex that no wire holds alone");
    WIRE_ASSERT(writer_ == detail::running_or_none(),
                "unlock of a shared_mutex that another wire holds");
    writer_ = nullptr;
    admit();
}

// Lets in, from the queue's head on, whoever may enter.
void shared_mutex::admit() noexcept {
    while (!waiting_.empty() && !writer_) {
        claim& next = waiting_.front();
        if (next.why == to_write && readers_ > 0) return;
        next.unlink();
        if (!detail::wake(next)) continue;  // has given up
        if (next.why == to_read)
            ++readers_;
        else
            writer_ = next.who;
    }
}

}  // namespace wire
