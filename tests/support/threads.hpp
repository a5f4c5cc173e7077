// Threads of tests: who is there, who sleeps, and to wait for what they do.
#pragma once

#include <dirent.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
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

/// Calls f(id, folder) for each thread of this process; `folder` is where the kernel describes it.
template <class F>
void for_each_thread(F f) {
    DIR* const all = ::opendir("/proc/self/task");
    while (const dirent* const e = ::readdir(all))
        if (e->d_name[0] != '.')
            f(std::atoi(e->d_name), std::string("/proc/self/task/") + e->d_name);
    ::closedir(all);
}

/// How many threads of this process have that name.
inline int threads_named(std::string_view wanted) {
    int n = 0;
    for_each_thread([&](pid_t, const std::string& folder) {
        std::ifstream file(folder + "/comm");
        std::string name;
        n += std::getline(file, name) && name == wanted;
    });
    return n;
}

/// Waits until done(), without running wires; at most 10 s. Returns whether it did.
template <class F>
bool comes_true(F done) {
    for (int patience = 10'000; !done(); --patience) {
        if (patience == 0) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
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
