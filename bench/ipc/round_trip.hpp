// A record that goes to another process, which sends one back.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "throughput.hpp"

namespace bench {

struct trip_cost {
    cost each;
    double p50_ns = 0, p99_ns = 0, p999_ns = 0;
};

/// Sends back what comes, until it is 0.
template <class Manner, std::size_t Bytes, class Receiver, class Sender>
void answer(Receiver& from, Sender& to) {
    for (std::uint64_t number = 1; number != 0;) {
        Manner::take(from, [&](const void* at) { number = payload<Bytes>::read(at); });
        if (number != 0) put_record<Manner, Bytes>(to, number);
    }
}

template <class Manner, std::size_t Bytes, class Receiver, class Sender>
void ask(Sender& to, Receiver& from, std::uint64_t number) {
    put_record<Manner, Bytes>(to, number);
    std::uint64_t answered = 0;
    Manner::take(from, [&](const void* at) { answered = payload<Bytes>::read(at); });
    if (answered == number) return;
    std::fputs("another answer came\n", stderr);
    std::exit(1);
}

/// Of single trips, each timed by itself, for as long as the budget is.
template <class Trip>
void add_percentiles(trip_cost& result, Trip trip) {
    std::vector<double> trips;
    trips.reserve(1 << 22);
    double before = now_ns(CLOCK_MONOTONIC);
    for (const double end = before + budget_ns(); before < end && trips.size() < 1 << 22;) {
        trip();
        const double now = now_ns(CLOCK_MONOTONIC);
        trips.push_back(now - before);
        before = now;
    }
    const auto nth = [&](double share) {
        const auto at = trips.begin() +
                        static_cast<std::ptrdiff_t>(share * static_cast<double>(trips.size() - 1));
        std::nth_element(trips.begin(), at, trips.end());
        return *at;
    };
    result.p50_ns = nth(0.5);
    result.p99_ns = nth(0.99);
    result.p999_ns = nth(0.999);
}

/// The median of stretches of trips, which are not timed one by one; then the percentiles.
template <class Trip>
trip_cost measure_trips(const other_process& other, Trip trip) {
    trip_cost result;
    result.each = median_cost([&](std::uint64_t n) {
        const stopwatch_of_both since(other);
        for (; n > 0; --n) trip();
        return since.elapsed();
    });
    add_percentiles(result, trip);
    return result;
}

/// The asker is on the first core, who answers on `other_core`.
template <class Link, class Manner, std::size_t Bytes>
trip_cost round_trips(const record_shape& s, int other_core) {
    const cores all;
    const shared<stage> both;
    Link there(s, 0), back(s, 1);
    const other_process answerer([&] {
        all.pin(other_core);
        in_host_of<Link>([&] {
            auto from = there.receiver();
            both->arrive();
            both->await(2);
            auto to = back.sender();
            both->arrive();
            answer<Manner, Bytes>(from, to);
        });
    });
    all.pin(0);
    trip_cost result;
    in_host_of<Link>([&] {
        auto from = back.receiver();
        both->arrive();
        both->await(2);
        auto to = there.sender();
        both->await(3);
        std::uint64_t number = 0;
        result = measure_trips(answerer, [&] { ask<Manner, Bytes>(to, from, ++number); });
        put_record<Manner, Bytes>(to, 0);
    });
    return result;
}

}  // namespace bench
