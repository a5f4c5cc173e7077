#include <execinfo.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

#include <wire/fault_report.hpp>
#include "signal_stack.hpp"
#include "sys.hpp"

namespace wire {
namespace {

constexpr int frames_max = 24;

// relaxed: set before the first wire of the process runs, never changed to anything else.
constinit std::atomic<detail::find_fault_subject> find_subject{nullptr};
constinit struct sigaction previous {};
constinit std::atomic<bool> installed{false};

const char* reason_of(const siginfo_t& info, const detail::fault_subject& wire) noexcept {
    const auto* at = static_cast<const std::byte*>(info.si_addr);
    if (at >= wire.base - wire.guard && at < wire.base)
        return "guard hit: stack overflow; give the wire a larger stack or a shallower recursion";
    if (info.si_code == SEGV_ACCERR) return "no permission for that access";
    if (info.si_code == SEGV_MAPERR) return "nothing is mapped there";
    return "not an ordinary access (a general protection fault, or a signal that was sent)";
}

void print_report(const siginfo_t& info, const detail::fault_subject& wire) noexcept {
    char text[512];
    const int n =
        std::snprintf(text, sizeof text,
                      "wire: fault in wire \"%s\" (stack of %zu bytes, %p to %p)\n"
                      "wire: SIGSEGV at address %p: %s\n"
                      "wire: backtrace:\n",
                      wire.name, static_cast<std::size_t>(wire.top - wire.base),
                      static_cast<const void*>(wire.base), static_cast<const void*>(wire.top),
                      info.si_addr, reason_of(info, wire));
    [[maybe_unused]] const auto written =
        ::write(STDERR_FILENO, text, std::min(static_cast<std::size_t>(n), sizeof text - 1));
    void* frames[frames_max];
    ::backtrace_symbols_fd(frames, ::backtrace(frames, frames_max), STDERR_FILENO);
}

// Hands the fault to whoever was there before us. Under the default action the access is made again
// after our return and ends the program, with the right address in the core file.
void pass_on(int signal, siginfo_t* info, void* context) noexcept {
    if (previous.sa_flags & SA_SIGINFO) return previous.sa_sigaction(signal, info, context);
    if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
        return previous.sa_handler(signal);
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    ::sigaction(signal, &standard, nullptr);
    if (info->si_code <= 0) ::raise(signal);  // sent by kill(): there is no access to repeat
}

void on_fault(int signal, siginfo_t* info, void* context) noexcept {
    const auto find = find_subject.load(std::memory_order_relaxed);
    detail::fault_subject wire{};
    if (info->si_code > 0 && find && find(wire)) print_report(*info, wire);
    pass_on(signal, info, context);
}

}  // namespace

bool install_fault_report() noexcept {
    if (!detail::use_signal_stack()) return false;
    // [I] acq_rel: one thread installs, and `previous` is complete before a handler can read it,
    // since only the handler installed below does. Pairs with itself.
    if (installed.exchange(true, std::memory_order_acq_rel)) return true;

    detail::load_unwinder();

    struct sigaction ours {};
    ours.sa_sigaction = on_fault;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigemptyset(&ours.sa_mask);
    ::sigaction(SIGSEGV, nullptr, &previous);
    if (detail::sys::call("sigaction", [&] { return ::sigaction(SIGSEGV, &ours, nullptr); }) == 0)
        return true;
    // relaxed: nothing was installed, so there is nothing to be seen.
    installed.store(false, std::memory_order_relaxed);
    return false;
}

namespace detail {

void set_fault_subject(find_fault_subject find) noexcept {
    find_subject.store(find, std::memory_order_relaxed);
}

}  // namespace detail
}  // namespace wire
