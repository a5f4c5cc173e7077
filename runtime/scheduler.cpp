// The switching half of the scheduler; its loop is in loop.cpp, the life of wires in fiber.cpp.
#include "scheduler.hpp"

#include <array>
#include <atomic>
#include <cstdlib>
#include <string_view>

#include <wire/diagnostics.hpp>
#include "cycles.hpp"

namespace wire::detail {

constinit thread_local scheduler_front* current_front = nullptr;

// The runtimes of this process, of those beyond 512 as many as there is room for. Only debuggers
// read it (tools/wire_gdb.py), of a process that stands still; so all accesses are relaxed. It has
// no lock, which a fork could leave locked.
extern constinit std::array<std::atomic<const scheduler*>, 512> all_runtimes;
constinit std::array<std::atomic<const scheduler*>, 512> all_runtimes{};

void scheduler::show_to_debuggers() noexcept {
    for (auto& place : all_runtimes) {
        const scheduler* nobody = nullptr;
        if (place.compare_exchange_strong(nobody, this, std::memory_order_relaxed)) return;
    }
}

void scheduler::hide_from_debuggers() noexcept {
    for (auto& place : all_runtimes)
        if (place.load(std::memory_order_relaxed) == this)
            place.store(nullptr, std::memory_order_relaxed);
}

namespace {

constexpr int turns_between_looks = 64;

bool trace_wanted() noexcept {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): as safe as any getenv
    const char* const wanted = std::getenv("WIRE_TRACE");
    return wanted && std::string_view(wanted) == "switch";
}

// A seed in the environment is for programs under test whose options do not name one.
std::uint64_t seed_from(const runtime_options& options) noexcept {
    if (options.seed != 0) return options.seed;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): as safe as any getenv
    const char* const text = std::getenv("WIRE_SEED");
    return text ? std::strtoull(text, nullptr, 10) : 0;
}

}  // namespace

scheduler::scheduler(const runtime_options& options)
    : shared_((count_forks(), new shared_state)),
      trace_(trace_wanted()),
      random_(seed_from(options)),
      drain_ns_(options.drain.count()),
      stack_options_(options.stack),
      default_pool_(options.stack) {
    shared_->sleeps_in = poller_;
    shared_->wires.reserve(options.wires);
    ready_.reserve(shared_->wires.size());
    // Random order and traces need a look at every switch.
    turns_between_ = trace_ || random_ ? 1 : turns_between_looks;
    show_to_debuggers();
}

void scheduler::yield() noexcept {
    // Alone, it would take itself out of the queue again.
    if (ready_.empty() && turns_ > 1 && !shared_->inbox.any()) {
        --turns_;
        return;
    }
    fiber& self = *running_;
    ready_.push(self);
    leave(self);
}

int scheduler::wait_until(fiber& self, deadline until) noexcept {
    timers_.arm(self.timeout, until.ns());
    leave(self);
    if (self.timeout.armed()) timers_.disarm(self.timeout);
    return self.outcome;
}

context& scheduler::successor_slowly() noexcept {
    WIRE_ASSERT(shared_->is_of_this_process(), of_the_parent);
    if (running_->pool->stacks.has_canaries()) [[unlikely]]
        check_canary(*running_);
    const bool due = (turns_ <= 0 || shared_->inbox.any()) && service_due();
    if (due || ready_.empty()) return main_;
    return take_next().ctx;
}

bool scheduler::service_due() noexcept {
    turns_ = turns_between_;
    if (shared_->inbox.any() || cycles() - served_at_ > slice_) return true;
    pick();
    if (trace_) trace_switch(running_);
    return false;
}

// With a seed, the next wire is drawn at random. Source of the generator: G. Marsaglia, "Xorshift
// RNGs", 2003.
void scheduler::pick() noexcept {
    if (random_ == 0 || ready_.empty()) return;
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    ready_.favour(random_ % ready_.size());
}

void scheduler::trace_switch(const fiber* from) const noexcept {
    if (ready_.empty()) return;
    report(diagnostic::trace, "switch %s -> %s", from ? from->shown_name() : "(runtime)",
           ready_.front().shown_name());
}

// On the thread's own flow: runs ready wires until none is left or service is due.
void scheduler::run_ready() noexcept {
    pick();
    if (trace_) trace_switch(nullptr);
    turns_ = turns_between_;
    shared_->pulse.begin();
    switch_to(main_, take_next().ctx, thread_);
    shared_->pulse.end();
    running_ = nullptr;
}

}  // namespace wire::detail
