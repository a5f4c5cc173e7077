// What a process costs that waits for a record which doesn't come.
#pragma once

#include "../pool/idle_cpu.hpp"
#include "throughput.hpp"

namespace bench {

/// For a second, of all threads of the process that waits. What it does before it sleeps is over
/// after 50 ms.
template <class Link>
cost idle(const record_shape& s) {
    const cores all;
    const shared<stage> both;
    Link link(s, 0);
    const other_process receiver([&] {
        all.pin(1);
        in_host_of<Link>([&] {
            auto from = link.receiver();
            both->arrive();
            take_all<asleep, 64>(from, 1);
        });
    });
    all.pin(0);
    cost result{1e9, 0};
    in_host_of<Link>([&] {
        both->await(1);
        auto to = link.sender();
        const std::string its = "/proc/" + std::to_string(receiver.pid()) + "/task";
        sleep_for(50e6);
        const double before = threads_cpu_ns(its);
        sleep_for(budget_ns());
        result.cpu_ns = (threads_cpu_ns(its) - before) / (budget_ns() / 1e9);
        put_record<asleep, 64>(to, 0);
    });
    return result;
}

}  // namespace bench
