// The number of system calls of another process, from a tracepoint of the kernel.
#pragma once

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

/// Counts those of the threads that a process has and of all that they start from then on. Without
/// the right to do so, or with 0 for the process, it has no count.
class syscall_counter {
public:
    explicit syscall_counter(int pid) {
        const long id = pid > 0 ? tracepoint() : -1;
        if (id < 0) return;
        std::error_code gone;
        const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
        for (const auto& task : std::filesystem::directory_iterator(tasks, gone))
            add(static_cast<std::uint64_t>(id), std::atoi(task.path().filename().c_str()));
    }
    ~syscall_counter() {
        for (const int fd : fds_) ::close(fd);
    }
    syscall_counter(const syscall_counter&) = delete;
    syscall_counter& operator=(const syscall_counter&) = delete;

    [[nodiscard]] bool works() const { return !fds_.empty(); }

    /// 0 if it does not work.
    [[nodiscard]] std::int64_t read() const {
        std::int64_t sum = 0;
        for (const int fd : fds_) {
            std::int64_t count = 0;
            if (::read(fd, &count, sizeof count) != sizeof count) std::perror("perf event");
            sum += count;
        }
        return sum;
    }

private:
    static long tracepoint() {
        std::FILE* const f =
            std::fopen("/sys/kernel/tracing/events/raw_syscalls/sys_enter/id", "r");
        if (!f) return -1;
        long id = -1;
        if (std::fscanf(f, "%ld", &id) != 1) id = -1;
        std::fclose(f);
        return id;
    }

    void add(std::uint64_t id, int thread) {
        perf_event_attr what{};
        what.type = PERF_TYPE_TRACEPOINT;
        what.size = sizeof what;
        what.config = id;
        what.inherit = 1;
        const long fd = ::syscall(SYS_perf_event_open, &what, thread, -1, -1, 0);
        if (fd >= 0) fds_.push_back(static_cast<int>(fd));
    }

    std::vector<int> fds_;
};
