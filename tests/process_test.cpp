// Child processes: what they start with, how they end, who waits for them.
#include "support/io.hpp"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <filesystem>
#include <list>
#include <optional>
#include <set>

#include <wire/process.hpp>
#include <wire/signals.hpp>
#include <wire/spawn.hpp>
#include <wire/wait.hpp>
#include "support/diagnostics.hpp"
#include "support/environment.hpp"
#include "support/failing_call.hpp"

namespace wire::test {
namespace {

using io::child_stream;
using io::exit_status;
using io::process;
using arguments = std::vector<std::string>;

process sh(const std::string& script, const io::process_options& options = {}) {
    return process::start({"sh", "-c", script}, options).value();
}

// One that runs until it is killed, or its input ends.
process endless() {
    return process::start({"cat"}, {.in = child_stream::pipe, .out = child_stream::null}).value();
}

std::string text_from(io::pipe_end& from) {
    std::string all;
    std::array<char, 4096> buffer;
    while (auto n = from.read(std::as_writable_bytes(std::span(buffer)), soon())) {
        if (*n == 0) return all;
        all.append(buffer.data(), *n);
    }
    return all + "!";
}

std::string output_of(const arguments& argv, io::process_options options = {}) {
    options.out = child_stream::pipe;
    auto child = process::start(argv, options);
    if (!child) return error_name(child.code());
    std::string text = text_from(child->out());
    CHECK(child->wait(soon()).value().success());
    return text;
}

std::string place_of(int fd) {
    return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
}

template <class F>
void with_children(F body) {
    WIRE_LEAVE_OUT_IF(under_valgrind(), "it knows no pidfd_open()");
    on_wires(std::move(body));
}

bool is_there(pid_t pid) {
    return ::kill(pid, 0) == 0;
}

TEST_CASE("process: wait tells the code it returned, or the signal that ended it") {
    with_children([] {
        CHECK(sh("exit 0").wait(soon()).value().success());
        CHECK(sh("exit 7").wait(soon()).value() == exit_status{.code = 7});
        CHECK(sh("kill -9 $$").wait(soon()).value() == exit_status{.signal = SIGKILL});
        CHECK_FALSE(exit_status{.code = 7}.success());
        CHECK_FALSE(exit_status{.signal = SIGKILL}.success());
    });
}

TEST_CASE("process: pipes to its input and from its output and error") {
    with_children([] {
        const auto pipe = child_stream::pipe;
        auto child = sh("cat; echo done >&2", {.in = pipe, .out = pipe, .err = pipe});
        const std::string text = long_text(300'000);
        auto writer = spawn([&] {
            CHECK(child.in().write_all(text, soon()));
            child.in().close();
        });
        CHECK(text_from(child.out()) == text);
        CHECK(text_from(child.err()) == "done\n");
        CHECK(child.wait(soon()).value().success());
        CHECK(writer.join(soon()));
    });
}

TEST_CASE("process: a writer whose child has ended gets EPIPE") {
    ::signal(SIGPIPE, SIG_DFL);
    with_children([] {
        auto child = sh("exit 0", {.in = child_stream::pipe});
        CHECK(child.wait(soon()));
        CHECK(child.in().write_all("x", soon()).code == EPIPE);
    });
}

TEST_CASE("process: streams that are null, given, or exchanged") {
    with_children([] {
        CHECK(output_of({"cat"}, {.in = child_stream::null}) == "");
        auto [out, in] = io::make_pipe().value();
        const int both = in.native_handle();
        auto child = sh("echo a; echo b >&2", {.out = both, .err = both});
        in.close();
        CHECK(child.wait(soon()));
        CHECK(text_from(out) == "a\nb\n");
        CHECK_FALSE(child.out().is_open());
        // Each of two streams in the place of the other.
        const std::string places = "[ $(readlink /proc/$$/fd/1) = " + place_of(STDERR_FILENO) +
                                   " -a $(readlink /proc/$$/fd/2) = " + place_of(STDOUT_FILENO) +
                                   " ]";
        auto twisted = sh(places, {.out = STDERR_FILENO, .err = STDOUT_FILENO});
        CHECK(twisted.wait(soon()).value().success());
        CHECK(process::start({"true"}, {.in = 12345}).code() == EBADF);
    });
}

TEST_CASE("process: its environment and folder are those it is given") {
    with_children([] {
        ::setenv("WIRE_TEST_NAME", "inherited", 1);
        const arguments show = {"sh", "-c", "echo $WIRE_TEST_NAME; pwd"};
        CHECK(output_of(show, {.directory = "/"}) == "inherited\n/\n");
        const arguments own = {"WIRE_TEST_NAME=own", "PATH=/nowhere"};
        CHECK(output_of(show, {.directory = "/tmp", .environment = own}) == "own\n/tmp\n");
        CHECK(output_of({"/usr/bin/env"}, {.environment = arguments{}}) == "");
        ::unsetenv("WIRE_TEST_NAME");
    });
}

TEST_CASE("process: what cannot be started is an error that says why, and leaves no child") {
    with_children([] {
        CHECK(process::start({"no-such-program"}).code() == ENOENT);
        CHECK(process::start({"/no/such/program"}).code() == ENOENT);
        CHECK(process::start({"/proc/version"}).code() == EACCES);
        CHECK(process::start({"true"}, {.directory = "/no/such/folder"}).code() == ENOENT);
        CHECK(process::start({}).code() == EINVAL);
        CHECK(process::start({"echo", std::string("a\0b", 3)}).code() == EINVAL);
        CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
        CHECK(errno == ECHILD);
    });
}

TEST_CASE("process: it starts with no signal blocked or ignored") {
    with_children([] {
        io::signals set{SIGUSR1};
        ::signal(SIGPIPE, SIG_IGN);
        ::signal(SIGUSR2, SIG_IGN);
        // The C library ignores two of its own, 32 and 33.
        const char* const none = "^SigBlk:\\s0+$|^SigIgn:\\s0+(18)?0{7}$";
        CHECK(output_of({"grep", "-cE", none, "/proc/self/status"}) == "2\n");
        ::signal(SIGPIPE, SIG_DFL);
        ::signal(SIGUSR2, SIG_DFL);
    });
}

TEST_CASE("process: it has no descriptor but the three") {
    with_children([] {
        const int careless = ::open("/dev/null", O_RDONLY);  // not close-on-exec
        CHECK(output_of({"sh", "-c", "echo /proc/$$/fd/*"}, {.in = child_stream::null})
                  .find("/fd/" + std::to_string(careless)) == std::string::npos);
        ::close(careless);
    });
}

TEST_CASE("process: other wires run while one waits, which can be cancelled or run out of time") {
    with_children([] {
        auto child = endless();
        CHECK(child.wait(within(1ms)).code() == ETIMEDOUT);
        auto waiting = spawn([&] { return child.wait().code(); });
        yield();
        waiting.cancel();
        CHECK(waiting.join(soon()).value() == ECANCELED);
        child.in().close();
        CHECK(child.wait(soon()).value().success());
    });
}

TEST_CASE("process: several wires may wait, and again") {
    with_children([] {
        auto child = endless();
        auto one = spawn([&] { return child.wait(soon()).value(); });
        auto two = spawn([&] { return child.wait(soon()).value(); });
        let_others_run();
        CHECK(child.kill(SIGTERM));
        const exit_status killed{.signal = SIGTERM};
        CHECK(one.join(soon()).value() == killed);
        CHECK(two.join(soon()).value() == killed);
        CHECK(child.wait(soon()).value() == killed);
        cancel_scope scope;
        scope.cancel();
        CHECK(child.wait(soon()).code() == ECANCELED);
    });
}

TEST_CASE("process: kill says when there is nobody any more, or no such signal") {
    with_children([] {
        auto child = endless();
        CHECK(child.kill(1000).code() == EINVAL);
        CHECK(child.kill(SIGKILL));
        CHECK(child.wait(soon()));
        CHECK(child.kill(SIGTERM).code() == ESRCH);
        const process other = std::move(child);
        CHECK(child.kill(SIGTERM).code() == EBADF);
        CHECK(child.wait().code() == EBADF);
    });
}

TEST_CASE("process: its end in a list with a timer and another process") {
    with_children([] {
        auto one = endless();
        auto two = endless();
        io::exit_wait end_of_one(one), end_of_two(two);
        wire::timer limit(within(1h));
        wait_list any;
        for (wire::wait* w :
             {static_cast<wire::wait*>(&limit), static_cast<wire::wait*>(&end_of_one),
              static_cast<wire::wait*>(&end_of_two)})
            any.chain(*w);
        go([&] { two.in().close(); });
        CHECK(any.await(soon()).value() == &end_of_two);
        CHECK(two.wait(soon()).value().success());
        any.unchain(end_of_two);
        go([&] { CHECK(one.kill(SIGINT)); });
        CHECK(any.await(soon()).value() == &end_of_one);
        CHECK(one.wait(soon()).value() == exit_status{.signal = SIGINT});
    });
}

TEST_CASE("process: one that has ended before triggers a wait at once, also after wait()") {
    with_children([] {
        auto child = sh("exit 3");
        CHECK(io::exit_wait(child).await(soon()));
        CHECK(child.wait(soon()).value().code == 3);
        CHECK(io::exit_wait(child).await(soon()));
    });
}

TEST_CASE("process: destroyed while it runs it is killed and reaped, also in a cancelled wire") {
    with_children([] {
        pid_t pid = 0;
        {
            auto child = endless();
            pid = child.pid();
            CHECK(is_there(pid));
            cancel_scope scope;
            scope.cancel();
            const process last = std::move(child);
        }
        CHECK_FALSE(is_there(pid));
    });
}

TEST_CASE("process: assignment and the end outside of wires reap, too") {
    WIRE_LEAVE_OUT_IF(under_valgrind(), "it knows no pidfd_open()");
    std::optional<process> child(endless());
    const pid_t first = child->pid();
    *child = endless();
    CHECK_FALSE(is_there(first));
    const pid_t second = child->pid();
    CHECK(is_there(second));
    child.reset();
    CHECK_FALSE(is_there(second));
}

TEST_CASE("process: a wire that waits for one that is destroyed learns its end") {
    with_children([] {
        std::optional<process> child(endless());
        auto waiting = spawn([&c = *child] { return c.wait(soon()).value(); });
        let_others_run();
        child.reset();
        CHECK(waiting.join(soon()).value() == exit_status{.signal = SIGKILL});
    });
}

TEST_CASE("process: released, it is the caller's to wait for") {
    with_children([] {
        auto child = sh("exit 4");
        const int pidfd = child.release();
        siginfo_t how{};
        CHECK(io::wait_readable(pidfd, soon()));
        CHECK(::waitid(P_PIDFD, static_cast<id_t>(pidfd), &how, WEXITED) == 0);
        CHECK(how.si_status == 4);
        ::close(pidfd);
    });
}

TEST_CASE("process: one that somebody else has waited for is ECHILD") {
    with_children([] {
        auto child = sh("exit 0");
        CHECK(::waitpid(child.pid(), nullptr, 0) == child.pid());
        CHECK(child.wait(soon()).code() == ECHILD);
    });
}

TEST_CASE("process: many at once") {
    with_children([] {
        std::list<handle<int>> all;
        for (int i = 0; i < 20; ++i)
            all.push_back(
                spawn([i] { return sh("exit " + std::to_string(i)).wait(soon()).value().code; }));
        for (int i = 0; auto& h : all) CHECK(h.join(soon()).value() == i++);
    });
}

TEST_CASE("process: each system call that fails is told, and leaves neither child nor descriptor") {
    const std::pair<const char*, int> failures[] = {{"pipe2", EMFILE},
                                                    {"fcntl", EMFILE},
                                                    {"open", ENFILE},
                                                    {"posix_spawn", EAGAIN},
                                                    {"pidfd_open", ENOSYS}};
    for (const auto& [call, error] : failures) {
        CAPTURE(call);
        with_children([&, name = call, code = error] {
            const failing_call refused(name, code);
            const auto child =
                process::start({"cat"}, {.in = child_stream::pipe, .out = child_stream::null});
            CHECK(child.code() == code);
            CHECK(refused.calls() >= 1);
            CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
        });
    }
}

TEST_CASE("process: one that cannot be reaped is named") {
    WIRE_LEAVE_OUT_IF(under_valgrind(), "it knows no pidfd_open()");
    const caught_diagnostics said;
    {
        auto child = endless();
        const failing_call refused("waitid", EIO);
        static_cast<void>(child.kill(SIGKILL));
    }
    CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
    CHECK(said.size() == 0);
    pid_t pid = 0;
    {
        const failing_call refused("waitid", EIO);
        auto child = endless();
        pid = child.pid();
    }
    CHECK(said.has(diagnostic::straggler, std::to_string(pid)));
    CHECK(::waitpid(pid, nullptr, 0) == pid);
}

}  // namespace
}  // namespace wire::test
