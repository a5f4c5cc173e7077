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
//      a wire may block is atomic for the other wires of its runtime.
//   4. While wires stay ready, service happens at most about 20 us late: a look at the inbox (one
//      load) at every switch, at the cycle counter every 64 switches, at the kernel never more
//      often than the 20 us.
//
// Why not work stealing: it makes every queue operation atomic and every thread_local and io_uring
// ring a hazard, for programs whose threads are busy anyhow. Why not run the woken wire at once: it
// would starve the others (FIFO is promised), and the switch it saves costs a few nanoseconds.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include <wire/detail/running.hpp>
#include <wire/runtime.hpp>
#include "bounded_pool.hpp"
#include "fiber_pool.hpp"
#include "futex_poller.hpp"
#include "ready_queue.hpp"
#include "shared_state.hpp"
#include "timer_wheel.hpp"

namespace wire::detail {

class scheduler : public scheduler_front, immovable {
public:
    explicit scheduler(const runtime_options& options);
    ~scheduler();

    // For wires.
    void yield() noexcept;
    int park(const char* what, deadline until) noexcept;
    int wait(fiber& self, const char* what, deadline until) noexcept;
    void park_shielded(const char* what) noexcept;
    int suspend(deadline until) noexcept;
    void make_ready(fiber& f) noexcept;
    bool resume(const wire_ref& ref) noexcept;
    /// The wire, if it has not ended.
    [[nodiscard]] static fiber* unfinished(const wire_ref& ref) noexcept;
    fiber& start(const origin& where, const spawn_options& options, const task_shape& shape,
                 void* from, bool joinable);
    void reclaim(fiber& f) noexcept;

    // For the runtime and its poller.
    result<void> run();
    bool run_once(std::chrono::nanoseconds budget);
    bool drain() noexcept;
    void end() noexcept;
    void cancel_all() noexcept;
    void dump(int fd) const noexcept;
    /// Whether the last run() has returned because of a stop.
    [[nodiscard]] bool was_stopped() const noexcept { return stopped_; }
    /// The calls of other threads that run here; see call.hpp.
    [[nodiscard]] list<link>& calls() noexcept { return calls_; }
    /// Wires that have not ended, and those that a handle holds.
    [[nodiscard]] std::size_t known() const noexcept { return live_ + held_; }
    void attach(poller* p) noexcept;
    void bind();
    /// From now on the runtime rests in the loop of another, which calls run_once(); or no more.
    void embed(bool on) noexcept;
    [[nodiscard]] bool is_embedded() const noexcept { return embedded_; }
    void adopt(bounded_pool& pool) noexcept;
    void dismiss(bounded_pool& pool) noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return live_; }
    /// Whether wires wait for their turn to run.
    [[nodiscard]] bool has_ready() const noexcept { return !ready_.empty(); }
    /// Something is put off until the next service: it comes when each wire that is ready now has
    /// had its turn, if not before.
    void serve_soon() noexcept {
        turns_ = std::min(turns_, static_cast<int>(ready_.size()) + 1);
        served_at_ = 0;
    }
    /// The next switch is no quick one.
    void look_at_next_switch() noexcept { turns_ = 0; }
    void hold(int delta) noexcept { guards_ += delta; }
    [[nodiscard]] shared_state& shared() const noexcept { return *shared_; }
    [[nodiscard]] timer_wheel& timers() noexcept { return timers_; }
    [[nodiscard]] poller& sleeps_in() const noexcept { return *poller_; }
    /// Nanoseconds of the clock that deadlines refer to.
    [[nodiscard]] std::int64_t now() const noexcept;
    [[nodiscard]] bool on_own_thread() const noexcept;

private:
    class call_again;
    static bc::transfer_t wire_main(bc::transfer_t t);
    void finish(fiber& f) noexcept;
    [[gnu::cold]] void check_canary(const fiber& f) const noexcept;
    int wait_until(fiber& self, deadline until) noexcept;
    void leave(fiber& self) noexcept;
    context& successor() noexcept;
    [[gnu::cold, gnu::noinline]] context& successor_slowly() noexcept;
    fiber& take_next() noexcept;
    bool service_due() noexcept;
    void trace_switch(const fiber* from) const noexcept;
    void pick() noexcept;

    void run_ready() noexcept;
    bool run_until(deadline end);
    bool rest();
    void get_up() noexcept;
    [[gnu::cold, gnu::noinline]] void on_push_outside(const char* sentence) noexcept;
    void serve();
    void block(deadline limit);
    void poll(deadline until);
    void seal() noexcept;
    void keep(inbox_node* oldest) noexcept;
    void open(inbox_node* oldest);
    void postpone(inbox_node& n) noexcept;
    void start_postponed();
    bool try_start(inbox_node& n);
    [[nodiscard]] bool has_unopened() const noexcept { return unopened_ || postponed_.first; }
    void serve_timers() noexcept;
    void calibrate(std::uint64_t cycles) noexcept;
    [[nodiscard]] bool can_be_woken() const noexcept;
    void show_to_debuggers() noexcept;
    void hide_from_debuggers() noexcept;
    void report_deadlock() const noexcept;
    void report_stragglers() const noexcept;

