// Threads of tests: when one of them sleeps.
#pragma once

#include <dirent.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

namespace wire::test {

/// What the kernel says of a thread of this process: 'S' if it sleeps, or has ended.
inline char state_of_thread(pid_t id) {
    const std::string name = "/proc/self/task/" + std::to_string(id) + "/stat";
    std::FILE* const f = std::fopen(name.c_str(), "r");
    if (!f) return 'S';
    char state = 0;
    const int fields = std::fscanf(f, "%*d (%*[^)]) %c", &state);
    std::fclose(f);
    return fields == 1 ? state : 'S';
}

/// How many threads of this process have that name.
inline int threads_named(std::string_view wanted) {
    int n = 0;
    DIR* const all = ::opendir("/proc/self/task");
    while (const dirent* const e = ::readdir(all)) {
        std::ifstream file(std::string("/proc/self/task/") + e->d_name + "/comm");
        std::string name;
        n += std::getline(file, name) && name == wanted;
    }
    ::closedir(all);
    return n;
}

/// A plain thread that runs `fn()`, and is joined at the end of the scope.
class plain_thread {
public:
    template <class F>
    explicit plain_thread(F fn)
        : thread_([this, fn] {
              // [I] release: nothing but itself. Pairs with [I'].
              id_.store(::gettid(), std::memory_order_release);
              fn();
          }) {}

    void join() { thread_.join(); }

    /// Lets time pass until the kernel says that the thread sleeps: as a rule where the test wants
    /// it to; elsewhere the test still holds.
    void let_sleep() const {
        while (state() != 'S') std::this_thread::yield();
    }

private:
    [[nodiscard]] char state() const {
        // [I'] acquire: see [I]. Pairs with [I].
        const pid_t id = id_.load(std::memory_order_acquire);
        return id == 0 ? '\0' : state_of_thread(id);
    }

    std::atomic<pid_t> id_{0};
    std::jthread thread_;
};

}  // namespace wire::test
