// A process that forks: what its child may do, what ends the child, and that the parent notices
// nothing of either.
#include "support/io.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <thread>

#include <wire/channel.hpp>
#include <wire/datagram.hpp>
#include <wire/diagnostics.hpp>
#include <wire/dump_on_quit.hpp>
#include <wire/file.hpp>
#include <wire/log.hpp>
#include <wire/offload.hpp>
#include <wire/pipe.hpp>
#include <wire/pollable.hpp>
#include <wire/process.hpp>
#include <wire/run.hpp>
#include <wire/shm/ring.hpp>
#include <wire/signals.hpp>
#include <wire/splice.hpp>
#include <wire/stall_watch.hpp>
#include <wire/wait_fd.hpp>
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/temporary_directory.hpp"
#include "support/threads.hpp"

namespace wire::test {
namespace {

constexpr const char* the_sentence = "a forked child uses a runtime of its parent";

// The numbers of the open descriptors.
std::set<int> descriptors() {
    std::set<int> all;
    DIR* const folder = ::opendir("/proc/self/fd");
    while (const dirent* const e = ::readdir(folder))
        if (e->d_name[0] != '.') all.insert(std::atoi(e->d_name));
    all.erase(::dirfd(folder));
    ::closedir(folder);
    return all;
}

// What the epoll sets of this process hold, as the kernel says it.
std::string epoll_sets() {
    std::string all;
    for (const int fd : descriptors()) {
        const std::string number = std::to_string(fd);
        std::error_code gone;
        const auto kind = std::filesystem::read_symlink("/proc/self/fd/" + number, gone);
        if (kind != "anon_inode:[eventpoll]") continue;
        std::ifstream info("/proc/self/fdinfo/" + number);
        for (std::string line; std::getline(info, line);)
            if (line.starts_with("tfd:")) all += line + '\n';
    }
    return all;
}

// Sends a word there and back, each way with a wait in the kernel.
void talk(stream& near, stream& far) {
    auto answer = spawn([&] {
        CHECK(take(far) == "ping");
        put(far, "pong");
    });
    yield();
    put(near, "ping");
    CHECK(take(near) == "pong");
    CHECK(answer.join(soon()));
}

// Runs `fn()` in a child that a wire forks while others are ready and wait; it must end by the
// sentence before any of them runs. The parent goes on as if nothing had been.
// `fn` is given streams that the parent has: one of which a wire has waited, and one that is new.
void dies_in_wire(const std::string& what, const std::function<void(stream&, stream&)>& fn) {
    CAPTURE(what);
    on_wires([&] {
        auto [near, far] = tcp_pair();
        auto [fresh, peer] = unix_pair();
        talk(near, far);
        const pid_t parent = ::getpid();
        const auto tell = [parent] {
            if (::getpid() != parent) must(false, "no other wire runs in the child");
        };
        auto ready = spawn(tell);
        auto waiting = spawn([&, tell] {
            CHECK(take(far) == "later");
            tell();
        });
        yield();
        auto ready_again = spawn(tell);
        const std::string sets = epoll_sets();
        const death d = run_in_child([&, &used = near, &unused = fresh] { fn(used, unused); });
        CHECK(epoll_sets() == sets);
        CAPTURE(d.said);
        CHECK(d.signal == SIGABRT);
        CHECK(d.says(the_sentence));
        CHECK_FALSE(d.says("the test demands"));
        put(near, "later");
        for (auto* h : {&ready, &waiting, &ready_again}) CHECK(h->join(soon()));
        talk(near, far);
    });
}

TEST_CASE("fork: a child that a wire has forked dies of its first call that would wait") {
    dies_in_wire("yield", [](stream&, stream&) { yield(); });
    dies_in_wire("sleep", [](stream&, stream&) { static_cast<void>(sleep(within(1ms))); });
    dies_in_wire("suspend", [](stream&, stream&) { static_cast<void>(suspend()); });
    dies_in_wire("recv", [](stream&, stream&) {
        channel<int> empty;
        static_cast<void>(empty.recv());
    });
    dies_in_wire("join", [](stream&, stream&) { static_cast<void>(spawn([] {}).join()); });
    dies_in_wire("read", [](stream& s, stream&) { static_cast<void>(take(s)); });
    dies_in_wire("first read", [](stream&, stream& s) { static_cast<void>(take(s)); });
    dies_in_wire("accept", [](stream&, stream&) {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        static_cast<void>(door.accept());
    });
    dies_in_wire("connect", [](stream&, stream&) {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        static_cast<void>(io::connect_tcp("127.0.0.1", door.port()));
    });
    dies_in_wire("wait", [](stream&, stream& s) {
        static_cast<void>(io::wait_readable(s.native_handle()));
    });
    dies_in_wire("offload", [](stream&, stream&) { static_cast<void>(io::offload(never, [] {})); });
}

TEST_CASE("fork: a child that a wire has forked dies of what reaches its runtime") {
    dies_in_wire("go", [](stream&, stream&) { static_cast<void>(this_wire::remote().go([] {})); });
    dies_in_wire("call", [](stream&, stream&) {
        static_cast<void>(this_wire::remote().call(never, [] {}));
    });
    dies_in_wire("stop", [](stream&, stream&) { static_cast<void>(this_wire::remote().stop()); });
}

TEST_CASE("fork: a wire that ends in a forked child ends the child") {
    on_wires([] {
        auto forks = spawn([] {
            const pid_t child = ::fork();
            if (child == 0) {
                detail::become_plain_program();
                return pid_t{0};
            }
            int status = 0;
            CHECK(::waitpid(child, &status, 0) == child);
            CHECK(WIFSIGNALED(status));
            CHECK(WTERMSIG(status) == SIGABRT);
            return child;
        });
        CHECK(forks.join(soon()).value() > 0);
    });
}

// A watch whose thread has begun. A thread that begins uses the heap, and AddressSanitizer leaves
// it locked in a child that is forked at that moment.
struct begun_watch {
    explicit begun_watch(runtime& rt) : watch(rt, 10s) {
        while (threads_named("wire stalls") == 0) std::this_thread::yield();
    }
    io::stall_watch watch;
};

// A runtime that has run, and waits for more.
struct used_runtime {
    used_runtime() {
        rt.emplace();
        reactor.emplace(*rt);
        rt->go([] { yield(); });
        CHECK(rt->run());
    }
    ~used_runtime() {
        reactor.reset();
        rt.reset();
    }
    std::optional<runtime> rt;
    std::optional<io::reactor> reactor;
};

TEST_CASE("fork: a child that runs or ends its parent's runtime, or calls it, dies") {
    used_runtime u;
    const remote r = u.rt->remote();
    CHECK(dies([&] { static_cast<void>(u.rt->run()); }, the_sentence));
    CHECK(dies([&] { u.rt->run_once(); }, the_sentence));
    CHECK(dies([&] { u.rt->stop(); }, the_sentence));
    CHECK(dies([&] { u.reactor.reset(); }, the_sentence));
    CHECK(dies(
        [] {
            std::optional<runtime> bare(std::in_place);
            static_cast<void>(bare->run());
            if (::fork() == 0) bare.reset();
            int status = 0;
            ::wait(&status);
            if (WIFSIGNALED(status)) ::raise(WTERMSIG(status));
        },
        the_sentence));
    CHECK(dies([&] { static_cast<void>(r.go([] {})); }, the_sentence));
    CHECK(dies([&] { static_cast<void>(r.call(never, [] {})); }, the_sentence));
    CHECK(dies([&] { static_cast<void>(r.cancel_all()); }, the_sentence));
    // A remote may go with what holds it.
    CHECK(run_in_child([&] { const std::optional<remote> copy(r); }).code == 0);
    u.rt->go([] { CHECK(sleep(within(1ms))); });
    CHECK(u.rt->run());
}

TEST_CASE("fork: a stall_watch that ends in a child ends the child") {
    WIRE_LEAVE_OUT_IF(under_tsan, "it lets no forked child start threads");
    CHECK(dies(
        [] {
            runtime rt;
            std::optional<begun_watch> watch;
            watch.emplace(rt);
            if (::fork() == 0) watch.reset();
            int status = 0;
            ::wait(&status);
            if (WIFSIGNALED(status)) ::raise(WTERMSIG(status));
        },
        the_sentence));
}

TEST_CASE("fork: a pollable that ends in a child ends the child, and its parent notices nothing") {
    used_runtime u;
    std::optional<io::pollable> door(*u.rt);
    while (u.rt->run_once()) {
    }
    CHECK(dies([&] { u.rt->run_once(); }, the_sentence));
    const std::string sets = epoll_sets();
    CHECK(dies([&] { door.reset(); }, the_sentence));
    CHECK(epoll_sets() == sets);
    u.rt->go([] { CHECK(sleep(within(1ms))); });
    pollfd watched{.fd = door->fd(), .events = POLLIN, .revents = 0};
    while (u.rt->size() > 0) {
        CHECK(::poll(&watched, 1, -1) == 1);
        u.rt->run_once();
    }
}

TEST_CASE("fork: a child may close its copies also while the runtime rests in another loop") {
    used_runtime u;
    auto [near, far] = io::make_stream_pair().value();
    std::string got;
    u.rt->go([&, &n = near] { got = take(n, 64, never); });
    const io::pollable door(*u.rt);
    while (u.rt->run_once()) {
    }
    const death d = run_in_child([&, &n = near, &f = far] {
        n.close();
        f.close();
    });
    CAPTURE(d.said);
    CHECK(d.signal == 0);
    CHECK(got.empty());
    near.close();
    while (u.rt->run_once()) {
    }
    CHECK(got == "!EBADF");
}

TEST_CASE("fork: a stall_watch of a child's own passes the signals of others on, once") {
    WIRE_LEAVE_OUT_IF(under_tsan, "it lets no forked child start threads");
    runtime rt;
    const begun_watch watch(rt);
    const death d = run_in_child([] {
        must(run([] { ::raise(SIGURG); }, {.stall = 10s}) == 0, "run");
        struct sigaction now {};
        ::sigaction(SIGURG, nullptr, &now);
        must(now.sa_handler == SIG_DFL, "what there was before the first watch is back");
    });
    CAPTURE(d.said);
    CHECK(d.signal == 0);
    CHECK(d.code == 0);
}

TEST_CASE("fork: a child may close its copies of descriptors; the parent's wires go on waiting") {
    for (const bool tcp : {false, true}) {
        CAPTURE(tcp);
        on_wires([&] {
            auto [near, far] = tcp ? tcp_pair() : unix_pair();
            auto door = io::listen_tcp("127.0.0.1", 0).value();
            io::readable_wait readable(far.native_handle());
            auto accepted = spawn([&] { return door.accept(soon()).has_value(); });
            auto read = spawn([&, &f = far] { return take(f); });
            CHECK(sleep(shortly()));
            const death d = run_in_child([&, &n = near, &f = far] {
                n.close();
                f.close();
                door.close();
            });
            CAPTURE(d.said);
            CHECK(d.code == 0);
            CHECK(d.signal == 0);
            put(near, "still here");
            CHECK(read.join(soon()).value() == "still here");
            auto knocks = io::connect_tcp("127.0.0.1", door.port(), soon());
            CHECK(knocks);
            CHECK(accepted.join(soon()).value());
        });
    }
}

// Those of them that a program gets which is executed.
std::set<int> inherited_of(const std::set<int>& all) {
    std::set<int> left;
    for (const int fd : all)
        if ((::fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) left.insert(fd);
    return left;
}

// What a program that this process forks and executes finds open.
std::set<int> open_in_child() {
    int ends[2];
    CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDOUT_FILENO);
        ::execlp("ls", "ls", "/proc/self/fd", nullptr);
        ::_exit(127);
    }
    ::close(ends[1]);
    std::FILE* const out = ::fdopen(ends[0], "r");
    std::set<int> all;
    for (int fd = 0; std::fscanf(out, "%d", &fd) == 1;) all.insert(fd);
    std::fclose(out);
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    return all;
}

// One of each kind of thing that has a descriptor, all used.
struct everything {
    everything() : ring(shm::ring::create_anonymous({.producers = 2, .lane_bytes = 4096})) {
        talk(tcp.first, tcp.second);
        talk(unix.first, unix.second);
        CHECK(a_file.has_value());
        CHECK(io::offload([] { return 1; }).value() == 1);
        CHECK(sleep(shortly()));
        log(io::log_level::info, "a line");
        CHECK(log.flush(soon()));
        pass_descriptor();
    }
    void pass_descriptor() {
        const int out = pipe.first.native_handle();
        CHECK(unix.first.send_descriptors({&out, 1}, std::as_bytes(std::span("x", 1)), soon()));
        std::array<std::byte, 8> bytes{};
        CHECK(unix.second.receive_descriptors({&passed, 1}, bytes, soon()));
    }

