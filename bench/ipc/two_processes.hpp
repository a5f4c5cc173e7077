// The other process of a case, and how both agree on when to begin.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <cstdlib>

#include "../pool/stretch.hpp"
#include "shared.hpp"

namespace bench {

/// Ends this process if one of its children has failed: nothing would come any more.
inline void watch_children() {
    struct sigaction action {};
    action.sa_handler = [](int) {
        siginfo_t its{};
        ::waitid(P_ALL, 0, &its, WEXITED | WNOHANG | WNOWAIT);
        if (its.si_pid != 0 && (its.si_code != CLD_EXITED || its.si_status != 0)) ::_exit(1);
    };
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGCHLD, &action, nullptr);
}

/// Dies with its parent.
template <class Body>
pid_t start_process(Body body) {
    const auto pid = static_cast<pid_t>(checked(::fork(), "fork"));
    if (pid != 0) return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::signal(SIGCHLD, SIG_DFL);
    body();
    std::exit(0);
}

/// Runs body() in another process. The destructor waits for its end.
class other_process {
public:
    template <class Body>
    explicit other_process(Body body) {
        watch_children();
        pid_ = start_process(body);
    }
    other_process(const other_process&) = delete;
    other_process& operator=(const other_process&) = delete;
    ~other_process() { ::waitpid(pid_, nullptr, 0); }

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] double cpu_ns() const {
        clockid_t its{};
        ::clock_getcpuclockid(pid_, &its);
        return now_ns(its);
    }

private:
    pid_t pid_;
};

/// Time since its construction, and processor time of both processes.
class stopwatch_of_both {
public:
    explicit stopwatch_of_both(const other_process& other)
        : other_(other), others_cpu_(other.cpu_ns()) {}

    [[nodiscard]] cost elapsed() const {
        cost mine = mine_.elapsed();
        mine.cpu_ns += other_.cpu_ns() - others_cpu_;
        return mine;
    }

private:
    const other_process& other_;
    double others_cpu_;
    stopwatch mine_;
};

/// How far a case is. In shared memory.
class stage {
public:
    /// One more is ready.
    void arrive() { arrived_.add_and_wake(INT_MAX); }
    void await(std::uint32_t arrived) {
        for (std::uint32_t now; (now = arrived_.value()) < arrived;) arrived_.wait_while(now);
    }

    /// A stretch of so many messages begins; none: there will be no more.
    void begin(std::uint64_t messages) {
        messages_ = messages;
        begun_.add_and_wake(INT_MAX);
    }
    /// Waits for the stretch after the one numbered `last`.
    std::uint64_t next(std::uint32_t& last) {
        begun_.wait_while(last);
        last = begun_.value();
        return messages_;
    }

private:
    shared_word arrived_, begun_;
    std::uint64_t messages_ = 0;
};

}  // namespace bench
