// Who a process is, for as long as the machine runs: its number and when it was started, in one
// word. Numbers are used again, the pair is not. Meant in one pid namespace
// and in one time namespace, which shifts what /proc says of starts.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace wire::shm::detail {

class identity {
public:
    static constexpr unsigned start_bits = 41;  // ticks since the machine was started: 697 years
    static constexpr std::uint64_t nobody = 0;
    /// In the word of a lane's owner: it is about to attach, and the consumer may not know of it.
    static constexpr std::uint64_t arriving = std::uint64_t{1} << start_bits;
    static constexpr const char* needs_proc =
        "/proc cannot be read, or is of another pid namespace: nobody could tell who has died";

    /// The calling process; `nobody`, and errno, if /proc cannot be read, or tells of other
    /// processes: those of another pid namespace, where numbers mean something else.
    static std::uint64_t mine() noexcept {
        std::uint64_t who = nobody;
        errno = ENOENT;
        if (proc_is_ours()) look_up(::getpid(), who);
        return who;
    }
    static pid_t pid(std::uint64_t who) noexcept {
        return static_cast<pid_t>(who >> (start_bits + 1));
    }

    /// Whether that process has ended: also if nobody has waited for it yet. False if the system
    /// does not tell.
    static bool has_ended(std::uint64_t who) noexcept {
        if (pid(who) == 0) return true;  // nobody's number; to kill(2) it means something else
        std::uint64_t now = nobody;
        if (look_up(pid(who), now)) return now != who;
        // Hidden processes look like none.
        return ::kill(pid(who), 0) != 0 && errno == ESRCH;
    }

    /// The namespaces of the calling process in which numbers and starts are meant; 0 if /proc
    /// cannot be read, or if the system has none of that kind.
    static std::uint64_t pid_namespace() noexcept { return inode_of("/proc/self/ns/pid"); }
    static std::uint64_t time_namespace() noexcept { return inode_of("/proc/self/ns/time"); }

private:
    static std::uint64_t inode_of(const char* path) noexcept {
        struct stat s {};
        return ::stat(path, &s) == 0 ? s.st_ino : 0;
    }
    static bool proc_is_ours() noexcept {
        char text[32];
        const ssize_t n = ::readlink("/proc/self", text, sizeof text - 1);
        if (n <= 0) return false;
        text[n] = '\0';
        return std::strtoull(text, nullptr, 10) == static_cast<std::uint64_t>(::getpid());
    }
    // Returns false if there is nothing to be read of it. `nobody`: it has ended.
    static bool look_up(pid_t p, std::uint64_t& who) noexcept {
        char path[32], text[1024];
        std::snprintf(path, sizeof path, "/proc/%d/stat", static_cast<int>(p));
        const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) return false;
        const ssize_t n = ::read(fd, text, sizeof text - 1);
        ::close(fd);
        if (n <= 0) return false;
        text[n] = '\0';
        // The name, in parentheses, may contain anything.
        const char* at = std::strrchr(text, ')');
        if (!at || at + 2 >= text + n) return false;
        const char state = at[2];
        std::uint64_t threads = 0, started = 0;
        if (!field_after(at + 2, 20 - 3, threads) || !field_after(at + 2, 22 - 3, started))
            return false;
        // The state is that of the first thread, which others may outlive.
        const bool ended = state == 'X' || (state == 'Z' && threads <= 1);
        who = ended ? nobody
                    : static_cast<std::uint64_t>(p) << (start_bits + 1) |
                          (started & ((std::uint64_t{1} << start_bits) - 1));
        return true;
    }
    static bool field_after(const char* at, int fields, std::uint64_t& value) noexcept {
        for (; fields > 0; --fields) {
            at = std::strchr(at, ' ');
            if (!at) return false;
            ++at;
        }
        value = std::strtoull(at, nullptr, 10);
        return true;
    }
};

}  // namespace wire::shm::detail
