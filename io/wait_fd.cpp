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

}  // namespace wire::io
