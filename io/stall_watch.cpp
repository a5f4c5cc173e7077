// The thread that watches runtimes for wires that hold theirs.
//
// It looks at the pulse of each runtime now and then (stall_evidence.hpp says what that proves),
// and where wires run it puts a probe into the inbox. A wire that gives way lets the runtime open
// the probe, which notes the time and ends the turn. So a turn that has lasted from one look to
// another without opening the probe is one wire's.
//
//     look: new turn ──post the probe──► look: same turn ... for `limit`: ask the thread
//       ▲                                                          │ the answer, or patience ends
//       └── look: another turn: say how long it took ◄──────── say who and where
//
// Sleep. With no wire running anywhere for a while, the thread sleeps until a turn begins: the
// runtimes see that in watcher_does. A turn that begins at that very moment, and does not see it
// yet, is seen by one more look before the thread sleeps; stores take nanoseconds to be visible,
// and looks are half a millisecond apart at least.
#include <wire/stall_watch.hpp>

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <limits>
#include <memory>
#include <mutex>
#include <span>
#include <system_error>
#include <thread>
#include <utility>

#include <wire/diagnostics.hpp>
#include "scheduler.hpp"
#include "signal_stack.hpp"
#include "signals_blocked.hpp"
#include "stall_evidence.hpp"
#include "stall_sample.hpp"

namespace wire::io::detail {
namespace {

using wire::detail::real_sync;
using wire::detail::report;
using wire::detail::steady_ns;
using wire::detail::watcher;
using wire::detail::watcher_does;
using verdict = stall_evidence::verdict;

constexpr int looks_before_sleep = 8;
// A thread that has been asked answers at once, but on a busy machine.
constexpr std::int64_t patience_ns = 1'000'000'000;

double ms(std::int64_t ns) noexcept {
    return static_cast<double>(ns) / 1e6;
}

// The time that a thread has spent on the processor; 0 if it is gone.
std::int64_t processor_time(pid_t thread) noexcept {
    // As the kernel makes the number of a thread's clock: CPUCLOCK_PERTHREAD_MASK, CPUCLOCK_SCHED.
    const auto clock = static_cast<clockid_t>(~static_cast<unsigned>(thread) << 3 | 4 | 2);
    timespec used{};
    if (::clock_gettime(clock, &used) != 0) return 0;
    return used.tv_sec * std::int64_t{1'000'000'000} + used.tv_nsec;
}

// What is put into the inbox of a runtime; opened, dropped and disowned on its thread.
struct probe : wire::detail::inbox_node {
    probe() noexcept : inbox_node(&open) {}

    static void open(inbox_node& node, wire::detail::scheduler*) {
        auto& p = static_cast<probe&>(node);
        if (p.disowned) {
            delete &p;
            return;
        }
        p.opened_at.store(steady_ns(), std::memory_order_relaxed);
        // [Y] release: when it was, and the node may be posted again. Pairs with [Y'].
        p.posted.store(false, std::memory_order_release);
    }

    std::atomic<bool> posted{false};
    std::atomic<std::int64_t> opened_at{0};
    bool disowned = false;  // the owner's
};

}  // namespace

struct watched_runtime : stall_sample, wire::detail::link {
    watched_runtime(wire::detail::shared_state& s, std::int64_t l) : state(s), limit(l) {
        state.add_reference();
    }
    ~watched_runtime() {
        // [Y'] acquire: what open() has written. Pairs with [Y].
        if (sent_->posted.load(std::memory_order_acquire))
            sent_.release()->disowned = true;  // it ends when it is opened
        state.drop_reference();
    }

    bool look(std::int64_t now, std::int64_t period) noexcept;
    /// The last look: what has been said to begin has ended.
    void finish() noexcept;

    wire::detail::shared_state& state;
    const std::int64_t limit;
    const pid_t thread = ::gettid();

private:
    void send_probe() noexcept;
    void hold(std::int64_t now) noexcept;
    void say_begin(std::int64_t now, const wire_at* who) noexcept;
    void say_end(std::int64_t now) noexcept;

    enum class phase : std::uint8_t { watches, asked, said };

