#include "sleep_on.hpp"

#include <cerrno>
#include <exception>
#include <utility>

#include <wire/assert.hpp>
#include <wire/detail/running.hpp>
#include "backend.hpp"
#include "without_signals.hpp"

namespace wire::shm::detail {

int begin_call() noexcept {
    return wire::detail::thread_sync::begin_call();
}

sleeper::~sleeper() {
    if (!stand_in_.joinable()) return;
    {
        const std::lock_guard guard(lock_);
        stop_ = true;
        if (word_) {
            // It may be about to sleep: then it finds another value. And others may sleep on the
            // same word, so it is not enough to wake one.
            word_->fetch_add(1, std::memory_order_relaxed);
            system_sync::futex_wake_all(*word_);
        }
    }
    changed_.notify_one();
    stand_in_.join();
}

int sleeper::sleep(word& w, std::uint32_t value, deadline until) noexcept {
    if (!wire::detail::running_or_none()) {
        system_sync::futex_wait(w, value, until.ns());
        return 0;
    }
    int error = ENOSYS;
    if (io::detail::backend* const home = io::detail::backend::current())
        error = home->wait_while(reinterpret_cast<const std::uint32_t&>(w), value, until);
    if (error == ENOSYS) error = sleep_by_thread(w, value, until);
    return error == ETIMEDOUT ? 0 : error;
}

int sleeper::sleep_by_thread(word& w, std::uint32_t value, deadline until) noexcept {
    wire::detail::place here;
    if (!enlist(w, value, until, here)) return ENOMEM;
    const int error = here.sleep(until);
    if (withdraw()) return error;
    here.settle();
    return 0;
}

bool sleeper::enlist(word& w, std::uint32_t value, deadline until,
                     wire::detail::place& here) noexcept {
    if (!start()) return false;
    here.reset();
    {
        const std::lock_guard guard(lock_);
        WIRE_ASSERT(!waiting_, "a ring or a sender is waited for twice at once");
        word_ = &w;
        value_ = value;
        until_ = until;
        waiting_ = &here;
    }
    changed_.notify_one();
    return true;
}

bool sleeper::withdraw() noexcept {
    const std::lock_guard guard(lock_);
    return std::exchange(waiting_, nullptr) != nullptr;
}

bool sleeper::start() noexcept {
    if (stand_in_.joinable()) return true;
    const without_signals meanwhile;
    try {
        stand_in_ = std::thread([this] { stand_in(); });
    } catch (const std::exception&) {  // no thread, or no memory
        return false;
    }
    return true;
}

void sleeper::stand_in() noexcept {
    std::unique_lock guard(lock_);
    for (;;) {
        changed_.wait(guard, [this] { return stop_ || waiting_; });
        if (stop_) return;
        word& w = *word_;
        const std::uint32_t value = value_;
        const deadline until = until_;
        guard.unlock();
        system_sync::futex_wait(w, value, until.ns());
        const bool is_over = w.load(std::memory_order_relaxed) != value;
        guard.lock();
        // Its wire may sleep for another value by now, or no longer.
        const bool is_late = !until_.is_never() && system_sync::now_ns() >= until_.ns();
        if (!waiting_ || !(is_over || is_late || value_ != value)) continue;
        const auto bell = std::exchange(waiting_, nullptr)->signal();
        static_cast<void>(bell.ring());
    }
}

}  // namespace wire::shm::detail
