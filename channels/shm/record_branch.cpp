#include <wire/shm/record_branch.hpp>

#include "selection.hpp"

namespace wire::shm {

bool record_branch::ready(wire::detail::selection&) noexcept {
    return from_.ready();
}

bool record_branch::commit() noexcept {
    const int error = std::exchange(error_, 0);
    got_ = error ? failure{error} : from_.try_peek();
    return got_.code() != EAGAIN;
}

bool record_branch::arm(wire::detail::selection&) noexcept {
    const int error = from_.begin_wait(here_.emplace(woken_));
    if (error == 0) return true;
    here_.reset();
    error_ = error == EAGAIN ? 0 : error;
    return false;
}

void record_branch::disarm() noexcept {
    if (!here_) return;
    if (!from_.end_wait()) here_->settle();
    here_.reset();
}

}  // namespace wire::shm
