// Records that threads of one process send to another as fast as they can. The receiver has the
// first core, all senders share the second: so what several cost more than one is not the cores.
#pragma once

#include <algorithm>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

#include "link.hpp"
#include "payload.hpp"
#include "two_processes.hpp"

namespace bench {

template <class Manner, std::size_t Bytes, class Sender>
void put_record(Sender& to, std::uint64_t number) {
    Manner::put(to, Bytes, [=](void* at) { payload<Bytes>::write(at, number); });
}

template <std::size_t Bytes, class Sender>
void put_batches(Sender& to, std::uint64_t count) {
    std::uint64_t done = 0;
    while (done < count) {
        const std::size_t most = std::min<std::uint64_t>(batch_max, count - done);
        patiently::again([&] {
            const std::size_t some = to.try_put_some(
                Bytes, most, [&](std::size_t i, void* at) { payload<Bytes>::write(at, done + i); });
            done += some;
            return some != 0;
        });
    }
}

/// Sends what falls to the nth of s.producers: its share of the numbers below that of the messages.
template <class Link, class Manner, std::size_t Bytes>
void send_stretches(Link& link, const record_shape& s, stage& both, std::size_t nth) {
    auto to = link.sender();
    both.arrive();
    for (std::uint32_t last = 0; const std::uint64_t messages = both.next(last);) {
        if constexpr (has_batch<Link>)
            if (s.batch > 1) {
                put_batches<Bytes>(to, messages);
                continue;
            }
        for (std::uint64_t number = nth; number < messages; number += s.producers)
            put_record<Manner, Bytes>(to, number);
    }
}

template <class Link, class Manner, std::size_t Bytes>
void run_senders(Link& link, const record_shape& s, stage& both) {
    const cores all;
    both.await(1);  // the receiver
    std::vector<std::thread> threads;
    for (std::size_t nth = 0; nth < s.producers; ++nth)
        threads.emplace_back([&, nth] {
            all.pin(1);
            in_host_of<Link>([&] { send_stretches<Link, Manner, Bytes>(link, s, both, nth); });
        });
    for (std::thread& t : threads) t.join();
}

template <class Manner, std::size_t Bytes, class Receiver>
void take_all(Receiver& from, std::uint64_t messages) {
    std::uint64_t sum = 0;
    for (std::uint64_t left = messages; left > 0; --left)
        Manner::take(from, [&](const void* at) { sum += payload<Bytes>::read(at); });
    check_sum(messages, 2 * sum);
}

template <class Link, std::size_t Bytes>
cost throughput(const record_shape& s) {
    using manner = std::conditional_t<has_try<Link>, patiently, asleep>;
    const cores all;
    const shared<stage> both;
    Link link(s, 0);
    const other_process senders([&] { run_senders<Link, manner, Bytes>(link, s, *both); });
    all.pin(0);
    cost result;
    in_host_of<Link>([&] {
        auto from = link.receiver();
        both->arrive();
        both->await(1 + static_cast<std::uint32_t>(s.producers));
        result = median_cost(
            [&](std::uint64_t messages) {
                const stopwatch_of_both since(senders);
                both->begin(messages);
                take_all<manner, Bytes>(from, messages);
                return since.elapsed();
            },
            Bytes < 1 << 16 ? 1'024 : 64);
        both->begin(0);
    });
    return result;
}

}  // namespace bench
