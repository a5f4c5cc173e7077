#include "stall_sample.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

#include <wire/diagnostics.hpp>
#include "scheduler.hpp"
#include "signal_stack.hpp"
#include "sys.hpp"

namespace wire::io::detail {
namespace {

using wire::detail::report;
using wire::detail::scheduler;

// By default it is ignored: one that comes when the handler has gone does no harm. Debuggers pass
// it on without a word.
constexpr int stall_signal = SIGURG;

constinit struct sigaction previous {};

const void* interrupted_at([[maybe_unused]] const void* context) noexcept {
    [[maybe_unused]] const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    const auto pc = static_cast<std::uintptr_t>(machine.gregs[REG_RIP]);
#elif defined(__aarch64__)
    const auto pc = static_cast<std::uintptr_t>(machine.pc);
#else
    const std::uintptr_t pc = 0;
#endif
    // NOLINTNEXTLINE(performance-no-int-to-ptr): a register is a number
    return reinterpret_cast<const void*>(pc);
}

bool is_answered(const siginfo_t& info, const void* context) noexcept {
    if (info.si_code != SI_TKILL || info.si_pid != ::getpid()) return false;
    const scheduler* const s = wire::detail::current_scheduler();
    if (!s) return false;
    const wire::detail::pulse& pulse = s->shared().pulse;
    auto* const asked = static_cast<stall_sample*>(pulse.watched);
    return asked &&
           asked->take(pulse.beats.load(std::memory_order_relaxed), interrupted_at(context));
}

// Somebody else's signal. Who has put a handler over an earlier one of ours passes it on to us in
// turn: it ends there.
void pass_on(int signal, siginfo_t* info, void* context) noexcept {
    constinit thread_local bool passing [[gnu::tls_model("initial-exec")]] = false;
    if (std::exchange(passing, true)) return;
    if (previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(signal, info, context);
    else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
        previous.sa_handler(signal);
    passing = false;
}

void on_signal(int signal, siginfo_t* info, void* context) noexcept {
    const int error = errno;
    if (!is_answered(*info, context)) pass_on(signal, info, context);
    errno = error;
}

// "main+0x12 (server+0x41b2)", or what of it is known. `at` is a return address but for the first.
void report_frame(std::size_t number, const char* at, bool is_return) noexcept {
    Dl_info known{};
    if (::dladdr(at - (is_return ? 1 : 0), &known) == 0 || !known.dli_fname)
        return report(diagnostic::stall, "  #%zu %p", number, static_cast<const void*>(at));
    const char* const slash = std::strrchr(known.dli_fname, '/');
    const char* const file = slash ? slash + 1 : known.dli_fname;
    const auto offset = static_cast<std::size_t>(at - static_cast<const char*>(known.dli_fbase));
    if (!known.dli_sname) return report(diagnostic::stall, "  #%zu %s+0x%zx", number, file, offset);
    const std::unique_ptr<char, decltype(&std::free)> readable(
        abi::__cxa_demangle(known.dli_sname, nullptr, nullptr, nullptr), &std::free);
    report(diagnostic::stall, "  #%zu %.300s+0x%zx (%s+0x%zx)", number,
           readable ? readable.get() : known.dli_sname,
           static_cast<std::size_t>(at - static_cast<const char*>(known.dli_saddr)), file, offset);
}

}  // namespace

bool stall_sample::ask(pid_t thread, std::uint64_t beats) noexcept {
    // relaxed: published by the next store.
    of_.store(beats, std::memory_order_relaxed);
    // [U] release: of which turn; and we are done with the answer before. Pairs with [U'].
    state_.store(state::asked, std::memory_order_release);
    return wire::detail::sys::call("tgkill", [&] {
               return ::syscall(SYS_tgkill, ::getpid(), thread, stall_signal);
           }) == 0;
}

bool stall_sample::take(std::uint64_t beats, const void* pc) noexcept {
    // [U'] acquire: see [U]. Pairs with [U].
    if (state_.load(std::memory_order_acquire) != state::asked) return false;
    const wire::detail::fiber* const f = wire::detail::running_or_none();
    if (!f || of_.load(std::memory_order_relaxed) != beats) return true;
    at_.id = f->id;
    std::copy_n(f->shown_name(), ::strnlen(f->shown_name(), at_.name.size() - 1) + 1,
                at_.name.data());
    at_.count = ::backtrace(at_.frames.data(), static_cast<int>(at_.frames.size()));
    // Without the frames of the handler.
    const auto all = std::span(at_.frames).first(static_cast<std::size_t>(at_.count));
    const auto first = std::ranges::find(all, pc);
    if (first != all.end()) {
        std::ranges::copy(first, all.end(), all.begin());
        at_.count = static_cast<int>(all.end() - first);
    }
    // [V] release: what has been written. Pairs with [V'].
    state_.store(state::given, std::memory_order_release);
    wire::detail::call_watcher();
    return true;
}

void install_stall_handler() {
    wire::detail::load_unwinder();
    struct sigaction ours {};
    ours.sa_sigaction = &on_signal;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    ::sigfillset(&ours.sa_mask);
    struct sigaction now {};
    ::sigaction(stall_signal, nullptr, &now);
    // It is ours already in a forked child whose parent had a watch.
    if (now.sa_sigaction != &on_signal) previous = now;
    if (wire::detail::sys::call("sigaction",
                                [&] { return ::sigaction(stall_signal, &ours, nullptr); }) != 0)
        throw std::system_error(errno, std::system_category(), "sigaction failed for SIGURG");
}

void remove_stall_handler() noexcept {
    struct sigaction now {};
    ::sigaction(stall_signal, nullptr, &now);
    if (now.sa_sigaction == &on_signal) ::sigaction(stall_signal, &previous, nullptr);
}

void report_frames(std::span<void* const> frames) noexcept {
    for (std::size_t i = 0; i < frames.size(); ++i)
        report_frame(i, static_cast<const char*>(frames[i]), i > 0);
}

}  // namespace wire::io::detail
