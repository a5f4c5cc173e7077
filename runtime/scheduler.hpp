// The scheduler: one FIFO of ready wires per OS thread.
//
// A switch goes straight from wire to wire. The thread's own flow, main_, runs only when nothing is
// ready or when service is due; then it serves inbox, timers and poller, and sleeps in the poller
// if there is still nothing to run.
//
// Invariants
//   1. A wire never leaves its OS thread. Compilers may keep addresses of thread_local variables in
//      registers across a switch, so this is not only a choice.
//   2. Only the owning thread touches anything here but shared_. Others go through the inbox.
//   3. Waking a wire never runs it, it only makes it ready. So the code between two points at which
//   a
//      wire may block is atomic for the other wires of its runtime.
//   4. While wires stay ready, service happens at most about 20 us late: a look at the inbox (one
//      load) at every switch, at the cycle counter every 64 switches, at the kernel never more
//      often than the 20 us.
//
// Why not work stealing: it makes every queue operation atomic and every thread_local and io_uring
// ring a hazard, for programs whose threads are busy anyhow. Why not run the woken wire at once: it
// would starve the others (FIFO is promised), and the switch it saves costs a few nanoseconds.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include <wire/runtime.hpp>
#include "fiber.hpp"
#include "futex_poller.hpp"
#include "ready_queue.hpp"
#include "shared_state.hpp"
#include "timer_wheel.hpp"

namespace wire::detail {

class scheduler {
public:
    explicit scheduler(const runtime_options& options);
    ~scheduler();
    scheduler(const scheduler&) = delete;
    scheduler& operator=(const scheduler&) = delete;

    // For wires.
    void yield() noexcept;
    int park(const char* what, deadline until) noexcept;
    void make_ready(fiber& f) noexcept;
    bool resume(const wire_ref& ref) noexcept;
    fiber& start(const spawn_options& options, const task_shape& shape, void* from);
    void reclaim(fiber& f) noexcept;
    [[noreturn]] void finish(fiber& f) noexcept;
    [[nodiscard]] fiber* running() const noexcept { return running_; }
    [[nodiscard]] wire_ref ref_of(const fiber& f) const noexcept;

    // For the runtime and its poller.
    result<void> run();
    bool run_once(std::chrono::nanoseconds budget);
    void drain() noexcept;
    void cancel_all() noexcept;
    void attach(poller* p) noexcept;
    void bind();
    [[nodiscard]] std::size_t size() const noexcept { return live_; }
    void hold(int delta) noexcept { guards_ += delta; }
    [[nodiscard]] shared_state& shared() const noexcept { return *shared_; }
    [[nodiscard]] timer_wheel& timers() noexcept { return timers_; }
    [[nodiscard]] poller& sleeps_in() const noexcept { return *poller_; }
    /// Nanoseconds of the clock that deadlines refer to.
    [[nodiscard]] std::int64_t now() const noexcept;
    [[nodiscard]] bool on_own_thread() const noexcept;

private:
    void leave(fiber& self) noexcept;
    [[gnu::cold, gnu::noinline]] void leave_slowly(fiber& self) noexcept;
    fiber& take_next() noexcept;
    bool service_due() noexcept;
    void trace_switch(const fiber* from) const noexcept;
    void pick() noexcept;

    void enter();
    void run_ready() noexcept;
    void serve();
    void block(deadline limit);
    void open(inbox_node* oldest);
    void serve_timers() noexcept;
    void calibrate(std::uint64_t cycles) noexcept;
    [[nodiscard]] bool can_be_woken() const noexcept;
    void report_deadlock() const noexcept;
    void report_stragglers() const noexcept;

    stack_cache& cache_of_size(std::size_t size);
    void make_room();
    void enlist(fiber& f) noexcept;
    void bury_shadows() noexcept;

    // Touched at every switch.
    fiber* running_ = nullptr;
    int turns_ = 0;  // switches until the cycle counter is read
    ready_queue ready_;
    shared_state* const shared_;
    thread_globals thread_{};
    context main_;

    int turns_between_;
    std::uint64_t served_at_ = 0;   // cycle counter
    std::uint64_t slice_ = 40'000;  // 20 us in cycles; calibrated as the runtime runs
    std::uint64_t calibrated_cycles_ = 0;
    std::int64_t calibrated_ns_ = 0;
    std::int64_t now_ = 0;  // coarse clock: of the last service

    timer_wheel timers_;
    futex_poller futex_;
    poller* poller_ = &futex_;
    poller* bound_poller_ = nullptr;
    inbox_node* unopened_ = nullptr;  // taken from the inbox, not run yet
    std::size_t live_ = 0;            // wires that have not ended
    std::size_t used_ = 0;            // those, and ended ones that a handle still holds
    std::size_t room_ = 0;            // how many the table and the ready queue have room for
    int guards_ = 0;
    bool closing_ = false;
    bool trace_ = false;
    bool own_clock_ = false;  // the poller's clock is not the steady clock
    std::uint64_t random_;    // 0: FIFO
    std::uint64_t last_id_ = 0;
    std::thread::id thread_id_{};
    std::int64_t drain_ns_;
    stack_options stack_options_;
    stack_cache default_stacks_;
    std::vector<std::unique_ptr<stack_cache>> other_stacks_;
#if WIRE_TSAN
    std::vector<void*> dead_shadows_;
#endif
};

/// The scheduler that runs on this thread; nullptr outside run(). One per thread: everything about
/// the running wire follows from it.
extern WIRE_API constinit thread_local scheduler* current_scheduler
    [[gnu::tls_model("initial-exec")]];

// The hot path, inline for the files of this layer.

inline fiber& scheduler::take_next() noexcept {
    fiber& next = ready_.pop();
    next.state = fiber_state::running;
    running_ = &next;
    return next;
}

// Gives the thread to the next wire. `self` lies where it belongs already. Returns when `self` runs
// again; never if it has finished.
inline void scheduler::leave(fiber& self) noexcept {
    if (--turns_ <= 0 || shared_->inbox.any() || ready_.empty()) [[unlikely]]
        return leave_slowly(self);
    switch_to(self.ctx, take_next().ctx, thread_);
}

inline int scheduler::park(const char* what, deadline until) noexcept {
    fiber& self = *running_;
    if (self.scope->cancelled) return ECANCELED;
    self.waits_for = what;
    self.since = now_;
    self.outcome = 0;
    self.state = fiber_state::waiting;
    if (!until.is_never()) timers_.arm(self.timeout, until.ns());
    leave(self);
    if (self.timeout.armed()) timers_.disarm(self.timeout);
    return self.outcome;
}

inline void scheduler::make_ready(fiber& f) noexcept {
    WIRE_ASSERT(this == current_scheduler || on_own_thread(),
                "a wire can be woken on its own thread only: from others use wire::remote");
    WIRE_ASSERT(f.state == fiber_state::waiting, "a wire is woken that does not wait");
    f.state = fiber_state::ready;
    ready_.push(f);
}

/// The scheduler, asserting that a wire of it runs.
inline scheduler& on_wire(const char* sentence) noexcept {
    scheduler* const s = current_scheduler;
    WIRE_ASSERT(s && s->running(), sentence);
    return *s;
}

}  // namespace wire::detail
