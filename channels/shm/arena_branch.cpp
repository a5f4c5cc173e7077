#include <wire/shm/arena_branch.hpp>

#include "selection.hpp"

namespace wire::shm {

bool arena_branch::ready(wire::detail::selection&) noexcept {
    return from_.ready(id_);
}

bool arena_branch::commit() noexcept {
    const int error = std::exchange(error_, 0);
    got_ = error ? result<arena_record>(failure{error}) : from_.try_recv(id_);
    return got_.code() != EAGAIN;
}

bool arena_branch::arm(wire::detail::selection&) noexcept {
    const int error = from_.begin_wait(id_, here_.emplace(woken_));
    if (error == 0) return true;
    here_.reset();
    error_ = error == EAGAIN ? 0 : error;
    return false;
}

void arena_branch::disarm() noexcept {
    if (!here_) return;
    if (!from_.end_wait(id_)) here_->settle();
    here_.reset();
}

}  // namespace wire::shm
