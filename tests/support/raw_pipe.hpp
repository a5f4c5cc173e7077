// A pipe that the library knows only by its numbers.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

namespace wire::test {

struct raw_pipe {
    raw_pipe() { CHECK(::pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0); }
    ~raw_pipe() {
        ::close(fds[0]);
        ::close(fds[1]);
    }
    raw_pipe(const raw_pipe&) = delete;
    raw_pipe& operator=(const raw_pipe&) = delete;
    void put() const { CHECK(::write(fds[1], "x", 1) == 1); }
    [[nodiscard]] bool take() const {
        char c;
        return ::read(fds[0], &c, 1) == 1;
    }
    int fds[2];
};

}  // namespace wire::test
