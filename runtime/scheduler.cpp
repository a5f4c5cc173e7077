// The switching half of the scheduler; its loop is in loop.cpp, the life of wires in fiber.cpp.
#include "scheduler.hpp"

#include <cstdlib>
#include <string_view>

#include <wire/diagnostics.hpp>
#include "cycles.hpp"

namespace wire::detail {

constinit thread_local scheduler* current_scheduler = nullptr;

namespace {

constexpr int turns_between_looks = 64;

bool trace_wanted() noexcept {
    const char* const wanted = std::getenv("WIRE_TRACE");
    return wanted && std::string_view(wanted) == "switch";
}

}  // namespace

scheduler::scheduler(const runtime_options& options)
    : shared_(new shared_state),
      trace_(trace_wanted()),
      random_(options.seed),
      drain_ns_(options.drain.count()),
      stack_options_(options.stack),
      default_stacks_(options.stack) {
    shared_->sleeps_in = poller_;
    shared_->wires.reserve(options.wires);
    ready_.reserve(shared_->wires.size());
    room_ = shared_->wires.size();
    // Random order and traces need a look at every switch.
    turns_between_ = trace_ || random_ ? 1 : turns_between_looks;
}

void scheduler::yield() noexcept {
    fiber& self = *running_;
    if (ready_.empty() && turns_ > 1 && !shared_->inbox.any()) {
        --turns_;
        return;
    }
    self.state = fiber_state::ready;
    ready_.push(self);
    leave(self);
}

// leave(), if there may be something to do first: goes to the thread's own flow if no wire is ready
// or service is due.
void scheduler::leave_slowly(fiber& self) noexcept {
    const bool due = (turns_ <= 0 || shared_->inbox.any()) && service_due();
    if (due || ready_.empty()) return switch_to(self.ctx, main_, thread_);
    fiber& next = take_next();
    if (&next != &self) switch_to(self.ctx, next.ctx, thread_);
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
    switch_to(main_, take_next().ctx, thread_);
    running_ = nullptr;
}

}  // namespace wire::detail
