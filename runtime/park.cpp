#include <wire/detail/park.hpp>

#include <cerrno>

#include <wire/this_wire.hpp>
#include <wire/wait.hpp>
#include "scheduler.hpp"

namespace wire {
namespace detail {

void park_timer::ring(timer& t) noexcept {
    fiber& f = *static_cast<park_timer&>(t).owner;
    if (f.state != fiber_state::waiting) return;  // woken in the same turn: the wake-up wins
    f.outcome = ETIMEDOUT;
    f.home->make_ready(f);
}

fiber& running_fiber(const char* sentence) noexcept {
    return *on_wire(sentence).running();
}

int park(const char* what, deadline until) noexcept {
    return on_wire("only a wire can wait: call this from a wire").park(what, until);
}

int park(fiber& self, const char* what, deadline until) noexcept {
    return self.home->wait(self, what, until);
}

int park_in(list<waiter>& queue, const char* what, deadline until) noexcept {
    scheduler& s = on_wire("only a wire can wait here: call this from a wire");
    waiter me(*s.running());
    queue.push_back(me);
    return s.park(what, until);
}

bool wake(waiter& w) noexcept {
    if (!w.who) [[unlikely]]
        return w.target->deliver(w);
    return wake(*w.who);
}

bool still_waits(const waiter& w) noexcept {
    return w.who ? w.who->state == fiber_state::waiting : w.target->undecided();
}

bool shield_park(waiter& w, const char* what) noexcept {
    fiber& f = *w.who;
    if (f.state != fiber_state::waiting) return false;
    if (f.timeout.armed()) f.home->timers().disarm(f.timeout);
    f.shielded = true;
    f.waits_for = what;
    return true;
}

wire_ref ref_of(fiber& f) noexcept {
    wire_ref ref;
    ref.owner_ = &f.home->shared();
    ref.wire_ = f.pool->bounded ? nullptr : &f;
    ref.slot_ = f.slot;
    ref.id_ = f.id;
    return ref;
}

// A control block stays readable and where it is as long as the runtime lives, or else its slot
// does: see shed().
fiber* scheduler::unfinished(const wire_ref& ref) noexcept {
    fiber* const f = ref.wire_ ? ref.wire_ : ref.slot_->wire;
    return f && f->id == ref.id_ && f->state != fiber_state::finished ? f : nullptr;
}

bool scheduler::resume(const wire_ref& ref) noexcept {
    WIRE_ASSERT(ref.owner_ == shared_.get(),
                ref.id_ == 0
                    ? "resume() of an empty reference"
                    : "resume() of a wire of another runtime: use the remote of its runtime");
    fiber* const f = unfinished(ref);
    if (!f) return false;
    if (f->state == fiber_state::waiting && f->waits_for == in_suspend)
        make_ready(*f);
    else
        f->resumed = true;
    return true;
}

}  // namespace detail

void yield() noexcept {
    detail::on_wire("yield() outside a wire: call it from a wire").yield();
}

result<void> sleep(deadline until) noexcept {
    const int error = detail::park("sleep", until);
    return to_result(error == ETIMEDOUT ? 0 : error);
}

result<void> suspend(deadline until) noexcept {
    return to_result(
        detail::on_wire("suspend() outside a wire: call it from a wire").suspend(until));
}

bool resume(const wire_ref& wire) noexcept {
    WIRE_ASSERT(detail::current_front, "resume() outside a runtime's thread: use remote::resume");
    return detail::current_scheduler()->resume(wire);
}

namespace this_wire {
namespace {

detail::fiber& self() noexcept {
    return detail::running_fiber("wire::this_wire outside a wire: call it from a wire");
}

}  // namespace

std::string_view name() noexcept {
    return self().shown_name();
}
std::uint64_t id() noexcept {
    return self().id;
}
bool cancelled() noexcept {
    return self().scope->cancelled;
}
void*& slot() noexcept {
    return self().local;
}
wire_ref ref() noexcept {
    return detail::ref_of(self());
}
std::size_t high_water() noexcept {
    return wire::high_water(self().memory);
}

}  // namespace this_wire
}  // namespace wire
