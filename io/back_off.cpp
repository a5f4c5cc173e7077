#include "back_off.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>

#include <wire/detail/park.hpp>
#include <wire/diagnostics.hpp>

namespace wire::io::detail {
namespace {

using wire::detail::list;
using wire::detail::waiter;

constexpr int first_delay_ms = 10;
constexpr int last_delay_ms = 500;

list<waiter>& waiting() noexcept {
    thread_local list<waiter> wires;
    return wires;
}

void report_once_a_minute(int error) noexcept {
    constexpr std::int64_t minute_ns = 60'000'000'000;
    thread_local std::int64_t last = -minute_ns;
    const std::int64_t now = wire::detail::now_ns();
    if (now - last < minute_ns) return;
    last = now;
    wire::detail::report(diagnostic::back_off,
                         "accept: %s; trying again every %d to %d ms, and when a descriptor is "
                         "closed (raise ulimit -n, or accept fewer connections)",
                         std::system_category().message(error).c_str(), first_delay_ms,
                         last_delay_ms);
}

}  // namespace

int back_off::wait(int error, deadline until) noexcept {
    report_once_a_minute(error);
    delay_ms_ = delay_ms_ == 0 ? first_delay_ms : std::min(2 * delay_ms_, last_delay_ms);
    const deadline next = within(std::chrono::milliseconds(delay_ms_));
    waiter me;
    waiting().push_back(me);
    const int outcome = wire::detail::park("descriptors to be closed", std::min(next, until));
    return outcome == ETIMEDOUT && next <= until ? 0 : outcome;
}

void retry_backed_off() noexcept {
    wire::detail::wake_all(waiting());
}

}  // namespace wire::io::detail
