// The filter that denies io_uring: it denies, with the error that was asked for, and nothing else.
#include "support/deny_io_uring.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>

#include "support/dies.hpp"
#include "support/environment.hpp"

namespace wire::test {
namespace {

// What the kernel, or a filter, says to the first and the last of the three calls, made wrongly.
void expect_denied(int error) {
    for (const long call : {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register}) {
        errno = 0;
        must(::syscall(call, -1, nullptr, 0, 0, nullptr, 0) == -1, "a call that fails");
        must(errno == error, "the error that was asked for");
    }
    must(::getppid() > 0, "any other call");
    must(::syscall(SYS_io_uring_setup - 1, -1, 0, nullptr, 0) == -1 && errno == EBADF,
         "the call before");
    must(::syscall(SYS_io_uring_register + 1, -1, "x", 0) == -1 && errno == EBADF,
         "the call after");
}

TEST_CASE("deny io_uring: all of it fails with the error that was asked for, and nothing else") {
    WIRE_LEAVE_OUT_IF(under_valgrind(), "Valgrind answers these calls itself");
    for (const int error : {EPERM, ENOSYS, ENOMEM}) {
        const death end = run_in_child([error] {
            must(deny_io_uring(error), "a filter");
            expect_denied(error);
        });
        CAPTURE(error);
        INFO(end.said);
        CHECK(end.code == 0);
        CHECK(end.signal == 0);
    }
}

// Under one of the test setups no_io_uring_*: they do what they are for.
TEST_CASE("deny io_uring: the program that was run under the filter cannot use it") {
    const char* const name = std::getenv("WIRE_TEST_DENIED");
    if (!name) return;
    const death end = run_in_child([error = denial(name)] { expect_denied(error); });
    INFO(end.said);
    CHECK(end.code == 0);
}

}  // namespace
}  // namespace wire::test
