#include <wire/run.hpp>

#include <algorithm>
#include <atomic>
#include <exception>
#include <latch>
#include <new>
#include <thread>
#include <vector>

#include <wire/diagnostics.hpp>
#include <wire/fault_report.hpp>

namespace wire::detail {
namespace {

int main_wire(runtime& rt, int (*call)(void*), void* fn) {
    try {
        return call(fn);
    } catch (const std::exception& e) {
        report(diagnostic::failure, "an exception left main: %s", e.what());
    } catch (...) {
        report(diagnostic::failure, "an exception that is no std::exception left main");
    }
    rt.cancel_all();
    return 1;
}

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

int run_one(int (*call)(void*), void* fn, const run_options& options, start_line& start) noexcept {
    if (options.fault_report && !install_fault_report())
        report(diagnostic::fallback, "sigaction or sigaltstack failed: faults are not reported");
    bool started = false;
    try {
        runtime rt(options.runtime);
        const io::reactor reactor(rt);
        rt.run_once(std::chrono::nanoseconds(0));  // makes its kernel objects, or throws
        started = true;
        if (!start.cross()) return 1;
        int code = 1;
        rt.go({.name = "main"}, [&] { code = main_wire(rt, call, fn); });
        return rt.run() ? code : 1;
    } catch (const std::exception& e) {
        report(diagnostic::failure, "%s", e.what());
        if (!started) start.give_up(1);
        return 1;
    }
}

}  // namespace

int run_main(int (*call)(void*), void* fn, const run_options& options) noexcept try {
    WIRE_ASSERT(options.threads >= 1, "wire::run needs a thread to run on");
    start_line start(options.threads);
    std::vector<int> codes(options.threads);  // the calling thread's first
    const auto run_as = [&](unsigned i) { codes[i] = run_one(call, fn, options, start); };
    {
        std::vector<std::jthread> others;
        try {
            others.reserve(options.threads - 1);
            for (unsigned i = 1; i < options.threads; ++i) others.emplace_back(run_as, i);
        } catch (const std::exception& e) {
            const auto missing = options.threads - 1 - static_cast<unsigned>(others.size());
            report(diagnostic::failure, "only %zu of %u threads could be started: %s",
                   others.size() + 1, options.threads, e.what());
            start.give_up(missing);
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
