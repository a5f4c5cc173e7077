#include <wire/join_wait.hpp>

#include "scheduler.hpp"

namespace wire {

const detail::wait_source join_wait::source{
    .attach =
        [](wait& w) noexcept {
            auto& self = static_cast<join_wait&>(w);
            detail::fiber* const f = detail::scheduler::unfinished(self.wire_);
            if (f) f->joiners.push_back(self.here);
            return f == nullptr;
        },
    .detach = &placed_wait::leave,
};

join_wait::join_wait(const wire_ref& wire) noexcept : placed_wait(source), wire_(wire) {
    attach();
}

}  // namespace wire
