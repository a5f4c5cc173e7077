// What is told to a process that has no descriptors left.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

namespace wire::test {

/// In a child: calls attempt(), which returns an errno, without any descriptor that is free, then
/// with one more each time, until it works. Returns whether it has said EMFILE before.
template <class F>
bool is_told_of_few_descriptors(F attempt) {
    rlimit few{};
    ::getrlimit(RLIMIT_NOFILE, &few);
    few.rlim_cur = 64;
    ::setrlimit(RLIMIT_NOFILE, &few);
    std::vector<int> taken;
    for (int fd; (fd = ::dup(STDERR_FILENO)) >= 0;) taken.push_back(fd);
    for (int error; (error = attempt()) != 0;) {
        if (error != EMFILE || taken.empty()) return false;
        ::close(taken.back());
        taken.pop_back();
    }
    return true;
}

}  // namespace wire::test
