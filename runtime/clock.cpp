#include <chrono>

#include <wire/deadline.hpp>
#include <wire/poller.hpp>
#include <wire/result.hpp>
#include "scheduler.hpp"

namespace wire {

poller::~poller() = default;

bool poller::rest(deadline) {
    WIRE_ASSERT(false, "this poller cannot rest in another loop");
    return false;
}

std::int64_t poller::now() const noexcept {
    return detail::steady_ns();
}

namespace detail {

std::int64_t steady_ns() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::int64_t now_ns() noexcept {
    const scheduler* const s = current_scheduler();
    return s ? s->now() : steady_ns();
}

poller& current_poller(const char* sentence) noexcept {
    const scheduler& s = on_wire(sentence);
    WIRE_ASSERT(s.shared().is_of_this_process(), of_the_parent);
    return s.sleeps_in();
}

deadline after_ns(std::int64_t delay) noexcept {
    const std::int64_t now = now_ns();
    if (delay >= deadline::never_ns - now) return never;
    return deadline::at_ns(now + delay);
}

std::int64_t scheduler::now() const noexcept {
    return own_clock_ ? poller_->now() : steady_ns();
}

void throw_error(int code) {
    throw std::system_error(code, std::system_category());
}

void futex_poller::poll(deadline until) {
    // [N] acquire: what the producer did before notify(). Pairs with [N'].
    if (notified_.load(std::memory_order_acquire) == 0) {
        if (until.ns() > steady_ns()) real_sync::futex_wait(notified_, 0, until);
    }
    notified_.store(0, std::memory_order_relaxed);  // the inbox, looked at next, says what came
}

void futex_poller::notify() noexcept {
    // [N'] release: see [N]. Pairs with [N].
    notified_.store(1, std::memory_order_release);
    real_sync::futex_wake(notified_, 1);
}

}  // namespace detail
}  // namespace wire
