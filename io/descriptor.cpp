#include <wire/descriptor.hpp>

#include <unistd.h>

#include <wire/this_wire.hpp>
#include "back_off.hpp"
#include "backend.hpp"
#include "syscalls.hpp"

namespace wire::io::detail {
namespace {

// A wire whose operations never block still lets the others run after so many.
constexpr std::uint32_t streak_max = 64;

}  // namespace

std::ptrdiff_t descriptor::perform(operation& op, deadline until) noexcept {
    if (const int error = wire::detail::check_cancelled()) return -error;
    if (fd_ < 0) return -EBADF;
    if (op.moves_nothing()) return 0;
    if (!entry_ || (*entry_)[op.needs].worth_an_attempt()) {
        const std::ptrdiff_t n = op.attempt(fd_);
        if (entry_) entry_->attempted(op, n);
        if (n != -EAGAIN) {
            if (++streak_ >= streak_max) {
                streak_ = 0;
                yield();
            }
            return n;
        }
    }
    streak_ = 0;
    backend* const home = backend::current(entry_ ? entry_->home : nullptr);
    if (!home) return -ECANCELED;
    WIRE_ASSERT(!entry_ || entry_->home == home,
                "a descriptor belongs to the runtime in which a wire first waited for it");
    return home->complete(fd_, entry_, op, until);
}

void descriptor::close() noexcept {
    const int fd = release();
    if (fd < 0) return;
    // Never repeated: after EINTR the number is free, and may be somebody else's.
    wire::detail::sys::call("close", [&] { return ::close(fd); });
    retry_backed_off();
}

int descriptor::release() noexcept {
    if (fd_entry* const e = std::exchange(entry_, nullptr)) e->home->forget(*e);
    return std::exchange(fd_, -1);
}

}  // namespace wire::io::detail
