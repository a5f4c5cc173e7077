#include <wire/branch.hpp>

#include <backend.hpp>
#include <scheduler.hpp>
#include "selection.hpp"

namespace wire::detail {

bool event_branch::arm(selection&) noexcept {
    event_.waiting_.push_back(here_);
    return true;
}

bool acquire_branch::arm(selection&) noexcept {
    semaphore_.waiting_.push_back(here_);
    return true;
}

bool join_branch::ready(selection&) noexcept {
    return !scheduler::unfinished(wire_);
}

bool join_branch::arm(selection&) noexcept {
    scheduler::unfinished(wire_)->joiners.push_back(here_);
    return true;
}

bool deadline_branch::ready(selection&) noexcept {
    return now_ns() >= until_.ns();
}

bool deadline_branch::arm(selection& in) noexcept {
    in.expire_at(until_, *this);
    return true;
}

bool otherwise_branch::ready(selection& in) noexcept {
    in.fall_back_on(*this);
    return false;
}

namespace {

io::detail::half direction(bool for_writing) noexcept {
    return for_writing ? io::detail::half::write : io::detail::half::read;
}

}  // namespace

bool fd_branch::ready(selection&) noexcept {
    static_cast<void>(io::detail::backend::current());  // asserts that there is a reactor
    const int answer = io::detail::look(fd_, direction(for_writing_));
    error_ = answer < 0 ? -answer : 0;
    return answer != 0;
}

bool fd_branch::arm(selection&) noexcept {
    here_.error = 0;
    home_ = io::detail::backend::current();
    if (!home_) here_.error = ECANCELED;
    return home_ && !home_->watch(here_, fd_, direction(for_writing_));
}

void fd_branch::disarm() noexcept {
    if (here_.linked() || here_.request) home_->unwatch(here_);
}

// EAGAIN: what is known of the descriptor has changed, and somebody has to look again.
bool fd_branch::settle() noexcept {
    error_ = here_.error;
    return error_ != EAGAIN;
}

signal_branch::signal_branch(io::signals& set) noexcept
    : fd_branch(set.fd_.number(), false), set_(set) {}

bool signal_branch::commit() noexcept {
    got_ = set_.try_wait();
    return got_.code() != EAGAIN;
}

// What has woken it may have been another wire's signal.
bool signal_branch::settle() noexcept {
    if (!fd_branch::settle()) return false;
    if (error() == 0) return commit();
    got_ = failure{error()};
    return true;
}

}  // namespace wire::detail