    const temporary_directory folder;
    listener local = io::listen_unix(folder / "socket").value();
    stream_pair tcp = tcp_pair();
    stream_pair unix = unix_pair();
    io::datagram udp = io::bind_udp("127.0.0.1", 0).value();
    std::pair<io::pipe_end, io::pipe_end> pipe = io::make_pipe().value();
    io::splicer splicer = io::splicer::make().value();
    result<io::file> a_file = io::make_temporary_file((folder / ".").c_str());
    io::signals signals{SIGUSR1};
    io::owned_descriptor passed;
    io::datagram syslog = io::bind_unix_datagram(folder / "log").value();
    io::log log{io::syslog_options{.path = folder / "log"}};
    std::optional<io::process> cat;
    shm::ring ring;
};

TEST_CASE("fork: no descriptor of the library survives exec") {
    const std::set<int> before = descriptors();
    std::set<int> expected = inherited_of(before);
    runtime rt({.stack = {.size = 256 * 1024}});
    const io::reactor reactor(rt);
    const io::dump_on_quit dumps(rt);
    const begun_watch watch(rt);
    rt.go([&] {
        everything all;
        if (!under_valgrind())
            all.cat = io::process::start({"cat"}, {.in = io::child_stream::pipe}).value();
        CHECK(descriptors().size() >= before.size() + 18);
        CHECK(inherited_of(descriptors()) == expected);
        std::set<int> found = open_in_child();
        // ls has the folder open, at the lowest number that is free.
        int folder = 0;
        while (expected.contains(folder)) ++folder;
        expected.insert(folder);
        CHECK(found == expected);
    });
    CHECK(rt.run());
}

// What a child has to do between fork and exec by hand; see docs/fork-and-stalls.md.
void undo_signals() {
    for (int n = 1; n < NSIG; ++n) ::signal(n, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Whether the program that is executed finds no signal blocked.
bool finds_signals_unblocked(void (*between)()) {
    const pid_t child = ::fork();
    if (child == 0) {
        const int null = ::open("/dev/null", O_WRONLY);
        ::dup2(null, STDOUT_FILENO);
        between();
        ::execlp("grep", "grep", "-E", "^SigBlk:\\s0+$", "/proc/self/status", nullptr);
        ::_exit(127);
    }
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 0;
}

TEST_CASE("fork: what io::signals and helper threads block stays blocked, until it is undone") {
    on_wires([] {
        CHECK(finds_signals_unblocked([] {}));
        const io::signals taken{SIGUSR1};
        CHECK_FALSE(finds_signals_unblocked([] {}));
        CHECK(finds_signals_unblocked(&undo_signals));
        CHECK_FALSE(io::offload([] { return finds_signals_unblocked([] {}); }).value());
        CHECK(io::offload([] { return finds_signals_unblocked(&undo_signals); }).value());
    });
}

// A server and its client, both on wires; writes a byte to `done` if all went well.
void serve_once(int done) {
    auto door = io::listen_tcp("127.0.0.1", 0).value();
    auto server = spawn([&] {
        auto peer = door.accept(soon());
        return peer && peer->write_all("hello", soon());
    });
    auto s = io::connect_tcp("127.0.0.1", door.port(), soon()).value();
    const bool ok = take_all(s) == "hello" && server.join(soon()).value() &&
                    io::offload([] { return true; }).value();
    if (ok) static_cast<void>(!::write(done, "x", 1));
}

// Serves from a daemon whose standard descriptors are `closed`, or lead to /dev/null.
void be_daemon(int done, bool closed) {
    runtime rt({.stack = {.size = 256 * 1024}});
    const io::reactor reactor(rt);
    rt.go([done] { serve_once(done); });
    if (::fork() != 0) ::_exit(0);
    must(::setsid() > 0, "setsid");
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int fd : {0, 1, 2}) closed ? ::close(fd) : ::dup2(null, fd);
    // A line for standard error would go to the library's own, which may have that number.
    if (closed) set_diagnostics_handler([](diagnostic, std::string_view) noexcept {});
    ::_exit(rt.run() ? 0 : 4);
}

TEST_CASE("fork: a process may become a daemon before run, also with its runtime made already") {
    WIRE_LEAVE_OUT_IF(under_tsan, "it lets no forked child start threads");
    for (const bool closed : {false, true}) {
        CAPTURE(closed);
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        CHECK(run_in_child([&] { be_daemon(ends[1], closed); }).code == 0);
        ::close(ends[1]);
        char c = 0;
        CHECK(::read(ends[0], &c, 1) == 1);
        ::close(ends[0]);
    }
}

TEST_CASE("fork: a child of a process whose runtime does not run may have one of its own") {
    WIRE_LEAVE_OUT_IF(under_tsan, "it lets no forked child start threads");
    used_runtime u;
    const begun_watch watch(*u.rt);
    const death d = run_in_child([] {
        int ends[2];
        must(::pipe(ends) == 0, "pipe");
        must(run([&] { serve_once(ends[1]); }, {.stall = 10s}) == 0, "run");
        char c = 0;
        must(::read(ends[0], &c, 1) == 1, "the server has served");
    });
    CAPTURE(d.said);
    CHECK(d.code == 0);
    CHECK(d.signal == 0);
}

}  // namespace
}  // namespace wire::test
