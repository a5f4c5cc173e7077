#include <wire/wait.hpp>

#include <cerrno>

#include "scheduler.hpp"

namespace wire {

wait::~wait() {
    if (list_) list_->unchain(*this);
}

void wait::become(state to) noexcept {
    const int change = (to == state::triggered) - (state_ == state::triggered);
    state_ = to;
    if (list_ && change != 0) list_->count(*this, change);
}

bool wait::trigger() noexcept {
    if (state_ != state::idle) return false;
    become(state::triggered);
    return true;
}

bool wait::wake() noexcept {
    if (state_ != state::idle) return false;
    leave();
    return trigger();
}

void wait::reset() noexcept {
    leave();
    become(state::idle);
    attach();
}

void wait::stop() noexcept {
    leave();
    become(state::stopped);
}

void wait::attach() noexcept {
    if (enter()) trigger();
}

result<void> wait::await(deadline until) noexcept {
    WIRE_ASSERT(state_ != state::stopped, "await() of a wait that is stopped: reset() it before");
    wait_list alone;
    alone.chain(*this);
    const auto woken = alone.await(until);
    return to_result(woken.code());
}

wait_list::~wait_list() {
    WIRE_ASSERT(!sleeper_, "a list of waits is destroyed while a wire waits for it");
    while (!waits_.empty()) unchain(waits_.front());
}

void wait_list::chain(wait& w) noexcept {
    WIRE_ASSERT(!w.list_, "a wait is chained that is in a list already");
    waits_.push_back(w);
    w.list_ = this;
    if (w.triggered()) count(w, +1);
}

void wait_list::unchain(wait& w) noexcept {
    WIRE_ASSERT(w.list_ == this, "a wait is taken out of a list that it is not in");
    if (w.triggered()) count(w, -1);
    if (latest_ == &w) latest_ = nullptr;
    w.list_ = nullptr;
    w.unlink();
}

void wait_list::count(wait& w, int change) noexcept {
    triggered_ += static_cast<std::size_t>(change);
    if (change < 0) return;
    latest_ = &w;
    if (sleeper_) detail::wake(*sleeper_);
}

// At least one is triggered. Most often it is the only one, and no list, however long, is searched.
wait& wait_list::first() noexcept {
    if (triggered_ == 1 && latest_ && latest_->triggered()) return *latest_;
    wait* w = waits_.next(nullptr);
    while (!w->triggered()) w = waits_.next(w);
    return *w;
}

result<wait*> wait_list::await(deadline until) noexcept {
    detail::scheduler& s = detail::on_wire("this call may block: call it from a wire");
    if (s.running()->scope->cancelled) return failure{ECANCELED};
    if (waits_.empty()) return failure{EINVAL};
    WIRE_ASSERT(!sleeper_, "two wires wait for one list of waits");
    // Whoever runs before the woken wire may reset what has woken it.
    while (triggered_ == 0) {
        sleeper_ = s.running();
        const int error = s.park("a list of waits", until);
        sleeper_ = nullptr;
        if (error && triggered_ == 0) return failure{error};
    }
    return &first();
}

void detail::placed_wait::leave() noexcept {
    here.leave();
}

timer::alarm::alarm(wire::timer& t) noexcept
    : detail::timer([](detail::timer& a) noexcept { static_cast<alarm&>(a).owner.trigger(); }),
      owner(t) {}

timer::~timer() {
    disarm();
}

void timer::arm(deadline until) noexcept {
    reset();
    if (until.is_never()) return;
    home_ = &detail::on_wire("a timer is armed outside a wire: call arm() from a wire");
    home_->timers().arm(alarm_, until.ns());
}

void timer::disarm() noexcept {
    if (alarm_.armed()) home_->timers().disarm(alarm_);
}

}  // namespace wire
