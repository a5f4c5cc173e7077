// A poller with a clock of its own: time stands still while wires run and jumps to the next
// deadline when all of them wait. So tests of timers take no time and have exact results.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>

#include <wire/assert.hpp>
#include <wire/detail/thread_sync.hpp>
#include <wire/poller.hpp>
#include <wire/runtime.hpp>

namespace wire::test {

class sim_poller final : public poller {
public:
    explicit sim_poller(std::int64_t start_ns = 1'000'000'000) noexcept : now_(start_ns) {}

    void bind() override { ++binds; }

    void poll(deadline until) override {
        ++polls;
        if (notified_.exchange(false)) return;
        if (until.ns() <= now_) return;
        ++sleeps;
        if (idle) {
            idle();
            return;
        }
        WIRE_ASSERT(!until.is_never(), "the simulated poller would sleep for ever");
        now_ = until.ns();
    }

    void notify() noexcept override { notified_ = true; }
    [[nodiscard]] bool armed() const noexcept override { return is_armed; }
    [[nodiscard]] std::int64_t now() const noexcept override { return now_; }
    [[nodiscard]] bool has_clock() const noexcept override { return true; }

    void advance(std::chrono::nanoseconds by) noexcept { now_ += by.count(); }

    bool is_armed = false;       // claims that an event may still come
    std::function<void()> idle;  // called instead of sleeping
    int binds = 0;
    int polls = 0;
    int sleeps = 0;

private:
    std::int64_t now_;
    std::atomic<bool> notified_{false};
};

/// A runtime on a virtual clock.
struct sim {
    explicit sim(const runtime_options& options = {}) : rt(options) {
        rt.attach(&clock);
        // A wire's calls at pools and bridges give way now and then. When must not depend on how
        // many there were before on this thread: with other threads that is chance.
        wire::detail::notes.calls = 0;
    }

    /// Virtual milliseconds since the start.
    [[nodiscard]] std::int64_t ms() const noexcept { return (clock.now() - start) / 1'000'000; }

    sim_poller clock;
    const std::int64_t start = clock.now();
    runtime rt;
};

}  // namespace wire::test
