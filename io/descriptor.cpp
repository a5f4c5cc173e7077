#include <wire/descriptor.hpp>

#include <unistd.h>

#include <wire/this_wire.hpp>
#include "back_off.hpp"
#include "backend.hpp"
#include "scheduler.hpp"
#include "syscalls.hpp"

namespace wire::io::detail {
namespace {

// A wire whose operations never block still lets the others run after so many.
constexpr std::uint32_t streak_max = 64;

// Whether a send goes to the kernel together with those of the wires that are ready too, where that
// is one call for all (measured: with 64 connections a tenth of what a request costs). That is when
// each of them has had its turn.
bool goes_along(const fd_entry& e, const operation& op) noexcept {
    if (!e.gathers_sends || !op.is_send()) return false;
    wire::detail::scheduler& here = *wire::detail::current_scheduler();
    if (!here.has_ready() || &here.sleeps_in() != e.home) return false;
    here.serve_soon();
    return true;
}

// Whether to make the call here and now, rather than to hand it to the backend.
bool is_for_now(fd_entry* entry, const operation& op) noexcept {
    if (!entry) return true;
    const fd_entry::direction& d = (*entry)[op.needs];
    return !d.taken && d.worth_an_attempt() && !goes_along(*entry, op);
}

}  // namespace

std::ptrdiff_t descriptor::perform(operation op, deadline until) noexcept {
    if (const int error = wire::detail::check_cancelled()) return -error;
    if (fd_ < 0) return -EBADF;
    if (op.moves_nothing()) return 0;
    if (is_for_now(entry_, op)) {
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

void descriptor::submit() noexcept {
    if (entry_) entry_->home->submit();
}

void descriptor::close() noexcept {
    const int fd = release();
    if (fd < 0) return;
    // Never repeated: after EINTR the number is free, and may be somebody else's.
    wire::detail::sys::call("close", [&] { return ::close(fd); });
    retry_backed_off();
}

int descriptor::release() noexcept {
    if (fd_entry* const e = std::exchange(entry_, nullptr))
        e->home->forget(*e);
    else if (fd_ >= 0)
        backend::forget_number(fd_);
    return std::exchange(fd_, -1);
}

}  // namespace wire::io::detail
