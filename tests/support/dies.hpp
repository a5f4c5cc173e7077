// Runs a piece of a program in a forked child and tells how it ended: for contracts whose breach
// ends the program, and for faults.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace wire::test {

struct death {
    int signal = 0;    // 0: the child ended by itself
    int code = 0;      // its exit code then
    std::string said;  // on standard error

    [[nodiscard]] bool says(std::string_view text) const {
        return said.find(text) != std::string::npos;
    }
    /// How often the child said it.
    [[nodiscard]] int times(std::string_view text) const {
        int n = 0;
        for (auto at = said.find(text); at != std::string::npos; at = said.find(text, at + 1)) ++n;
        return n;
    }
};

/// For the child: says what went wrong and leaves with code 3.
inline void must(bool ok, const char* what) {
    if (ok) return;
    std::fprintf(stderr, "the test demands: %s\n", what);
    ::_exit(3);
}

namespace detail {

inline constexpr unsigned child_seconds_max = 60;

// As in a plain program: no handlers and no signal stack of the test framework, no core file.
inline void become_plain_program() {
    for (const int s : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTERM, SIGINT})
        ::signal(s, SIG_DFL);
    stack_t off{};
    off.ss_flags = SS_DISABLE;
    ::sigaltstack(&off, nullptr);
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::alarm(child_seconds_max);  // a child that hangs is an answer, too
}

}  // namespace detail

/// Runs `fn()` in a child process, which leaves with code 0 if it returns.
template <class F>
death run_in_child(F fn) {
    std::fflush(nullptr);
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    const pid_t child = ::fork();
    if (child < 0) std::abort();
    if (child == 0) {
        ::close(ends[0]);
        ::dup2(ends[1], STDERR_FILENO);
        detail::become_plain_program();
        fn();
        ::_exit(0);
    }
    ::close(ends[1]);
    death d;
    char buffer[4096];
    for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
        d.said.append(buffer, static_cast<std::size_t>(n));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) d.signal = WTERMSIG(status);
    if (WIFEXITED(status)) d.code = WEXITSTATUS(status);
    return d;
}

/// Whether `fn()` ends its program by `signal` with `text` on standard error. Says what happened
/// instead if not.
template <class F>
bool dies_by(int signal, F fn, std::string_view text) {
    const death d = run_in_child(fn);
    if (d.signal == signal && d.says(text)) return true;
    std::fprintf(stderr, "dies: signal %d, exit code %d, said:\n%s\n", d.signal, d.code,
                 d.said.c_str());
    return false;
}

/// The same for a broken contract, which calls abort().
template <class F>
bool dies(F fn, std::string_view text) {
    return dies_by(SIGABRT, fn, text);
}

}  // namespace wire::test
