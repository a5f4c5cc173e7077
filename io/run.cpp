#include <wire/run.hpp>

#include <algorithm>
#include <atomic>
#include <exception>
#include <latch>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <vector>

#include <wire/diagnostics.hpp>
#include <wire/dump_on_quit.hpp>
#include <wire/fault_report.hpp>
#include <wire/stall_watch.hpp>
#include "scheduler.hpp"

namespace wire::detail {
namespace {

// The runtimes of one wire::run: what ends one of them ends all.
class crew {
public:
    void enter(shared_state& member) {
        const std::lock_guard guard(mutex_);
        members_.push_back(&member);
    }
    void leave(shared_state& member) noexcept {
        const std::lock_guard guard(mutex_);
        std::erase(members_, &member);
    }
    void cancel() noexcept {
        const std::lock_guard guard(mutex_);
        for (shared_state* const m : members_) m->nudge(request::cancel);
    }
    void stop() noexcept {
        const std::lock_guard guard(mutex_);
        for (shared_state* const m : members_) m->ask_to_stop();
    }

private:
    std::mutex mutex_;
    std::vector<shared_state*> members_;
};

// A runtime's part in it. What is shared outlives the runtime, so that no stop is overheard that
// somebody was told has been accepted.
class membership : wire::detail::immovable {
public:
    membership(crew& c, runtime& rt) : crew_(c), state_(rt.internals().shared()) {
        crew_.enter(state_);
        state_.add_reference();
    }
    // After the runtime's end.
    ~membership() {
        crew_.leave(state_);
        if (state_.take_stop()) crew_.stop();
        state_.drop_reference();
    }

private:
    crew& crew_;
    shared_state& state_;
};

// Where the threads of one wire::run meet before any of them calls `fn`: all do, or none.
class start_line {
public:
    explicit start_line(unsigned threads) : everybody_(threads) {}
    /// Waits for the other threads. Returns whether all are ready.
    bool cross() noexcept {
        everybody_.arrive_and_wait();
        return !failed_.load(std::memory_order_relaxed);
    }
    /// `threads` of them will not cross.
    void give_up(unsigned threads) noexcept {
        // relaxed: the latch orders it.
        failed_.store(true, std::memory_order_relaxed);
        everybody_.count_down(threads);
    }

private:
    std::latch everybody_;
    std::atomic<bool> failed_{false};
};

// What all threads of one wire::run have in common.
struct job {
    int (*call)(void*);
    void* fn;
    const run_options& options;
    start_line start{options.threads};
    crew together{};
};

int main_wire(job& j) {
    try {
        return j.call(j.fn);
    } catch (const std::exception& e) {
        report(diagnostic::failure, "an exception left main: %s", e.what());
    } catch (...) {
        report(diagnostic::failure, "an exception that is no std::exception left main");
    }
    j.together.cancel();
    return 1;
}

// Runs a runtime that has all it needs. Returns whether it did not fail. `code` is main's, who may
// set it only while the runtime ends.
bool run_wires(runtime& rt, job& j, int& code) {
    rt.go({.name = "main"}, [&] { code = main_wire(j); });
    const bool ok = rt.run().has_value();
    if (!ok) j.together.cancel();
    if (rt.internals().was_stopped()) j.together.stop();
    return ok;
}

int run_one(job& j) noexcept {
    if (j.options.fault_report && !install_fault_report())
        report(diagnostic::fallback, "sigaction or sigaltstack failed: faults are not reported");
    bool started = false;
    bool ok = false;
    int code = 1;
    try {
        std::optional<membership> member;
        runtime rt(j.options.runtime);
        std::optional<io::dump_on_quit> dumps;
        if (j.options.dump_on_quit) dumps.emplace(rt);
        std::optional<io::stall_watch> stalls;
        const io::reactor reactor(rt, j.options.reactor);
        member.emplace(j.together, rt);
        rt.run_once(std::chrono::nanoseconds(0));  // makes its kernel objects, or throws
        if (j.options.stall > std::chrono::nanoseconds(0)) stalls.emplace(rt, j.options.stall);
        started = true;
        if (!j.start.cross()) return 1;
        ok = run_wires(rt, j, code);
    } catch (const std::exception& e) {
        report(diagnostic::failure, "%s", e.what());
        if (!started) j.start.give_up(1);
        j.together.cancel();
    }
    return ok ? code : 1;
}

}  // namespace

int run_main(int (*call)(void*), void* fn, const run_options& options) noexcept try {
    WIRE_ASSERT(options.threads >= 1, "wire::run needs a thread to run on");
    WIRE_ASSERT(options.threads == 1 || options.runtime.stack.memory.empty(),
                "several threads cannot have their stacks in one memory: make a runtime for each");
    job j{call, fn, options};
    std::vector<int> codes(options.threads);  // the calling thread's first
    const auto run_as = [&](unsigned i) { codes[i] = run_one(j); };
    {
        std::vector<std::jthread> others;
        try {
            others.reserve(options.threads - 1);
            for (unsigned i = 1; i < options.threads; ++i) others.emplace_back(run_as, i);
        } catch (const std::exception& e) {
            const auto missing = options.threads - 1 - static_cast<unsigned>(others.size());
            report(diagnostic::failure, "only %zu of %u threads could be started: %s",
                   others.size() + 1, options.threads, e.what());
            j.start.give_up(missing);
        }
        run_as(0);
    }
    const auto failed = std::ranges::find_if(codes, [](int code) { return code != 0; });
    return failed == codes.end() ? 0 : *failed;
} catch (const std::bad_alloc& e) {
    report(diagnostic::failure, "%s", e.what());
    return 1;
}

}  // namespace wire::detail
