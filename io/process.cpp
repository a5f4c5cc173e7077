#include <wire/process.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>

#include <wire/cancel.hpp>
#include <wire/detail/running.hpp>
#include <wire/diagnostics.hpp>
#include "operation.hpp"
#include "socket.hpp"

namespace wire::io {
namespace {

using detail::descriptor;
using detail::invoke;
using detail::owned;

constexpr std::chrono::seconds longest_end(10);

// What posix_spawn() is told, and the first error of telling it.
struct instructions : wire::detail::immovable {
    instructions() noexcept {
        note(::posix_spawn_file_actions_init(&actions));
        note(::posix_spawnattr_init(&attributes));
    }
    ~instructions() {
        ::posix_spawn_file_actions_destroy(&actions);
        ::posix_spawnattr_destroy(&attributes);
    }

    void note(int outcome) noexcept {
        if (error == 0) error = outcome;
    }

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = 0;
};

void reset_signals(instructions& to) noexcept {
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    to.note(::posix_spawnattr_setsigmask(&to.attributes, &none));
    to.note(::posix_spawnattr_setsigdefault(&to.attributes, &all));
    to.note(
        ::posix_spawnattr_setflags(&to.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
}

// A duplicate that is none of the three numbers, so that putting one stream in its place does not
// overwrite the source of another.
result<descriptor> duplicate(int fd) noexcept {
    return owned(invoke("fcntl", [&] { return ::fcntl(fd, F_DUPFD_CLOEXEC, 3); }));
}

result<descriptor> end_of_new_pipe(bool child_reads, pipe_end& ours) noexcept {
    auto ends = make_pipe();
    if (!ends) return failure{ends.code()};
    pipe_end& kept = child_reads ? ends->second : ends->first;
    const int theirs = (child_reads ? ends->first : ends->second).native_handle();
    // Programs expect it to block.
    const auto n = invoke("fcntl", [&] { return ::fcntl(theirs, F_SETFL, 0); });
    if (n < 0) return detail::failed(n);
    ours = std::move(kept);
    return duplicate(theirs);
}

// What the child will have as `number`; closed, if it inherits that.
result<descriptor> source_of(const child_stream& s, int number, pipe_end& ours) noexcept {
    switch (s.what) {
        case child_stream::inherit:
            break;
        case child_stream::null:
            return detail::and_then(
                owned(invoke("open", [] { return ::open("/dev/null", O_RDWR | O_CLOEXEC); })),
                [](const descriptor& fd) { return duplicate(fd.number()); });
        case child_stream::pipe:
            return end_of_new_pipe(number == STDIN_FILENO, ours);
        case child_stream::given:
            return duplicate(s.fd);
    }
    return descriptor();
}

// Throws std::bad_alloc.
std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> all;
    all.reserve(texts.size() + 1);
    for (const std::string& t : texts) all.push_back(const_cast<char*>(t.c_str()));
    all.push_back(nullptr);
    return all;
}

bool has_nul(const std::vector<std::string>& texts) noexcept {
    return std::ranges::any_of(
        texts, [](const std::string& t) { return t.find('\0') != std::string::npos; });
}

bool acceptable(const std::vector<std::string>& argv, const process_options& o) noexcept {
    return !argv.empty() && !has_nul(argv) && o.directory.find('\0') == std::string::npos &&
           !(o.environment && has_nul(*o.environment));
}

// Returns the pid or -errno. Throws std::bad_alloc.
std::ptrdiff_t spawn_child(const std::vector<std::string>& argv, const process_options& o,
                           instructions& how) {
    if (!o.directory.empty())
        how.note(::posix_spawn_file_actions_addchdir_np(&how.actions, o.directory.c_str()));
    how.note(::posix_spawn_file_actions_addclosefrom_np(&how.actions, 3));
    reset_signals(how);
    if (how.error) return -how.error;
    std::vector<char*> environment;
    if (o.environment) environment = pointers(*o.environment);
    const auto arguments = pointers(argv);
    pid_t pid = 0;
    const auto n = invoke("posix_spawn", [&] {
        errno = ::posix_spawnp(&pid, arguments[0], &how.actions, &how.attributes, arguments.data(),
                               o.environment ? environment.data() : environ);
        return errno == 0 ? 0 : -1;
    });
    return n < 0 ? n : pid;
}

// A child that nobody can wait for is not left behind.
result<descriptor> watch(pid_t pid) noexcept {
    auto fd = owned(invoke("pidfd_open", [&] { return ::syscall(SYS_pidfd_open, pid, 0); }));
    if (!fd && fd.code() != ESRCH) {
        ::kill(pid, SIGKILL);
        invoke("waitpid", [&] { return ::waitpid(pid, nullptr, 0); });
    }
    return fd;
}

}  // namespace

result<process> process::start(const std::vector<std::string>& argv,
                               const process_options& options) noexcept try {
    if (!acceptable(argv, options)) return failure{EINVAL};
    process child;
    instructions how;
    descriptor sources[3];
    const child_stream* const streams[] = {&options.in, &options.out, &options.err};
    pipe_end* const ours[] = {&child.in_, &child.out_, &child.err_};
    for (int i = 0; i < 3; ++i) {
        auto source = source_of(*streams[i], i, *ours[i]);
        if (!source) return failure{source.code()};
        sources[i] = *std::move(source);
        if (sources[i].number() >= 0)
            how.note(::posix_spawn_file_actions_adddup2(&how.actions, sources[i].number(), i));
    }
    const auto pid = spawn_child(argv, options, how);
    if (pid < 0) return detail::failed(pid);
    child.pid_ = static_cast<pid_t>(pid);
    auto fd = watch(child.pid_);
    if (!fd) return failure{fd.code()};
    child.fd_ = *std::move(fd);
    return child;
} catch (const std::bad_alloc&) {
    return failure{ENOMEM};
}

result<exit_status> process::wait(deadline until) noexcept {
    if (!status_ || fd_.number() < 0) {
        siginfo_t how{};
        const auto n = fd_.perform(detail::operation::reap(how), until);
        if (n >= 0) {
            const bool returned = how.si_code == CLD_EXITED;
            status_ = returned ? exit_status{.code = how.si_status}
                               : exit_status{.signal = how.si_status};
        } else if (n != -ECHILD || !status_) {  // with a status, another wire was faster
            return detail::failed(n);
        }
    } else if (const int error = wire::detail::check_cancelled()) {
        return failure{error};
    }
    return *status_;
}

result<void> process::kill(int signal) noexcept {
    return detail::outcome(invoke("pidfd_send_signal", [&] {
        return ::syscall(SYS_pidfd_send_signal, fd_.number(), signal, nullptr, 0);
    }));
}

void process::end() noexcept {
    if (fd_.number() < 0 || status_) return;
    static_cast<void>(kill(SIGKILL));
    int error = 0;
    if (wire::detail::running_or_none()) {
        const shield until_it_is_gone;
        error = wait(within(longest_end)).code();
    } else {
        pollfd gone{.fd = fd_.number(), .events = POLLIN, .revents = 0};
        const int patience = static_cast<int>(std::chrono::milliseconds(longest_end).count());
        invoke("poll", [&] { return ::poll(&gone, 1, patience); });
        siginfo_t how{};
        error = static_cast<int>(-detail::operation::reap(how).attempt(fd_.number()));
    }
    if (error && error != ECHILD)
        wire::detail::report(diagnostic::straggler, "process %d was killed and is not gone: %s",
                             static_cast<int>(pid_), ::strerrordesc_np(error));
}

}  // namespace wire::io
