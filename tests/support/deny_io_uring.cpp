// Runs a program to which io_uring is denied:
//
//     deny_io_uring EPERM|ENOSYS|ENOMEM PROGRAM [ARGUMENT...]
//
// The program finds the name of the error in WIRE_TEST_DENIED.
#include "support/deny_io_uring.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
    const int error = argc > 2 ? wire::test::denial(argv[1]) : 0;
    if (error == 0) {
        std::fprintf(stderr, "usage: %s EPERM|ENOSYS|ENOMEM PROGRAM [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    if (!wire::test::deny_io_uring(error)) {
        std::perror("deny_io_uring: seccomp");
        return 2;
    }
    ::setenv("WIRE_TEST_DENIED", argv[1], 1);
    ::execvp(argv[2], argv + 2);
    std::perror(argv[2]);
    return 127;
}
