#include <wire/event.hpp>

#include "scheduler.hpp"

namespace wire {

event::~event() {
    WIRE_ASSERT(waiting_.empty(), "an event is destroyed while somebody waits for it");
}

void event::set() noexcept {
    set_ = true;
    detail::wake_all(waiting_);
}

result<void> event::await(deadline until) noexcept {
    if (set_) return to_result(detail::check_cancelled());
    return to_result(detail::park_in(waiting_, "event", until));
}

event_wait::event_wait(event& e) noexcept : event_(e) {
    attach();
}

bool event_wait::enter() noexcept {
    if (!event_.set_) event_.waiting_.push_back(here);
    return event_.set_;
}

}  // namespace wire
