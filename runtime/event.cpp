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

const detail::wait_source event_wait::source{
    .attach =
        [](wait& w) noexcept {
            auto& self = static_cast<event_wait&>(w);
            if (!self.event_.set_) self.event_.waiting_.push_back(self.here);
            return self.event_.set_;
        },
    .detach = &placed_wait::leave,
};

event_wait::event_wait(event& e) noexcept : placed_wait(source), event_(e) {
    attach();
}

}  // namespace wire
