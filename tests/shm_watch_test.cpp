// Whom the consumer of a ring watches: whoever owns a lane, however it hears of it.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include <wire/shm/detail/identity.hpp>
#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>
#include "support/failing_call.hpp"
#include "support/ring_file.hpp"

namespace wire::test {
namespace {

using namespace std::chrono_literals;
using shm::producer;
using shm::ring;

constexpr shm::ring_options small{.producers = 4, .lane_bytes = 4096};

/// A process that owns a lane until it is killed.
class owner {
public:
    explicit owner(const std::string& path) {
        std::array<int, 2> attached{};
        REQUIRE(::pipe(attached.data()) == 0);
        child_ = ::fork();
        if (child_ == 0) {
            producer p;
            if (p.attach_file(path.c_str()) || ::write(attached[1], "", 1) != 1) ::_exit(1);
            for (;;) ::pause();
        }
        ::close(attached[1]);
        char c;
        CHECK(::read(attached[0], &c, 1) == 1);
        ::close(attached[0]);
    }
    ~owner() { kill(); }
    owner(const owner&) = delete;
    owner& operator=(const owner&) = delete;

    void kill() {
        if (child_ == 0) return;
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
        child_ = 0;
    }

private:
    pid_t child_ = 0;
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

}  // namespace
}  // namespace wire::test
