// Child processes: started, talked to through pipes, waited for.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include <wire/deadline.hpp>
#include <wire/descriptor.hpp>
#include <wire/pipe.hpp>
#include <wire/result.hpp>
#include <wire/wait_fd.hpp>

namespace wire::io {

/// How a process ended.
struct exit_status {
    int code = 0;    ///< what it returned, if no signal ended it
    int signal = 0;  ///< the signal that ended it, or 0

    /// Whether it returned 0.
    [[nodiscard]] bool success() const noexcept { return code == 0 && signal == 0; }
    friend bool operator==(const exit_status&, const exit_status&) noexcept = default;
};

/// What a child gets as its standard input, output or error: one of the kinds, or a descriptor of
/// the caller's, of which it gets a duplicate.
class child_stream {
public:
    enum kind : unsigned char {
        inherit,  ///< what this process has there
        null,     ///< /dev/null
        pipe,     ///< the other end is the process object's
        given
    };
    constexpr child_stream(kind k = inherit) noexcept : what(k) {}
    constexpr child_stream(int number) noexcept : what(given), fd(number) {}

    kind what;
    int fd = -1;
};

/// How a child is started.
struct process_options {
    child_stream in = {}, out = {}, err = {};
    std::string directory = {};  ///< where it starts; empty: where this process is
    /// "NAME=value" each; nullopt: those of this process.
    std::optional<std::vector<std::string>> environment = {};
};

/// A child process.
///
/// It starts with no signal blocked and each at its default, and with no descriptors of this
/// process but the three. SIGKILL ends it if the object goes while it runs. Movable; belongs to a
/// runtime as a stream does. Needs Linux 5.4.
class WIRE_API process {
public:
    /// Starts `argv[0]`, which is looked for in PATH if it has no slash, with `argv` as arguments.
    /// Returns when the program runs: fails with ENOENT, EACCES, ENOEXEC or what else execve(2) or
    /// chdir(2) says if it cannot; as posix_spawn(3), pidfd_open(2), pipe(2) or open(2); with
    /// EINVAL if there is no argv[0] or a text contains a NUL. No child is left then.
    ///
    /// Blocks the thread until then, most often for less than a millisecond. A relative path
    /// counts from `options.directory`. Any thread.
    static result<process> start(const std::vector<std::string>& argv,
                                 const process_options& options = {}) noexcept;

    /// No longer has a child.
    process(process&& other) noexcept = default;
    process& operator=(process&& other) noexcept {
        end();
        in_ = std::move(other.in_);
        out_ = std::move(other.out_);
        err_ = std::move(other.err_);
        pid_ = other.pid_;
        status_ = other.status_;
        fd_ = std::move(other.fd_);
        return *this;
    }
    /// Kills a child for which no wait() has succeeded and waits until it is gone, shielded from
    /// cancellation: in a wire by parking, elsewhere by blocking the thread. That takes as long as
    /// the system needs to take the process down; after 10 s a diagnostic says that it stays
    /// behind, and that nobody will reap it. What the child itself has started runs on.
    ~process() { end(); }

    /// Waits until the child has ended. May be called by several wires, and again. Fails with
    /// ETIMEDOUT, ECANCELED, EBADF (no child), or ECHILD: somebody else has waited for it, or
    /// SIGCHLD is ignored. Call from a wire.
    result<exit_status> wait(deadline until = never) noexcept;
    /// Sends it a signal. Fails with ESRCH if it has been waited for; EINVAL, EPERM. Never reaches
    /// another process. Never suspends.
    result<void> kill(int signal) noexcept;

    /// Our ends of its pipes; closed if it has none. Closing in() is the end of its input.
    [[nodiscard]] pipe_end& in() noexcept { return in_; }
    [[nodiscard]] pipe_end& out() noexcept { return out_; }
    [[nodiscard]] pipe_end& err() noexcept { return err_; }
    /// Its number, for people to read.
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// Its pidfd, which stays owned here; -1 without a child.
    [[nodiscard]] int native_handle() const noexcept { return fd_.number(); }
    /// Gives the child and its pidfd away, to be waited for by the caller; wires that wait for it
    /// get EBADF.
    [[nodiscard]] int release() noexcept { return fd_.release(); }

private:
    process() noexcept = default;
    void end() noexcept;

    pipe_end in_, out_, err_;
    pid_t pid_ = 0;
    std::optional<exit_status> status_;
    detail::descriptor fd_;
};

/// The end of a process in a wait_list with other things: then its wait() does not block. As
/// readable_wait; must be gone before the process object is.
class exit_wait : public fd_wait {
public:
    explicit exit_wait(const process& p) noexcept : fd_wait(p.native_handle(), false) {}
};

}  // namespace wire::io
