#include <wire/join_wait.hpp>

#include "fiber.hpp"

namespace wire {

// The control block of a wire that has ended stays where it is, and readable: scheduler::shed().
const detail::wait_source join_wait::source{
    .attach =
        [](wait& w) noexcept {
            auto& self = static_cast<join_wait&>(w);
            detail::fiber& f = self.fiber_;
            if (f.id != self.id_ || f.state == detail::fiber_state::finished) return true;
            f.joiners.push_back(self.here_);
            return false;
        },
    .detach =
        [](wait& w) noexcept {
            auto& self = static_cast<join_wait&>(w);
            if (self.here_.linked()) self.here_.unlink();
        },
};

join_wait::join_wait(detail::fiber& f) noexcept : queued_wait(source), fiber_(f), id_(f.id) {
    attach();
}

}  // namespace wire
