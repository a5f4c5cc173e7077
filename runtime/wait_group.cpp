#include <wire/wait_group.hpp>

namespace wire {

wait_group::~wait_group() {
    WIRE_ASSERT(waiting_.empty(), "a wait_group is destroyed while somebody waits for it");
}

result<void> wait_group::wait(deadline until) noexcept {
    if (left_ == 0) return to_result(detail::check_cancelled());
    detail::waiter me;
    waiting_.push_back(me);
    return to_result(detail::park("wait_group", until));
}

}  // namespace wire
