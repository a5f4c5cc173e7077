#include <wire/wait_fd.hpp>

#include "backend.hpp"

namespace wire::io {
namespace {

result<void> wait_for(int fd, detail::half h, deadline until) noexcept {
    if (const int error = wire::detail::check_cancelled()) return failure{error};
    detail::backend* const home = detail::backend::current();
    return to_result(home ? home->wait(fd, h, until) : ECANCELED);
}

}  // namespace

result<void> wait_readable(int fd, deadline until) noexcept {
    return wait_for(fd, detail::half::read, until);
}

result<void> wait_writable(int fd, deadline until) noexcept {
    return wait_for(fd, detail::half::write, until);
}

fd_wait::fd_wait(int fd, bool for_writing) noexcept : fd_(fd), for_writing_(for_writing) {
    attach();
}

// Returns whether it is ready, or has failed.
bool fd_wait::enter() noexcept {
    home_ = detail::backend::current();
    here_.error = 0;
    if (!home_) here_.error = ECANCELED;
    return !home_ ||
           home_->watch(here_, fd_, for_writing_ ? detail::half::write : detail::half::read);
}

void fd_wait::leave() noexcept {
    if (here_.linked() || here_.request) home_->unwatch(here_);
}

result<void> fd_wait::status() const noexcept {
    return to_result(here_.error == EAGAIN ? 0 : here_.error);
}

}  // namespace wire::io
