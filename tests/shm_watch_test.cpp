// Whom the consumer of a ring watches: whoever owns a lane, however it hears of it.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <wire/shm/detail/identity.hpp>
#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>
#include "support/failing_call.hpp"
#include "support/ring_file.hpp"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace wire::test {
namespace {

using namespace std::chrono_literals;
using shm::producer;
using shm::ring;

constexpr shm::ring_options small{.producers = 4, .lane_bytes = 4096};

/// A process that owns a lane, until it leaves it or is killed.
class owner {
public:
    explicit owner(const std::string& path) {
        std::array<int, 2> ends{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
        child_ = ::fork();
        if (child_ == 0) own(path, ends[1]);
        ::close(ends[1]);
        to_it_ = ends[0];
        await();
    }
    ~owner() {
        kill();
        ::close(to_it_);
    }
    owner(const owner&) = delete;
    owner& operator=(const owner&) = delete;

    void leave() const {
        CHECK(::write(to_it_, "", 1) == 1);
        await();
    }
    void kill() {
        if (child_ == 0) return;
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
        child_ = 0;
    }

private:
    [[noreturn]] static void own(const std::string& path, int parent) {
        producer p;
        char c;
        if (p.attach_file(path.c_str()) || ::write(parent, "", 1) != 1) ::_exit(1);
        if (::read(parent, &c, 1) == 1) p.detach();
        if (::write(parent, "", 1) != 1) ::_exit(1);
        for (;;) ::pause();
    }
    void await() const {
        char c;
        CHECK(::read(to_it_, &c, 1) == 1);
    }

    pid_t child_ = 0;
    int to_it_ = -1;
};

// Without ever sleeping on the ring.
int first_error(ring& r, deadline until) {
    int error = EAGAIN;
    while (error == EAGAIN && deadline(std::chrono::steady_clock::now()) < until)
        error = r.try_peek().code();
    return error;
}

TEST_CASE("shm watch: who was attached before the consumer came is watched, if it never waits") {
    const ring_file file(small);
    owner one(file.path());
    ring r = ring::open_file(file.path());
    CHECK(r.try_peek().code() == EAGAIN);
    one.kill();
    CHECK(first_error(r, within(10s)) == EOWNERDEAD);
    CHECK(r.producers() == 0);
}

TEST_CASE("shm watch: who died before the consumer came is told, if it never waits") {
    const ring_file file(small);
    owner(file.path()).kill();
    ring r = ring::open_file(file.path());
    CHECK(first_error(r, within(10s)) == EOWNERDEAD);
    CHECK(r.producers() == 0);
}

TEST_CASE("shm watch: who cannot be watched is looked at") {
    const ring_file file(small);
    ring r = ring::open_file(file.path());
    owner watched(file.path());
    CHECK(r.peek(within(1ms)).code() == ETIMEDOUT);  // its watching goes well
    owner one(file.path());
    {
        const failing_call no_more("epoll_ctl", ENOSPC);
        CHECK(r.peek(within(1ms)).code() == ETIMEDOUT);
        CHECK(r.peek(within(1ms)).code() == ETIMEDOUT);
        one.kill();
        CHECK(r.peek(within(10s)).code() == EOWNERDEAD);
    }
    CHECK(r.producers() == 1);
}

TEST_CASE("shm watch: processes that have left keep few descriptors open, though they live") {
    const ring_file file(small);
    ring r = ring::open_file(file.path());
    const auto descriptors = [] {
        const std::filesystem::directory_iterator open("/proc/self/fd");
        return std::distance(begin(open), end(open));
    };
    std::vector<std::unique_ptr<owner>> gone;
    const auto before = descriptors();
    for (int i = 0; i < 150; ++i) {
        const owner& one = *gone.emplace_back(std::make_unique<owner>(file.path()));
        CHECK(r.peek(within(0s)).code() == ETIMEDOUT);  // watches it
        one.leave();
    }
    // Of each that lives the test itself has one.
    CHECK(descriptors() - before < 150 + 80);
    owner last(file.path());
    CHECK(r.peek(within(0s)).code() == ETIMEDOUT);
    last.kill();
    CHECK(r.peek(within(10s)).code() == EOWNERDEAD);
}

TEST_CASE("shm watch: an owner that cannot be a process is none") {
    constexpr unsigned pid_at = shm::detail::identity::start_bits + 1;
    CHECK(shm::detail::identity::has_ended(1));                           // of process 0
    CHECK(shm::detail::identity::has_ended(~std::uint64_t{0}));           // beyond all
    CHECK(shm::detail::identity::has_ended(std::uint64_t{1} << pid_at));  // the first, another time
    const ring_file file({.producers = 1, .lane_bytes = 4096});
    file.put(ring_file::first_lane, std::uint64_t{1});
    file.put(ring_file::consumer, std::uint64_t{1});
    ring r = ring::open_file(file.path());
    CHECK(r.peek(within(10s)).code() == EOWNERDEAD);
    CHECK(refusal_of_producer(file.path()) == 0);
}

// It has the ring until it becomes another program: one that copies nothing, until its input ends.
[[noreturn]] void become_another_program(const std::string& path, int input) {
    producer p;
    if (p.attach_file(path.c_str()) || p.try_send(std::array<std::byte, 4>{})) ::_exit(1);
    ::dup2(input, STDIN_FILENO);
    ::execlp("cat", "cat", nullptr);
    ::_exit(2);
}

TEST_CASE("shm watch: a producer that becomes another program keeps its lane until that ends") {
    const ring_file file({.producers = 1, .lane_bytes = 4096});
    ring r = ring::open_file(file.path());
    std::array<int, 2> input{};
    REQUIRE(::pipe2(input.data(), O_CLOEXEC) == 0);
    const pid_t child = ::fork();
    if (child == 0) become_another_program(file.path(), input[0]);
    ::close(input[0]);
    CHECK(r.peek(within(10s))->bytes.size() == 4);
    r.release();
    CHECK(r.peek(within(1ms)).code() == ETIMEDOUT);
    CHECK(refusal_of_producer(file.path()) == EUSERS);
    ::close(input[1]);  // it ends
    CHECK(r.peek(within(10s)).code() == EOWNERDEAD);
    CHECK(r.last_departure().pid == child);
    CHECK(refusal_of_producer(file.path()) == 0);
    ::waitpid(child, nullptr, 0);
}

// Runs `fn` in a process whose clocks, and so all moments at which processes were started, are
// others than those of this one.
template <class F>
int in_another_time(F fn) {
    return in_child([&] {
        if (::unshare(CLONE_NEWTIME) != 0) return not_permitted;
        std::ofstream("/proc/self/timens_offsets") << "boottime 1000 0\n";
        return in_child(fn);
    });
}

TEST_CASE("shm watch: another time namespace is told, and nobody is taken for dead") {
    const ring_file file(small);
    const int code = in_another_time([&] { return refusal_of_producer(file.path()); });
    if (skipped(code, "no time namespace")) return;
    CHECK(code == EXDEV);
    CHECK(in_another_time([&] { return refusal_of_consumer(file.path()); }) == EXDEV);
    owner one(file.path());
    ring r = ring::open_file(file.path());
    CHECK(r.peek(within(1ms)).code() == ETIMEDOUT);
    CHECK(r.producers() == 1);
}

}  // namespace
}  // namespace wire::test
