#include "helpers.hpp"

#include <system_error>

#include <wire/assert.hpp>
#include <wire/diagnostics.hpp>
#include <wire/offload.hpp>
#include "backend.hpp"
#include "scheduler.hpp"
#include "signals_blocked.hpp"
#include "syscalls.hpp"

namespace wire::io::detail {
namespace {

using wire::detail::real_sync;

void come_back(wire::detail::inbox_node& node, wire::detail::scheduler* on) {
    job& j = static_cast<job&>(node);
    if (j.abandoned) return j.drop(j);
    if (on) j.end();
}

}  // namespace

job::job(void (*f)(void*), void* with, void (*d)(job&)) noexcept
    : inbox_node(&come_back), call(f), context(with), drop(d) {}

void job::end() noexcept {
    over = true;
    wire::detail::wake(sleeper);
}

helpers::helpers(wire::detail::shared_state& home, unsigned most, std::chrono::nanoseconds idle)
    : home_(home), most_(most), idle_ns_(idle.count()), all_(std::make_unique<helper[]>(most)) {
    WIRE_ASSERT(most >= 1, "a reactor needs at least one helper thread: see reactor_options");
}

helpers::~helpers() {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    for (unsigned i = 0; i < most_; ++i) {
        all_[i].called.store(1, std::memory_order_relaxed);
        real_sync::futex_wake(all_[i].called, 1);
    }
    lock.unlock();
    for (unsigned i = 0; i < most_; ++i)
        if (all_[i].started) ::pthread_join(all_[i].thread, nullptr);
    while (!queue_.empty()) {
        job& j = queue_.front();
        take(j);
        j.refused = true;
        j.end();
    }
}

// ---- the runtime's thread

int helpers::submit(job& j) noexcept {
    std::unique_lock lock(mutex_);
    queue_.push_back(j);
    // relaxed: one that is missed is one woken in vain; it goes down under the mutex only.
    if (++queued_ <= returning_.load(std::memory_order_relaxed)) return 0;
    if (!idle_.empty()) {
        helper& h = idle_.front();
        h.unlink();
        // relaxed: the mutex orders it.
        h.called.store(1, std::memory_order_relaxed);
        lock.unlock();
        real_sync::futex_wake(h.called, 1);
        return 0;
    }
    if (alive_ == most_) return 0;
    const int error = start_helper();
    return error ? go_on_without(j, error) : 0;
}

bool helpers::withdraw(job& j) noexcept {
    const std::lock_guard lock(mutex_);
    if (!j.linked()) return false;
    take(j);
    return true;
}

// Off the queue, with the mutex held.
void helpers::take(job& j) noexcept {
    j.unlink();
    --queued_;
}

// With the mutex held, as the helpers that run can wait for this one.
int helpers::start_helper() noexcept {
    helper* h = all_.get();
    while (h->started && !h->ended) ++h;
    if (h->started) ::pthread_join(h->thread, nullptr);
    h->pool = this;
    h->ended = false;
    const signals_blocked for_the_new_thread;
    const auto n = invoke("pthread_create", [&] {
        errno = ::pthread_create(&h->thread, nullptr, &thread_main, h);
        return errno ? -1 : 0;
    });
    h->started = n == 0;
    if (h->started) ++alive_;
    return static_cast<int>(-n);
}

// Somebody else will serve the job, if there is anybody.
[[gnu::cold]] int helpers::go_on_without(job& j, int error) noexcept {
    if (!complained_)
        wire::detail::report(diagnostic::fallback,
                             "offload goes on with %u of %u helper threads: pthread_create: %s "
                             "(raise ulimit -u)",
                             alive_, most_, std::system_category().message(error).c_str());
    complained_ = true;
    if (alive_ > 0) return 0;
    take(j);
    return ENOMEM;
}

// ---- the helpers

void* helpers::thread_main(void* h) noexcept {
    ::pthread_setname_np(::pthread_self(), "wire helper");
    helper& me = *static_cast<helper*>(h);
    me.pool->serve(me);
    return nullptr;
}

void helpers::serve(helper& me) noexcept {
    std::unique_lock lock(mutex_);
    do {
        while (!stopping_ && !queue_.empty()) {
            job& j = queue_.front();
            take(j);
            lock.unlock();
            make(j);
            lock.lock();
            // relaxed: as where it is read.
            returning_.fetch_sub(1, std::memory_order_relaxed);
        }
    } while (!stopping_ && rest(me, lock));
    me.ended = true;
    --alive_;
}

// The wire may go on, and its frame be gone, as soon as the job is posted.
void helpers::make(job& j) noexcept {
    std::exception_ptr thrown;
    try {
        j.call(j.context);
    } catch (...) {
        thrown = std::current_exception();
    }
    // Not in the handler, which would still have a part in the exception after the post.
    j.thrown = std::move(thrown);
    // relaxed: as where it is read.
    returning_.fetch_add(1, std::memory_order_relaxed);
    static_cast<void>(home_.post(j));  // true: the runtime outlives its reactor
}

// Waits to be called; false if nobody did for long.
bool helpers::rest(helper& me, std::unique_lock<std::mutex>& lock) noexcept {
    idle_.push_front(me);
    // relaxed: the mutex orders it.
    me.called.store(0, std::memory_order_relaxed);
    lock.unlock();
    const deadline end = wire::detail::after_ns(idle_ns_);
    // relaxed: it only tells when to look.
    while (me.called.load(std::memory_order_relaxed) == 0 && wire::detail::now_ns() < end.ns())
        real_sync::futex_wait(me.called, 0, end);
    lock.lock();
    if (!me.linked()) return true;
    me.unlink();
    return !queue_.empty();
}

// ---- the wire

namespace {

// Waits for the end of a job, or takes it back. Returns as run_job().
int await(job& j, backend& home, deadline until) noexcept {
    const int gave_up = wire::detail::park("a helper thread", until);
    if (gave_up && !j.over) {
        // If the reactor has ended meanwhile all its jobs are over, or in the inbox.
        if (backend::current(&home) == &home && home.helping->withdraw(j)) return gave_up;
        j.abandoned = j.drop != nullptr;
        if (j.abandoned) return gave_up;
    }
    while (!j.over) wire::detail::current_scheduler()->park_shielded("a helper thread");
    return j.refused ? ECANCELED : 0;
}

int start_and_await(job& j, deadline until) noexcept {
    if (const int error = wire::detail::check_cancelled()) return error;
    backend* const home = backend::current();
    if (!home) return ECANCELED;
    if (const int error = home->helping->submit(j)) return error;
    // While it is under way, wires that wait are no deadlock.
    wire::detail::scheduler& here = *wire::detail::current_scheduler();
    here.hold(1);
    const int error = await(j, *home, until);
    here.hold(-1);
    return error;
}

}  // namespace

int run_job(job& j, deadline until) noexcept {
    const int error = start_and_await(j, until);
    if (error && j.drop && !j.abandoned) j.drop(j);
    return error;
}

int run_on_helper(deadline until, void (*call)(void*), void* context) {
    job j(call, context);
    const int error = run_job(j, until);
    if (j.thrown) std::rethrow_exception(std::move(j.thrown));
    return error;
}

}  // namespace wire::io::detail
