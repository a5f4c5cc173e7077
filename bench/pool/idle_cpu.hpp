// What a consumer costs that waits for a message which doesn't come.
#pragma once

#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "cases.hpp"
#include "queue.hpp"

namespace bench {

inline void sleep_for(double ns) {
    const auto seconds = static_cast<time_t>(ns / 1e9);
    const timespec gap{seconds, static_cast<long>(ns - static_cast<double>(seconds) * 1e9)};
    ::nanosleep(&gap, nullptr);
}

/// Of the threads below `tasks`, a folder such as /proc/self/task, but not of the one `except`. See
/// proc(5).
inline double threads_cpu_ns(const std::string& tasks, pid_t except = 0) {
    double sum = 0;
    for (const auto& thread : std::filesystem::directory_iterator(tasks)) {
        if (thread.path().filename() == std::to_string(except)) continue;
        double ns = 0;
        if (!(std::ifstream(thread.path() / "schedstat") >> ns)) {
            std::fputs("the kernel does not tell what a thread costs\n", stderr);
            std::exit(1);
        }
        sum += ns;
    }
    return sum;
}

/// Of all threads of the process but this one, which is the first. Exact, while the clock of the
/// process also counts this one's reading of it.
inline double others_cpu_ns() {
    return threads_cpu_ns("/proc/self/task", ::getpid());
}

/// For a second in which the consumer is in take(). What it does before it sleeps is over after
/// 50 ms.
template <class Queue, class Message>
cost idle_cpu() {
    const cores all;
    Queue q(shape{.capacity = 64});
    std::thread consumer([&] {
        all.pin(1);
        in_host<Queue>(side::take, [&] {
            auto&& from = consumer_of(q);
            Message last{};
            from.take(last);
        });
    });
    all.pin(0);
    sleep_for(50e6);
    const double before = others_cpu_ns();
    sleep_for(budget_ns());
    const double spent = others_cpu_ns() - before;
    in_host<Queue>(side::put, [&] {
        auto&& to = producer_of(q);
        to.put(Message(1));
    });
    consumer.join();
    return {1e9, spent / (budget_ns() / 1e9)};
}

template <class Queue, class Message>
void add_idle_cpu(std::vector<queue_case>& cases) {
    cases.push_back({"pool-idle-cpu", [] { return idle_cpu<Queue, Message>(); }});
}

}  // namespace bench
