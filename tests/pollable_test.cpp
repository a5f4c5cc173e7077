// Every kind of descriptor that the system can poll, and the kinds that it cannot: waited for alone
// and in a list, with deadlines, and while another library closes and reopens what is waited for.
#include "support/io.hpp"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include <functional>
#include <memory>
#include <vector>

#include <wire/spawn.hpp>
#include <wire/wait.hpp>
#include <wire/wait_fd.hpp>

#include "support/backend.hpp"
#include "support/environment.hpp"

namespace wire::test {
namespace {

using io::readable_wait;
using io::wait_readable;
using io::wait_writable;
using io::writable_wait;

std::string outcome(const result<void>& r) {
    return error_name(r.code());
}

// ---- What can be polled

// A descriptor that is not ready in one direction.
struct pollable {
    const char* name;
    int fd;
    std::vector<int> others;             // to be closed, too
    std::function<void()> make_ready;    // now it is
    std::function<void()> take_it_back;  // and now no longer; empty: impossible
    bool writable = false;               // the direction

    [[nodiscard]] result<void> wait_for(deadline until) const {
        return writable ? wait_writable(fd, until) : wait_readable(fd, until);
    }
    void close() const {
        ::close(fd);
        for (const int other : others) ::close(other);
    }
};

void send_to(int fd) {
    CHECK(::write(fd, "x", 1) == 1);
}
// Until nothing is left, or nothing fits.
void read_all(int fd) {
    std::array<char, 65536> buffer;
    while (::read(fd, buffer.data(), buffer.size()) > 0) {
    }
    CHECK(errno == EAGAIN);
}
void stuff(int fd) {
    const std::array<char, 4096> chunk{};
    while (::write(fd, chunk.data(), chunk.size()) > 0) {
    }
    CHECK(errno == EAGAIN);
}

pollable fed_by(const char* name, int fd, int feeder) {
    return {name, fd, {feeder}, [=] { send_to(feeder); }, [=] { read_all(fd); }};
}
pollable drained_by(const char* name, int fd, int drain) {
    stuff(fd);
    return {name, fd, {drain}, [=] { read_all(drain); }, [=] { stuff(fd); }, true};
}

std::array<int, 2> pipe_of() {
    std::array<int, 2> fds{};
    CHECK(::pipe2(fds.data(), O_NONBLOCK | O_CLOEXEC) == 0);
    return fds;
}
std::array<int, 2> pair_of(int type) {
    std::array<int, 2> fds{};
    CHECK(::socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
    return fds;
}

pollable fifo_kind() {
    char folder[] = "/tmp/wire-fifo-XXXXXX";
    CHECK(::mkdtemp(folder));
    const std::string path = std::string(folder) + "/fifo";
    CHECK(::mkfifo(path.c_str(), 0600) == 0);
    const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    const int writer = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    ::unlink(path.c_str());
    ::rmdir(folder);
    return fed_by("fifo", reader, writer);
}

pollable eventfd_kind() {
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return {"eventfd", fd, {}, [=] { ::eventfd_write(fd, 1); }, [=] { read_all(fd); }};
}

pollable full_eventfd_kind() {
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    const auto fill = [=] { CHECK(::eventfd_write(fd, ~std::uint64_t{1}) == 0); };
    fill();
    return {"full eventfd", fd, {}, [=] { read_all(fd); }, fill, true};
}

pollable timerfd_kind() {
    const int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    const auto set = [=] {
        itimerspec in_a_moment{};
        in_a_moment.it_value.tv_nsec = 100'000;
        CHECK(::timerfd_settime(fd, 0, &in_a_moment, nullptr) == 0);
    };
    const auto take = [=] {
        CHECK(wait_readable(fd, soon()));  // the timer may not have fired yet
        read_all(fd);
    };
    return {"timerfd", fd, {}, set, take};
}

pollable signalfd_kind() {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGURG);  // ignored, should it stay pending
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    const int fd = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    read_all(fd);  // what an earlier test has left
    return {"signalfd", fd, {}, [] { ::kill(::getpid(), SIGURG); }, [=] { read_all(fd); }};
}

pollable inotify_kind() {
    char name[] = "/tmp/wire-inotify-XXXXXX";
    const int file = ::mkstemp(name);
    const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    CHECK(::inotify_add_watch(fd, name, IN_MODIFY) >= 0);
    ::unlink(name);
    return {"inotify", fd, {file}, [=] { send_to(file); }, [=] { read_all(fd); }};
}

pollable pidfd_kind() {
    const pid_t child = ::fork();
    if (child == 0) {
        ::pause();
        ::_exit(0);
    }
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
    return {"pidfd", fd, {}, [=] { ::kill(child, SIGKILL); }, {}};
}

pollable epoll_kind() {
    const int inner = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    const int fd = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    CHECK(::epoll_ctl(fd, EPOLL_CTL_ADD, inner, &event) == 0);
    return {"epoll", fd, {inner}, [=] { ::eventfd_write(inner, 1); }, [=] { read_all(inner); }};
}

pollable terminal_kind() {
    const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    CHECK(::unlockpt(master) == 0);
    char name[64];
    CHECK(::ptsname_r(master, name, sizeof name) == 0);
    return fed_by("terminal", master, ::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
}

pollable udp_kind() {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int sender = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto any = io::address::ip("127.0.0.1", 0).value();
    CHECK(::bind(fd, any.raw(), any.length()) == 0);
    sockaddr_storage at;
    socklen_t length = sizeof at;
    auto* const raw = reinterpret_cast<sockaddr*>(&at);
    CHECK(::getsockname(fd, raw, &length) == 0);
    CHECK(::connect(sender, raw, length) == 0);
    return fed_by("udp", fd, sender);
}

pollable listening_kind() {
    const int fd = io::listen_unix(own_address("pollable"))->release();
    const auto knock = [] { CHECK(io::connect_unix(own_address("pollable"), soon())); };
    const auto open = [=] {
        const int peer = ::accept(fd, nullptr, nullptr);
        CHECK(peer >= 0);
        ::close(peer);
    };
    return {"listening socket", fd, {}, knock, open};
}

std::vector<pollable> kinds() {
    const auto a = pipe_of(), b = pipe_of();
    const auto c = pair_of(SOCK_STREAM), d = pair_of(SOCK_STREAM), e = pair_of(SOCK_DGRAM);
    const auto f = pair_of(SOCK_SEQPACKET);
    std::vector<pollable> all{fed_by("pipe", a[0], a[1]),
                              drained_by("full pipe", b[1], b[0]),
                              fed_by("stream socket", c[0], c[1]),
                              drained_by("full stream socket", d[0], d[1]),
                              fed_by("datagram socket", e[0], e[1]),
                              fed_by("packet socket", f[0], f[1]),
                              fifo_kind(),
                              eventfd_kind(),
                              full_eventfd_kind(),
                              timerfd_kind(),
                              signalfd_kind(),
                              inotify_kind(),
                              epoll_kind(),
                              terminal_kind(),
                              udp_kind(),
                              listening_kind()};
    if (under_valgrind())
        MESSAGE("left out: pidfd, which this Valgrind does not know");
    else
        all.push_back(pidfd_kind());
    return all;
}

template <class Way>
void for_each_kind(Way way) {
    on_wires([&] {
        for (const pollable& p : kinds()) {
            CAPTURE(std::string(p.name));
            CHECK(p.fd >= 0);
            way(p);
            p.close();
        }
        while (::waitpid(-1, nullptr, WNOHANG) > 0) {
        }
    });
}

TEST_CASE("pollable: each kind, alone: a deadline, then readiness, then a deadline again") {
    for_each_kind([](const pollable& p) {
        CHECK(outcome(p.wait_for(shortly())) == "!ETIMEDOUT");
        auto waiting = spawn([&] { return outcome(p.wait_for(soon())); });
        let_others_run();
        CHECK_FALSE(waiting.finished());
        p.make_ready();
        CHECK(waiting.join(soon()).value() == "");
        CHECK(outcome(p.wait_for(soon())) == "");  // still
        if (!p.take_it_back) return;
        p.take_it_back();
        CHECK(outcome(p.wait_for(shortly())) == "!ETIMEDOUT");
    });
}

TEST_CASE("pollable: each kind, cancelled while it is waited for, and then ready") {
    for_each_kind([](const pollable& p) {
        auto waiting = spawn([&] { return outcome(p.wait_for(never)); });
        let_others_run();
        waiting.cancel();
        CHECK(waiting.join(soon()).value() == "!ECANCELED");
        p.make_ready();
        CHECK(outcome(p.wait_for(soon())) == "");
    });
}

template <class Wait>
void in_a_list(const pollable& p) {
    Wait ready(p.fd);
    wire::timer limit(within(1h));
    wait_list either;
    either.chain(limit);
    either.chain(ready);
    CHECK(either.await(shortly()).code() == ETIMEDOUT);
    for (int i = 0; i < 3; ++i) {
        go([&] { p.make_ready(); });
        CHECK(either.await(soon()).value_or(nullptr) == &ready);
        CHECK(ready.status());
        if (!p.take_it_back) return;
        p.take_it_back();
        ready.reset();
    }
    limit.arm(within(1ms));
    CHECK(either.await(soon()).value_or(nullptr) == &limit);
}

TEST_CASE("pollable: each kind, in a list with a timer and a deadline") {
    for_each_kind([](const pollable& p) {
        if (p.writable)
            in_a_list<writable_wait>(p);
        else
            in_a_list<readable_wait>(p);
    });
}

TEST_CASE("pollable: the one that is ready is found among a hundred in a list") {
    on_wires([] {
        std::vector<int> fds;
        std::vector<std::unique_ptr<readable_wait>> waits;
        wait_list any;
        for (int i = 0; i < 100; ++i) {
            fds.push_back(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
            any.chain(*waits.emplace_back(std::make_unique<readable_wait>(fds.back())));
        }
        CHECK(any.await(shortly()).code() == ETIMEDOUT);
        for (std::size_t i = 0; i < fds.size(); i += 7) {
            go([fd = fds[i]] { CHECK(::eventfd_write(fd, 1) == 0); });
            CHECK(any.await(soon()).value_or(nullptr) == waits[i].get());
            read_all(fds[i]);
            waits[i]->reset();
        }
        waits.clear();
        for (const int fd : fds) ::close(fd);
    });
}

// ---- What cannot be polled

// Files on a disk, and what resembles them: they are always ready, or refused, and never waited
// for.
std::vector<int> files() {
    char name[] = "/tmp/wire-file-XXXXXX";
    const int written = ::mkstemp(name);
    CHECK(::write(written, "text", 4) == 4);  // the position is at the end
    const int read = ::open(name, O_RDONLY | O_CLOEXEC);
    const int direct = ::open(name, O_RDWR | O_APPEND | O_DIRECT | O_CLOEXEC);
    ::unlink(name);
    return {written,
            read,
            direct >= 0 ? direct : ::dup(written),
            ::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
            ::open("/dev/null", O_RDWR | O_CLOEXEC),
            ::open("/dev/zero", O_RDWR | O_CLOEXEC),
            ::open("/proc/self/status", O_RDONLY | O_CLOEXEC),
            ::memfd_create("wire-pollable", MFD_CLOEXEC)};
}

TEST_CASE("pollable: files are ready at once, in both directions, also after the deadline") {
    on_wires([] {
        for (const int fd : files()) {
            CAPTURE(fd);
            CHECK(fd >= 0);
            for (const deadline until : {never, within(-1s)}) {
                CHECK(outcome(wait_readable(fd, until)) == "");
                CHECK(outcome(wait_writable(fd, until)) == "");
            }
            const readable_wait to_read(fd);
            const writable_wait to_write(fd);
            CHECK(to_read.triggered());
            CHECK(to_read.status());
            CHECK(to_write.triggered());
            CHECK(to_write.status());
            ::close(fd);
        }
    });
}

TEST_CASE("pollable: a descriptor that is only a path is refused") {
    on_wires([] {
        const int fd = ::open("/tmp", O_PATH | O_CLOEXEC);
        CHECK(outcome(wait_readable(fd)) == "!EBADF");
        const writable_wait in_list(fd);
        CHECK(in_list.triggered());
        CHECK(in_list.status().code() == EBADF);
        ::close(fd);
    });
}

// ---- Closed and reopened behind our back

// What another library does to a number that we wait for.
void reopen(int number, int fresh) {
    CHECK(::dup2(fresh, number) == number);
    ::close(fresh);
}

TEST_CASE("pollable: closed during a wait, only the deadline ends it, and the next wait says so") {
    on_wires([] {
        const int fd = ::eventfd(0, EFD_CLOEXEC);
        // io_uring has not been told of the wait before.
        const deadline until = on_io_uring() ? soon() : shortly();
        auto alone = spawn([&] { return outcome(wait_readable(fd, until)); });
        yield();
        ::close(fd);
        CHECK(alone.join(soon()).value() == (on_io_uring() ? "!EBADF" : "!ETIMEDOUT"));
        CHECK(outcome(wait_readable(fd, soon())) == "!EBADF");
    });
}

TEST_CASE("pollable: reopened during a wait, the next wait is for the new file") {
    on_wires([] {
        const int fd = ::eventfd(0, EFD_CLOEXEC);
        auto before = spawn([&] { return outcome(wait_readable(fd, within(100ms))); });
        let_others_run();
        reopen(fd, ::eventfd(0, EFD_CLOEXEC));
        auto after = spawn([&] { return outcome(wait_readable(fd, soon())); });
        let_others_run();
        CHECK_FALSE(after.finished());
        ::eventfd_write(fd, 1);
        CHECK(after.join(soon()).value() == "");
        // Whether one that has waited for the old file hears of the new one is left open.
        const std::string old = before.join(soon()).value();
        CHECK((old == "" || old == "!ETIMEDOUT"));
        ::close(fd);
    });
}

TEST_CASE("pollable: reopened as a file, or as another kind, while a wait in a list goes on") {
    on_wires([] {
        const int fd = ::eventfd(0, EFD_CLOEXEC);
        readable_wait data(fd);
        wait_list only;
        only.chain(data);
        CHECK(only.await(shortly()).code() == ETIMEDOUT);
        reopen(fd, ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
        data.reset();
        CHECK(only.await(soon()).value_or(nullptr) == &data);
        const auto [reader, writer] = pipe_of();
        reopen(fd, reader);
        data.reset();
        CHECK(only.await(shortly()).code() == ETIMEDOUT);
        send_to(writer);
        CHECK(only.await(soon()).value_or(nullptr) == &data);
        CHECK(data.status());
        ::close(writer);
        ::close(fd);
    });
}

TEST_CASE("pollable: a library that opens and closes its sockets all the time is followed") {
    // As a resolver does: each question has a socket, with the number of the one before.
    on_wires([] {
        const int standing = ::eventfd(0, EFD_CLOEXEC);
        readable_wait quit(standing);
        for (int i = 0; i < 500; ++i) {
            const auto pair = pair_of(i % 2 ? SOCK_STREAM : SOCK_DGRAM);
            {
                readable_wait answer(pair[0]);
                wait_list either;
                either.chain(quit);
                either.chain(answer);
                if (i % 3) go([&] { send_to(pair[1]); });
                const auto woken = either.await(i % 3 ? soon() : within(0s));
                CHECK(woken.value_or(nullptr) == (i % 3 ? &answer : nullptr));
            }
            ::close(pair[0]);
            ::close(pair[1]);
        }
        quit.stop();
        ::close(standing);
    });
}

}  // namespace
}  // namespace wire::test