    std::unique_ptr<probe> sent_ = std::make_unique<probe>();
    stall_evidence evidence_;
    std::int64_t last_look_ = steady_ns();
    std::int64_t asked_at_ = 0;
    std::int64_t used_before_ = 0;  // of the processor, when the turn was seen first
    phase phase_ = phase::watches;
};

// Returns whether the runtime has been idle.
bool watched_runtime::look(std::int64_t now, std::int64_t period) noexcept {
    evidence_.skip(now - last_look_, period);
    last_look_ = now;
    const std::uint64_t beats = state.pulse.beats.load(std::memory_order_relaxed);
    if (beats != evidence_.beats()) say_end(now);
    const verdict found = evidence_.look(beats, now);
    if (found == verdict::same) hold(now);
    if (found == verdict::turn) send_probe();
    return found == verdict::idle;
}

void watched_runtime::finish() noexcept {
    say_end(steady_ns());
}

void watched_runtime::send_probe() noexcept {
    used_before_ = processor_time(thread);
    // [Y'] acquire: see [Y]. Pairs with [Y].
    if (sent_->posted.load(std::memory_order_acquire)) return;
    sent_->posted.store(true, std::memory_order_relaxed);
    // Refused: the runtime has ended.
    if (!state.post(*sent_)) sent_->posted.store(false, std::memory_order_relaxed);
}

// The turn lasts on.
void watched_runtime::hold(std::int64_t now) noexcept {
    if (phase_ == phase::watches && evidence_.held(now) >= limit) {
        if (!ask(thread, evidence_.beats())) return say_begin(now, nullptr);
        phase_ = phase::asked;
        asked_at_ = now;
    } else if (phase_ == phase::asked) {
        const wire_at* const who = answer();
        if (who || now - asked_at_ >= patience_ns) say_begin(now, who);
    }
}

// `who` is null if the thread has not answered.
void watched_runtime::say_begin(std::int64_t now, const wire_at* who) noexcept {
    phase_ = phase::said;
    const double held = ms(evidence_.held(now));
    const double used = ms(processor_time(thread) - used_before_);
    if (!who) {
        report(diagnostic::stall,
               "a wire has held thread %d for %.1f ms, %.1f ms of them on the processor; which and "
               "where is not known: the thread did not take SIGURG (it blocks that, hangs in the "
               "kernel, or switched just then)",
               static_cast<int>(thread), held, used);
        return;
    }
    report(diagnostic::stall,
           "wire %llu \"%s\" has held thread %d for %.1f ms, %.1f ms of them on the processor:",
           static_cast<unsigned long long>(who->id), who->name.data(), static_cast<int>(thread),
           held, used);
    report_frames(std::span(who->frames).first(static_cast<std::size_t>(who->count)));
}

// The turn that was looked at last has ended, or does so now.
void watched_runtime::say_end(std::int64_t now) noexcept {
    if (phase_ == phase::asked) say_begin(asked_at_, answer());  // it was quick to give way then
    if (std::exchange(phase_, phase::watches) != phase::said) return;
    std::int64_t held = evidence_.held(now);
    // [Y'] acquire: see [Y]. Pairs with [Y].
    if (!sent_->posted.load(std::memory_order_acquire)) {
        const std::int64_t since = now - held;
        held = std::max(sent_->opened_at.load(std::memory_order_relaxed) - since, limit);
    }
    // It may have answered by now if it had not.
    if (const wire_at* const who = answer())
        report(diagnostic::stall, "wire %llu \"%s\" gave thread %d back after %.1f ms",
               static_cast<unsigned long long>(who->id), who->name.data(), static_cast<int>(thread),
               ms(held));
    else
        report(diagnostic::stall, "a wire gave thread %d back after %.1f ms",
               static_cast<int>(thread), ms(held));
}

namespace {

class watching_thread : wire::detail::immovable {
public:
    static watching_thread& of_process() {
        // For ever: exit() may find it at work, and a forked child has only a copy.
        static watching_thread* one = nullptr;
        static wire::detail::generation made_in = 0;
        static constinit std::mutex lock;
        const std::lock_guard guard(lock);
        if (std::exchange(made_in, wire::detail::this_generation) != wire::detail::this_generation)
            one = new watching_thread;
        return *one;
    }

