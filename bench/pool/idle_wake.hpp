// How long a consumer that sleeps takes to have what is put.
#pragma once

#include <time.h>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "cases.hpp"
#include "queue.hpp"

namespace bench {

/// Puts the time into the queue every 200 us, so that both threads sleep in between, and takes the
/// median of what has passed until the consumer has it. The processor time is that of the process
/// for each message, the producer's sleep included. The producer is on the first core.
template <class Queue, class Message>
cost idle_wake(int consumer_core) {
    const cores all;
    const auto now = [] { return static_cast<std::uint64_t>(now_ns(CLOCK_MONOTONIC)); };
    Queue q(shape{.capacity = 64});
    std::vector<double> waits;
    waits.reserve(1 << 16);
    std::thread consumer([&] {
        all.pin(consumer_core);
        in_host<Queue>(side::take, [&] {
            auto&& from = consumer_of(q);
            for (Message sent{};;) {
                from.take(sent);
                if (sent.number() == 0) return;
                waits.push_back(static_cast<double>(now() - sent.number()));
            }
        });
    });
    all.pin(0);
    const double cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    in_host<Queue>(side::put, [&] {
        auto&& to = producer_of(q);
        const timespec gap{0, 200'000};
        for (const double end = now_ns(CLOCK_MONOTONIC) + budget_ns();
             now_ns(CLOCK_MONOTONIC) < end;) {
            ::nanosleep(&gap, nullptr);
            to.put(Message(now()));
        }
        to.put(Message(0));
    });
    consumer.join();
    const double spent = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    return {median(waits), spent / static_cast<double>(waits.size())};
}

template <class Queue, class Message>
void add_idle_wake(std::vector<queue_case>& cases) {
    cases.push_back({"pool-idle-wake", [] { return idle_wake<Queue, Message>(1); }});
    cases.push_back({"pool-idle-wake-1core", [] { return idle_wake<Queue, Message>(0); }});
}

}  // namespace bench
