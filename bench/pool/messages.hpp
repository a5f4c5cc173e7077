// What a producer and a consumer do with their end of a queue.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "queue.hpp"
#include "stretch.hpp"

namespace bench {

/// Puts the numbers from `first` to `end`, one by one.
template <class T, class Producer>
void put_each(Producer& to, std::uint64_t first, std::uint64_t end) {
    for (; first != end; ++first) to.put(T(first));
}

template <class T, class Producer>
void put_bulks(Producer& to, std::uint64_t first, std::uint64_t end) {
    std::array<T, bulk_max> messages{};
    while (first != end) {
        const std::size_t count = std::min<std::uint64_t>(bulk_max, end - first);
        for (std::size_t i = 0; i < count; ++i) messages[i] = T(first++);
        to.put_bulk(std::span<const T>(messages).first(count));
    }
}

/// Takes so many and returns their sum.
template <class T, class Consumer>
std::uint64_t take_each(Consumer& from, std::uint64_t count) {
    std::uint64_t sum = 0;
    for (T message{}; count > 0; --count) {
        from.take(message);
        sum += message.sum();
    }
    return sum;
}

template <class T, class Consumer>
std::uint64_t take_bulks(Consumer& from, std::uint64_t count) {
    std::array<T, bulk_max> messages{};
    std::uint64_t sum = 0;
    while (count > 0) {
        const std::size_t most = std::min<std::uint64_t>(bulk_max, count);
        const std::size_t got = from.take_bulk(std::span(messages).first(most));
        for (std::size_t i = 0; i < got; ++i) sum += messages[i].sum();
        count -= got;
    }
    return sum;
}

/// Takes `count`, which must be the numbers from `first` on.
template <class T, class Consumer>
std::uint64_t take_in_order(Consumer& from, std::uint64_t first, std::uint64_t count) {
    std::uint64_t sum = 0;
    T message{};
    for (const std::uint64_t end = first + count; first != end; ++first) {
        from.take(message);
        sum += message.sum();
        if (message.number() != first) {
            std::fprintf(stderr, "number %ju came in place of %ju\n",
                         std::uintmax_t{message.number()}, std::uintmax_t{first});
            std::exit(1);
        }
    }
    return sum;
}

template <class T, class Queue>
void produce(Queue& q, const shape& s, portions& numbers) {
    auto&& to = producer_of(q);
    numbers.each([&](std::uint64_t first, std::uint64_t end) {
        if constexpr (requires(std::span<const T> some) { to.put_bulk(some); })
            if (s.bulk > 1) return put_bulks<T>(to, first, end);
        put_each<T>(to, first, end);
    });
}

template <class T, class Queue>
std::uint64_t consume(Queue& q, const shape& s, portions& numbers) {
    auto&& from = consumer_of(q);
    std::uint64_t sum = 0;
    numbers.each([&](std::uint64_t first, std::uint64_t end) {
        if (s.fifo) {
            sum += take_in_order<T>(from, first, end - first);
            return;
        }
        if constexpr (requires(std::span<T> some) { from.take_bulk(some); })
            if (s.bulk > 1) {
                sum += take_bulks<T>(from, end - first);
                return;
            }
        sum += take_each<T>(from, end - first);
    });
    return sum;
}

}  // namespace bench
