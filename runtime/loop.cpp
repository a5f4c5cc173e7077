// The scheduler's own flow: serving, sleeping, ending.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>

#include <wire/diagnostics.hpp>
#include <wire/fault_report.hpp>
#include "cycles.hpp"
#include "scheduler.hpp"

namespace wire::detail {
namespace {

constexpr std::int64_t slice_ns = 20'000;
constexpr std::int64_t calibration_ns = 1'000'000;
constexpr std::int64_t standstill_ns = 200'000'000;
constexpr std::size_t trims_per_sleep = 64;

bool find_running_wire(fault_subject& subject) noexcept {
    const scheduler* const s = current_scheduler();
    if (!s || !s->running()) return false;
    const fiber& f = *s->running();
    subject = {f.shown_name(), f.memory.base, f.memory.top, f.pool->stacks.guard()};
    return true;
}

constexpr const char* still_embedded =
    "an io::pollable outlives the reactor of its runtime: destroy it before";

// While a runtime's loop is on the stack, it is the current one of its thread.
class current_guard : immovable {
public:
    explicit current_guard(scheduler& s) noexcept {
        WIRE_ASSERT(!current_front,
                    "run() while a runtime runs on this thread: a thread has one at a time");
        current_front = &s;
    }
    ~current_guard() { current_front = nullptr; }
};

// Ends a loop after so much real time if the poller has a clock of its own: that may stand still
// while wires run, and the loop's limit with it.
class standstill {
public:
    standstill(const poller& p, std::int64_t longest_ns) noexcept
        : possible_(p.has_clock()), longest_(longest_ns) {}
    [[nodiscard]] bool reached() const noexcept {
        return possible_ && std::chrono::steady_clock::now() - begin_ > longest_;
    }

private:
    const bool possible_;
    const std::chrono::nanoseconds longest_;
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

scheduler::~scheduler() {
    hide_from_debuggers();
    inbox_node* const late = shared_->inbox.is_closed() ? nullptr : shared_->inbox.close();
    for (inbox_node* rest : {postponed_.first, unopened_, late}) {
        while (rest) {
            inbox_node& n = *std::exchange(rest, rest->next);
            n.run(n, nullptr);
        }
    }
    abandon_calls(calls_);
    if (live_ > 0) for_each_pool([](fiber_pool& pool) { pool.stacks.keep(); });
    shared_->inbox.settle();
#if WIRE_TSAN
    shed(default_pool_, 0, fibers_);
    for (auto& pool : other_pools_) shed(*pool, 0, fibers_);
#endif
    WIRE_ASSERT(bounded_pools_.empty() || live_ > 0, "a wire_pool outlives its runtime");
    WIRE_ASSERT(held_ == 0, "a handle outlives its runtime: join, detach or destroy it before");
}

bool scheduler::on_own_thread() const noexcept {
    return thread_id_ == std::thread::id{} || thread_id_ == std::this_thread::get_id();
}

void scheduler::bind() {
    WIRE_ASSERT(shared_->is_of_this_process(), of_the_parent);
    WIRE_ASSERT(on_own_thread(), "a runtime belongs to the thread of its first run()");
    if (thread_id_ == std::thread::id{}) {
        thread_id_ = std::this_thread::get_id();
        shared_->owner.store(this_thread(), std::memory_order_relaxed);
        shared_->bound_in.store(this_generation, std::memory_order_relaxed);
        thread_ = find_thread_globals();
        adopt_thread(main_);
        set_fault_subject(&find_running_wire);
    }
    if (bound_poller_ == poller_) return;
    poller_->bind();
    bound_poller_ = poller_;
}

void scheduler::attach(poller* p) noexcept {
    WIRE_ASSERT(on_own_thread(), "a poller is attached on the runtime's own thread");
    WIRE_ASSERT(!embedded_, still_embedded);
    shared_->inbox.settle();  // nobody is inside the old one's notify()
    poller_ = p ? p : &futex_;
    own_clock_ = poller_->has_clock();
    shared_->sleeps_in = poller_;
}

result<void> scheduler::run() {
    WIRE_ASSERT(!embedded_, "run() beside an io::pollable: the other loop calls run_once()");
    bind();
    const current_guard guard(*this);
    now_ = now();
    for (;;) {
        stopped_ = shared_->take_stop();
        if (stopped_) return {};
        if (!ready_.empty()) {
            run_ready();
            if (!ready_.empty()) serve();
            continue;
        }
        const bool news = shared_->inbox.any();
        if (news || has_unopened()) open(shared_->inbox.take_all());
        if (news || !ready_.empty()) continue;
        if (live_ == 0 && guards_ == 0) return {};
        if (!can_be_woken()) {
            report_deadlock();
            return failure{EDEADLK};
        }
        block(never);
    }
}

// Unless the runtime rests when this ends, or throws, the other loop is to call again.
class scheduler::call_again : immovable {
public:
    explicit call_again(scheduler& s) noexcept : scheduler_(s) {}
    ~call_again() {
        if (scheduler_.embedded_ && !scheduler_.resting_) scheduler_.poller_->notify();
    }

private:
    scheduler& scheduler_;
};

bool scheduler::run_once(std::chrono::nanoseconds budget) {
    bind();
    const current_guard guard(*this);
    const call_again unless_resting(*this);
    get_up();
    serve();
    const deadline end = after_ns(budget.count());
    bool in_time = true;
    do {
        in_time = run_until(end);
        // One who looks once more before the rest mostly finds more, under load.
    } while (embedded_ && ready_.empty() && !rest() && in_time && now_ < end.ns());
    if (served_at_ == 0 && !resting_) serve();  // serve_soon(); a rest has seen to it
    return embedded_ ? !resting_ : !ready_.empty() || shared_->inbox.any();
}

// Runs ready wires until none is left, or a stop, or `end`: false then.
bool scheduler::run_until(deadline end) {
    const standstill real_end(*poller_, standstill_ns);
    while (!ready_.empty() && !shared_->take_stop()) {
        run_ready();
        if (ready_.empty() && has_unopened()) open(nullptr);
        if (now() >= end.ns() || real_end.reached()) return false;
        if (!ready_.empty()) serve();
    }
    return true;
}

void scheduler::keep(inbox_node* oldest) noexcept {
    inbox_node** end = &unopened_;
    while (*end) end = &(*end)->next;
    *end = oldest;
}

// Opens what other threads have sent, oldest first. If there is no stack for a wire, it and those
// after it are postponed until another has ended. What is no new wire passes them: those that live
// may wait for it.
void scheduler::open(inbox_node* oldest) {
    keep(oldest);
    start_postponed();
    while (unopened_) {
        inbox_node& n = *unopened_;
        inbox_node* const next = n.next;  // the node may be pushed again, or freed, by its run()
        if (!n.starts_wire)
            n.run(n, this);
        else if (postponed_.first || !try_start(n))
            postpone(n);
        unopened_ = next;
    }
}

void scheduler::postpone(inbox_node& n) noexcept {
    n.next = nullptr;
    *postponed_.end = &n;
    postponed_.end = &n.next;
}

void scheduler::start_postponed() {
    while (inbox_node* const n = postponed_.first) {
        inbox_node* const next = n->next;
        if (!try_start(*n)) return;
        postponed_.first = next;
    }
    postponed_.end = &postponed_.first;
}

// Returns false if there is no stack for its wire, but wires that may end; throws if there is none.
bool scheduler::try_start(inbox_node& n) try {
    n.run(n, this);
    return true;
} catch (const std::exception& e) {
    if (live_ == 0) throw;
    if (!std::exchange(said_full_, true))
        report(diagnostic::back_off, "a wire that was sent waits until another has ended: %s",
               e.what());
    return false;
}

void scheduler::serve() {
    open(shared_->inbox.take_all());
    // What makes another loop call is taken back by a poll.
    if (poller_->armed() || embedded_) poll(deadline::at_ns(0));
    serve_timers();
}

// Now the kernel may write to buffers, and must not to those of wires that have ended.
void scheduler::seal() noexcept {
    if constexpr (WIRE_SEAL_STACKS) for_each_pool([](fiber_pool& pool) { pool.seal_idle(); });
}

void scheduler::poll(deadline until) {
    seal();
    poller_->poll(until);
}

template <class Fn>
void scheduler::for_each_pool(Fn fn) {
    fn(default_pool_);
    for (auto& pool : other_pools_) fn(*pool);
    for (bounded_pool* p = nullptr; (p = bounded_pools_.next(p));) fn(*p);
}

void scheduler::serve_timers() noexcept {
    now_ = now();
    timers_.expire(now_);
    served_at_ = cycles();
    if (!own_clock_) calibrate(served_at_);
}

// How many cycles a slice has: learned from the first stretch of a millisecond.
void scheduler::calibrate(std::uint64_t at) noexcept {
    if (calibrated_ns_ == 0) {
        calibrated_ns_ = now_;
        calibrated_cycles_ = at;
    } else if (calibrated_ns_ > 0 && now_ - calibrated_ns_ > calibration_ns) {
        slice_ = (at - calibrated_cycles_) * static_cast<std::uint64_t>(slice_ns) /
                 static_cast<std::uint64_t>(now_ - calibrated_ns_);
        calibrated_ns_ = -1;
    }
}

void scheduler::trim(fiber_pool& pool) noexcept {
    shed(pool, pool.keeps, trims_per_sleep);
    pool.stacks.trim(trims_per_sleep);
}

// Sleeps in the poller until a timer, an event, another thread's message or `limit`.
void scheduler::block(deadline limit) {
    for_each_pool([this](fiber_pool& pool) { trim(pool); });
    const deadline until = std::min(limit, deadline::at_ns(timers_.next_due()));
    if (!shared_->inbox.try_sleep()) return;
    try {
        poll(until);
    } catch (...) {
        keep(shared_->inbox.wake_up());
        throw;
    }
    open(shared_->inbox.wake_up());
    serve_timers();
}

void scheduler::embed(bool on) noexcept {
    embedded_ = on;
    get_up();
    if (on) poller_->notify();  // for what is ready
}

// As block(), but the sleep is another loop's. Returns false if there is something to do, and has
// served it.
bool scheduler::rest() {
    for_each_pool([this](fiber_pool& pool) { trim(pool); });
    seal();
    resting_ = poller_->rest(deadline::at_ns(timers_.next_due())) && ready_.empty() &&
               shared_->inbox.try_sleep();
    if (!resting_) serve();
    return resting_;
}

// The rest is over. What has come meanwhile is opened by the next service.
void scheduler::get_up() noexcept {
    if (std::exchange(resting_, false)) keep(shared_->inbox.wake_up());
}

// A wire becomes ready while the runtime does not run: the other loop is to call. Not that of a
// forked child's parent: a wire that waits for a descriptor is woken where the child closes it.
void scheduler::on_push_outside(const char* sentence) noexcept {
    WIRE_ASSERT(on_own_thread(), sentence);
    if (resting_ && shared_->is_of_this_process()) shared_->nudge();
}

bool scheduler::can_be_woken() const noexcept {
    return timers_.armed() > 0 || guards_ > 0 || poller_->armed() ||
           // [R] acquire: what the last remote has left in the inbox is seen. Pairs with [R'].
           shared_->remotes.load(std::memory_order_acquire) > 0 || shared_->inbox.any();
}

void scheduler::cancel_all() noexcept {
    shared_->wires.for_each([](fiber& f) {
        if (f.state != fiber_state::finished) f.root.cancel();
    });
}

// Cancels all wires and runs them until they have ended, those too that others send meanwhile.
// Returns whether none is left: no straggler, and none that could not be started.
bool scheduler::drain() noexcept {
    WIRE_ASSERT(!embedded_, still_embedded);
    WIRE_ASSERT(shared_->is_of_this_process(), of_the_parent);
    // Stragglers are waited for and named once: a reactor ends before its runtime.
    const bool is_over = live_ > 0 ? drained_id_ == last_id_ : !has_unopened();
    if (is_over && !shared_->inbox.any()) return live_ == 0;
    closing_ = true;
    try {
        bind();
        const current_guard guard(*this);
        cancel_all();
        const deadline limit = after_ns(drain_ns_);
        const standstill real_limit(*poller_, std::max(drain_ns_, standstill_ns));
        do {
            if (!ready_.empty()) run_ready();
            serve();
            if (ready_.empty() && live_ > 0) {
                if (!can_be_woken()) break;
                block(limit);
            }
        } while ((live_ > 0 || has_unopened()) && now_ < limit.ns() && !real_limit.reached());
    } catch (const std::exception& e) {
        report(diagnostic::straggler, "the end of a runtime was cut short: %s", e.what());
    }
    if (live_ > 0) report_stragglers();
    drained_id_ = last_id_;
    closing_ = false;
    return live_ == 0 && !has_unopened();
}

// The end of the runtime. What others have sent is run, whenever it came: the inbox closes only
// while it is empty, so there is no moment in which something is accepted and then dropped.
void scheduler::end() noexcept {
    const auto begin = std::chrono::steady_clock::now();
    while (drain() && !shared_->inbox.try_close())
        if ((std::chrono::steady_clock::now() - begin).count() > drain_ns_) break;
}

void scheduler::report_deadlock() const noexcept {
    report(diagnostic::deadlock,
           "deadlock: %zu wires wait and no timer, fd, remote or guard can wake them", live_);
    shared_->wires.for_each([this](const fiber& f) {
        if (f.state != fiber_state::waiting) return;
        report(diagnostic::deadlock, "  wire %llu \"%s\" waits for %s for %.3f ms",
               static_cast<unsigned long long>(f.id), f.shown_name(), f.waits_for,
               static_cast<double>(now() - f.since) / 1e6);
    });
}

void scheduler::report_stragglers() const noexcept {
    shared_->wires.for_each([](const fiber& f) {
        if (f.state == fiber_state::finished) return;
        report(diagnostic::straggler,
               "wire %llu \"%s\" did not end when its runtime did and is abandoned; it %s%s",
               static_cast<unsigned long long>(f.id), f.shown_name(),
               f.state == fiber_state::waiting ? "waits for " : "keeps running",
               f.state == fiber_state::waiting ? f.waits_for : "");
    });
}

}  // namespace wire::detail
