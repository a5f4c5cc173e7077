#include <wire/join_wait.hpp>

#include "scheduler.hpp"

namespace wire {

join_wait::join_wait(const wire_ref& wire) noexcept : wire_(wire) {
    attach();
}

bool join_wait::enter() noexcept {
    detail::fiber* const f = detail::scheduler::unfinished(wire_);
    if (f) f->joiners.push_back(here);
    return f == nullptr;
}

}  // namespace wire
