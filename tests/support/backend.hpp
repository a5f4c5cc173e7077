// Which backend the tests run on: the environment variable WIRE_REACTOR chooses it.
#pragma once

#include <wire/reactor.hpp>
#include <wire/runtime.hpp>

namespace wire::test {

inline bool on_io_uring() {
    static const bool it_is = [] {
        runtime rt;
        return io::reactor(rt).backend() == "io_uring";
    }();
    return it_is;
}

/// The system call that a reactor sleeps in.
inline const char* sleeping_call() {
    return on_io_uring() ? "io_uring_enter" : "epoll_pwait2";
}

}  // namespace wire::test
