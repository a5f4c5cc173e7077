#include <wire/exchange_branch.hpp>

#include "selection.hpp"

namespace wire::detail {

bool exchange_branch::ready(selection&) noexcept {
    return side_ == exchange_side::giving ? at_.may_give() : at_.may_take();
}

// Once the place is taken, what comes is signalled; what has come before is seen.
bool exchange_branch::arm(selection& in) noexcept {
    queue().enter(here_.emplace(woken_));
    return !ready(in);
}

void exchange_branch::disarm() noexcept {
    if (!queue().leave(*here_)) {
        here_->settle();
        if (!chosen()) queue().notify_one();
    }
    here_.reset();
}

}  // namespace wire::detail