    void add(watched_runtime& w) {
        const std::lock_guard one_at_a_time(life_);
        if (!thread_.joinable()) start();
        {
            const std::lock_guard lock(mutex_);
            all_.push_back(w);
        }
        wire::detail::call_watcher();
    }

    void remove(watched_runtime& w) noexcept {
        const std::lock_guard one_at_a_time(life_);
        {
            const std::lock_guard lock(mutex_);
            w.finish();
            w.unlink();
            if (!all_.empty()) return;
            stopping_ = true;
        }
        wire::detail::call_watcher();
        thread_.join();
        remove_stall_handler();
    }

private:
    void start() {
        install_stall_handler();
        stopping_ = false;
        const signals_blocked for_the_new_thread;
        try {
            thread_ = std::thread([this] { watch(); });
        } catch (...) {
            remove_stall_handler();
            throw;
        }
    }

    void watch() noexcept {
        ::pthread_setname_np(::pthread_self(), "wire stalls");
        std::unique_lock lock(mutex_);
        for (int quiet = 0; !stopping_;) {
            const std::int64_t now = steady_ns();
            const std::int64_t period = shortest() / 2;
            quiet = look_at_all(now, period) ? quiet + 1 : 0;
            lock.unlock();
            if (rest(quiet, deadline::at_ns(now + period))) quiet = 0;
            lock.lock();
        }
    }

    bool look_at_all(std::int64_t now, std::int64_t period) noexcept {
        bool idle = true;
        for (watched_runtime* w = nullptr; (w = all_.next(w));)
            if (!w->look(now, period)) idle = false;
        return idle;
    }

    std::int64_t shortest() noexcept {
        std::int64_t least = std::numeric_limits<std::int64_t>::max();
        for (watched_runtime* w = nullptr; (w = all_.next(w));) least = std::min(least, w->limit);
        return least;
    }

    // Waits until `next`, or for ever if all has been idle for long. Returns whether it was called.
    static bool rest(int quiet, deadline next) noexcept {
        const watcher does = quiet < looks_before_sleep ? watcher::looks : watcher::sleeps;
        const auto word = static_cast<std::uint32_t>(does);
        auto called = static_cast<std::uint32_t>(watcher::called);
        std::uint32_t before = watcher_does.load(std::memory_order_relaxed);
        if (before != called)
            watcher_does.compare_exchange_strong(before, word, std::memory_order_relaxed);
        real_sync::futex_wait(watcher_does, word, quiet > looks_before_sleep ? never : next);
        return watcher_does.compare_exchange_strong(
            called, static_cast<std::uint32_t>(watcher::looks), std::memory_order_relaxed);
    }

    std::mutex life_;   // of the thread: held while it starts and ends
    std::mutex mutex_;  // guards what follows
    wire::detail::list<watched_runtime> all_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace
}  // namespace wire::io::detail

namespace wire::io {

stall_watch::stall_watch(runtime& rt, std::chrono::nanoseconds limit) {
    WIRE_ASSERT(limit >= std::chrono::milliseconds(1),
                "a stall_watch with a limit below a millisecond");
    wire::detail::scheduler& s = rt.internals();
    s.bind();
    wire::detail::pulse& pulse = s.shared().pulse;
    WIRE_ASSERT(!pulse.watched, "a runtime has two stall_watch objects");
    if (!wire::detail::use_signal_stack())
        throw std::system_error(errno, std::system_category(), "sigaltstack failed for SIGURG");
    auto watched = std::make_unique<detail::watched_runtime>(s.shared(), limit.count());
    detail::watching_thread::of_process().add(*watched);
    watched_ = watched.release();
    pulse.watched = static_cast<detail::stall_sample*>(watched_);
}

stall_watch::~stall_watch() {
    WIRE_ASSERT(watched_->state.is_of_this_process(), wire::detail::of_the_parent);
    watched_->state.pulse.watched = nullptr;
    detail::watching_thread::of_process().remove(*watched_);
    delete watched_;
}

}  // namespace wire::io
