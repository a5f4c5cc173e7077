// How to wait for what may be there already: look, look again for a while, then sleep.
#pragma once

#include <cerrno>

#include <wire/deadline.hpp>
#include <wire/waiting.hpp>
#include "sleepers.hpp"
#include "slot_rings.hpp"

namespace wire::detail {

/// Calls `attempt` until it returns something else than EAGAIN, and returns that; between the calls
/// it waits in `queue`, for a signal that it is worth another try. Fails with ETIMEDOUT or, in a
/// wire, ECANCELED; a success that comes at the same time wins.
template <class Sync, class F>
int sleep_in(basic_sleepers<Sync>& queue, deadline until, F attempt) noexcept {
    typename Sync::place here;
    queue.enter(here);
    for (;;) {
        int result = attempt();
        if (result != EAGAIN) {
            if (!queue.leave(here)) {
                here.settle();
                queue.notify_one();
            }
            return result;
        }
        const int error = here.sleep(until);
        if (error && queue.leave(here)) return error;
        here.settle();
        result = attempt();
        if (result != EAGAIN) return result;
        if (error) return error;
        queue.enter_first(here);  // somebody else was faster
    }
}

/// `side` is the one that waits for the other.
template <class Sync, class F>
int wait_slowly(basic_side<Sync>& side, basic_sleepers<Sync>& queue, waiting how, deadline until,
                F attempt) noexcept {
    if (Sync::is_past(until)) return ETIMEDOUT;
    pace& pace = side.pace;
    for (typename Sync::patience p(how, until, pace.begin(), pace.hopeful()); p.looks_again();) {
        const int result = attempt();
        if (result == EAGAIN) continue;
        pace.note_find(side.found());
        return result;
    }
    const std::int64_t began = Sync::real_ns();
    const int result = sleep_in<Sync>(queue, until, attempt);
    pace.note_sleep(Sync::real_ns() - began, result == 0);
    return result;
}

/// The whole of it, for a call that may block.
template <class Sync, class F>
int wait_in(basic_side<Sync>& side, basic_sleepers<Sync>& queue, waiting how, deadline until,
            F attempt) noexcept {
    if (const int error = Sync::begin_call()) [[unlikely]]
        return error;
    const int result = attempt();
    return result == EAGAIN ? wait_slowly<Sync>(side, queue, how, until, attempt) : result;
}

}  // namespace wire::detail