    fiber_pool& pool_of(std::size_t stack_size);
    fiber& make_fiber(fiber_pool& pool);
    void shed(fiber_pool& pool, std::size_t keep, std::size_t budget) noexcept;
    void trim(fiber_pool& pool) noexcept;
    template <class Fn>
    void for_each_pool(Fn fn);

    struct drop_reference {
        void operator()(shared_state* s) const noexcept { s->drop_reference(); }
    };

    // Touched at every switch, as running_ is.
    int turns_ = 0;  // switches until the cycle counter is read
    ready_queue ready_;
    const std::unique_ptr<shared_state, drop_reference> shared_;
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
    std::size_t live_ = 0;            // wires that have not ended
    inbox_node* unopened_ = nullptr;  // taken from the inbox, not run yet
    struct {
        inbox_node* first = nullptr;
        inbox_node** end = &first;
    } postponed_;             // nodes that start a wire, until there is a stack for it
    bool said_full_ = false;  // the first time
    std::size_t held_ = 0;    // wires that have ended and that a handle still holds
    std::size_t fibers_ = 0;  // those, and idle ones
    int guards_ = 0;
    list<link> calls_;
    bool closing_ = false;
    bool stopped_ = false;
    bool trace_ = false;
    bool embedded_ = false;   // another loop calls run_once()
    bool resting_ = false;    // it sleeps for us: the inbox knows, and the poller
    bool own_clock_ = false;  // the poller's clock is not the steady clock
    std::uint64_t random_;    // 0: FIFO
    std::uint64_t last_id_ = 0;
    std::uint64_t drained_id_ = 0;  // last_id_ when the last drain() ended
    std::thread::id thread_id_{};
    std::int64_t drain_ns_;
    stack_options stack_options_;
    fiber_pool default_pool_;
    std::vector<std::unique_ptr<fiber_pool>> other_pools_;
    list<bounded_pool> bounded_pools_;
};

/// The scheduler that runs on this thread; nullptr outside run().
inline scheduler* current_scheduler() noexcept {
    return static_cast<scheduler*>(current_front);
}

/// What no other thread has: to be compared with shared_state::owner.
inline const void* this_thread() noexcept {
    return &current_front;
}

/// The end of a runtime whose wires have not ended: their callers are told.
void abandon_calls(list<link>& calls) noexcept;

// What a wire in suspend() waits for; resume() knows it by the address.
inline constexpr char in_suspend[] = "resume";

// The hot path, inline for the files of this layer.

inline fiber& scheduler::take_next() noexcept {
    fiber& next = ready_.pop();
    running_ = &next;
    return next;
}

// What the thread is given to: the next wire, or its own flow if none is ready or service is due.
inline context& scheduler::successor() noexcept {
    if (--turns_ <= 0 || shared_->inbox.any() || ready_.empty()) [[unlikely]]
        return successor_slowly();
    return take_next().ctx;
}

// Gives the thread away. `self` lies where it belongs already. Returns when `self` runs again.
inline void scheduler::leave(fiber& self) noexcept {
    context& to = successor();
    if (&to != &self.ctx) switch_to(self.ctx, to, thread_);
}

inline int scheduler::park(const char* what, deadline until) noexcept {
    fiber& self = *running_;
    if (self.scope->cancelled) [[unlikely]]
        return ECANCELED;
    return wait(self, what, until);
}

// A park that neither time nor cancellation ends.
inline void scheduler::park_shielded(const char* what) noexcept {
    fiber& self = *running_;
    self.shielded = true;
    wait(self, what, never);
}

inline int scheduler::suspend(deadline until) noexcept {
    fiber& self = *running_;
    if (self.scope->cancelled) [[unlikely]]
        return ECANCELED;
    if (self.resumed) {
        self.resumed = false;
        return 0;
    }
    return wait(self, in_suspend, until);
}

inline int scheduler::wait(fiber& self, const char* what, deadline until) noexcept {
    self.waits_for = what;
    self.since = now_;
    self.outcome = 0;
    self.state = fiber_state::waiting;
    if (!until.is_never()) return wait_until(self, until);
    leave(self);
    return self.outcome;
}

inline void scheduler::make_ready(fiber& f) noexcept {
    if (this != current_front) [[unlikely]]
        on_push_outside("a wire can be woken on its own thread only: from others use wire::remote");
    WIRE_ASSERT(f.state == fiber_state::waiting, "a wire is woken that does not wait");
    f.state = fiber_state::active;
    f.shielded = false;
    ready_.push(f);
}

/// Ends the park of a wire, if that is not over; otherwise returns false.
inline bool wake(fiber& f) noexcept {
    if (f.state != fiber_state::waiting) return false;
    f.home->make_ready(f);
    return true;
}

/// The scheduler, asserting that a wire of it runs.
inline scheduler& on_wire(const char* sentence) noexcept {
    scheduler* const s = current_scheduler();
    WIRE_ASSERT(s && s->running(), sentence);
    return *s;
}

}  // namespace wire::detail
