// Runs a piece of a program in a child process, one instruction at a time, and ends it after any.
//
// The child stops itself at two marks; what lies between them is stepped through with ptrace(2). A
// system call is one step: whatever the kernel does, it does wholly. To come to a step in the
// middle, whole stretches from system call to system call run at full speed; where those lie is
// learnt from a first run (`course`).
#pragma once

#include <elf.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include <wire/config.hpp>
#include "dies.hpp"
#include "environment.hpp"
#include "interleave_bounds.hpp"

/// Ends a test case, visibly, where it cannot work.
#define WIRE_LEAVE_OUT_UNLESS_STEPPING                                                            \
    WIRE_LEAVE_OUT_IF(under_tsan || under_asan || under_valgrind(), "it has other instructions"); \
    WIRE_LEAVE_OUT_IF(!can_trace(), "ptrace() is refused here")

namespace wire::test {

/// The child is at the beginning, or at the end, of what is stepped through.
inline void mark() {
    ::syscall(SYS_kill, ::getpid(), SIGSTOP);
}

/// How many steps an operation takes, and after how many each of its system calls is over.
struct course {
    std::uint64_t steps = 0;
    std::vector<std::uint64_t> calls;

    /// After how many steps to end it: after each. In the short run only some of a stretch without
    /// system calls so long that it reads or writes text, for or from /proc.
    [[nodiscard]] std::vector<std::uint64_t> ends(std::uint64_t from = 0) const {
        std::vector<std::uint64_t> all;
        for (std::uint64_t n = from; n <= steps;
             n += is_text(n) && !interleave::explores_long() ? 11 : 1)
            all.push_back(n);
        return all;
    }

private:
    [[nodiscard]] bool is_text(std::uint64_t n) const {
        constexpr std::uint64_t margin = 30, text = 700;
        const auto next = std::upper_bound(calls.begin(), calls.end(), n);
        const std::uint64_t begin = next == calls.begin() ? 0 : *(next - 1);
        const std::uint64_t end = next == calls.end() ? steps : *next;
        return end - begin > text && n > begin + margin && n + margin < end;
    }
};

/// While it lives, this thread and its children stay on one processor: of two that take turns all
/// the time each would wake up from idling, and that takes ten times as long as a step.
class on_one_processor : wire::detail::immovable {
public:
    on_one_processor() {
        ::sched_getaffinity(0, sizeof before_, &before_);
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
        ::sched_setaffinity(0, sizeof one, &one);
    }
    ~on_one_processor() { ::sched_setaffinity(0, sizeof before_, &before_); }

private:
    cpu_set_t before_;
};

class stepped_child : wire::detail::immovable {
public:
    /// Runs `body()` up to its first mark.
    template <class F>
    explicit stepped_child(F body) {
        pid_ = ::fork();
        if (pid_ < 0) std::abort();
        if (pid_ == 0) {
            detail::become_plain_program();
            must(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0, "ptrace is allowed");
            body();
            ::_exit(0);
        }
        wait();
        if (stopped_by() == SIGSTOP)
            request(PTRACE_SETOPTIONS, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
    }
    ~stepped_child() {
        kill();
        reap();
    }

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// Whether it stands at a mark: not if it has ended by itself.
    [[nodiscard]] bool at_mark() const noexcept { return stopped_by() == SIGSTOP; }

    /// Makes `n` steps. Returns false if that is beyond the second mark.
    bool step(std::uint64_t n) {
        for (; n > 0; --n) {
            request(PTRACE_SINGLESTEP);
            wait();
            if (stopped_by() != SIGTRAP) return false;
        }
        return true;
    }
    /// Makes the first `n` steps of a course.
    bool go(const course& c, std::uint64_t n) {
        const auto next = std::upper_bound(c.calls.begin(), c.calls.end(), n);
        if (next == c.calls.begin()) return step(n);
        return pass_calls(next - c.calls.begin()) && step(n - *(next - 1));
    }
    /// Goes to the second mark. Calls `look()` after each step.
    template <class F>
    course learn_course(F look) {
        course c;
        for (bool calls = is_at_call(); step(1); calls = is_at_call()) {
            ++c.steps;
            if (calls) c.calls.push_back(c.steps);
            look();
        }
        return c;
    }

    /// When it returns the child has ended. Nobody has waited for it yet: it is a zombie.
    void kill() {
        if (pid_ == 0) return;
        ::kill(pid_, SIGKILL);
        siginfo_t info;
        while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) != 0 &&
               errno == EINTR) {
        }
    }
    void reap() {
        if (pid_ != 0) ::waitpid(std::exchange(pid_, 0), nullptr, 0);
    }

private:
    void request(int what, long data = 0) {
        ::ptrace(static_cast<__ptrace_request>(what), pid_, nullptr, data);
    }
    void wait() {
        while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
        }
        if (!WIFSTOPPED(status_)) pid_ = 0;
    }
    [[nodiscard]] int stopped_by() const noexcept {
        return WIFSTOPPED(status_) ? WSTOPSIG(status_) : 0;
    }
    bool pass_calls(std::ptrdiff_t n) {
        // One stop at the beginning of each, and one at its end.
        for (n *= 2; n > 0; --n) {
            request(PTRACE_SYSCALL);
            wait();
            if (stopped_by() != (SIGTRAP | 0x80)) return false;
        }
        return true;
    }
    // Where it is not known how to tell, no step is skipped.
    [[nodiscard]] bool is_at_call() const {
#if defined(__x86_64__)
        user_regs_struct regs{};
        iovec to{&regs, sizeof regs};
        if (::ptrace(PTRACE_GETREGSET, pid_, NT_PRSTATUS, &to) != 0) return false;
        const long code = ::ptrace(PTRACE_PEEKTEXT, pid_, regs.rip, nullptr);
        return (code & 0xFFFF) == 0x050F;
#else
        return false;
#endif
    }

    on_one_processor meanwhile_;
    pid_t pid_ = 0;
    int status_ = 0;
};

/// Whether this process may trace a child: a container or a security module may refuse it.
inline bool can_trace() {
    stepped_child probe([] {
        mark();
        mark();
    });
    return probe.at_mark() && probe.step(1);
}

}  // namespace wire::test
