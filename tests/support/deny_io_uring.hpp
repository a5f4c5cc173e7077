// Denies io_uring to the process, as containers and hardened kernels do.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <string_view>

namespace wire::test {

/// From now on the three system calls fail with `error`, in this thread and in what it starts, also
/// after an exec. Needs no privilege, and cannot be taken back. False, with errno, if refused.
inline bool deny_io_uring(int error) {
    static_assert(SYS_io_uring_enter == SYS_io_uring_setup + 1 &&
                  SYS_io_uring_register == SYS_io_uring_setup + 2);
    sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{std::size(steps), steps};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/// EPERM, ENOSYS or ENOMEM by its name; 0 for any other.
inline int denial(std::string_view name) {
    if (name == "EPERM") return EPERM;
    if (name == "ENOSYS") return ENOSYS;
    return name == "ENOMEM" ? ENOMEM : 0;
}

}  // namespace wire::test
