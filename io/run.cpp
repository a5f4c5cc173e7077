#include <wire/run.hpp>

#include <exception>
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

int run_one(int (*call)(void*), void* fn, const run_options& options) noexcept {
    if (options.fault_report && !install_fault_report())
        report(diagnostic::fallback, "sigaction or sigaltstack failed: faults are not reported");
    try {
        runtime rt(options.runtime);
        const io::reactor reactor(rt);
        rt.run_once(std::chrono::nanoseconds(0));  // makes its kernel objects, or throws
        int code = 1;
        rt.go({.name = "main"}, [&] { code = main_wire(rt, call, fn); });
        return rt.run() ? code : 1;
    } catch (const std::exception& e) {
        report(diagnostic::failure, "%s", e.what());
        return 1;
    }
}

}  // namespace

int run_main(int (*call)(void*), void* fn, const run_options& options) noexcept {
    WIRE_ASSERT(options.threads >= 1, "wire::run needs a thread to run on");
    std::vector<std::jthread> others;
    try {
        others.reserve(options.threads - 1);
        for (unsigned i = 1; i < options.threads; ++i)
            others.emplace_back([&] { run_one(call, fn, options); });
    } catch (const std::exception& e) {
        report(diagnostic::failure, "only %zu of %u threads started: %s", others.size() + 1,
               options.threads, e.what());
    }
    return run_one(call, fn, options);
}

}  // namespace wire::detail
