// What a queue to measure looks like, and what it may leave out.
//
// It is a class template over its element:
//
//     template <class T>
//     struct some_queue {
//         explicit some_queue(const shape&);      // capacity, producers, consumers
//         void put(const T&);                     // waits while there is no room
//         void take(T&);                          // waits while there is nothing
//     };
//     int main(int argc, char** argv) { return bench::run_queue<some_queue>(argc, argv); }
//
// It may also have
//
//     static bool can(const shape&);              // false: has no such case
//     static constexpr bool sleeps = true;        // take() sleeps: has the cases pool-idle-*
//     auto producer();                            // what one thread puts with: has put()
//     auto consumer();                            // what one thread takes with: has take()
//     void put_bulk(std::span<const T>);          // or their producer() and consumer() have them
//     std::size_t take_bulk(std::span<T>);        // waits for one, returns how many
//     static void host(side, auto body);          // calls body() where put() or take() may wait
#pragma once

#include "shape.hpp"

namespace bench {

template <class Queue>
decltype(auto) producer_of(Queue& q) {
    if constexpr (requires { q.producer(); })
        return q.producer();
    else
        return (q);
}

template <class Queue>
decltype(auto) consumer_of(Queue& q) {
    if constexpr (requires { q.consumer(); })
        return q.consumer();
    else
        return (q);
}

/// Runs body() where this side of the queue may be used.
template <class Queue, class Body>
void in_host(side where, Body body) {
    if constexpr (requires { Queue::host(where, body); })
        Queue::host(where, body);
    else
        body();
}

template <class Queue>
bool can(const shape& s) {
    constexpr bool bulk = requires(Queue & q) {
        q.put_bulk({});
    }
    || requires(Queue & q) {
        q.producer().put_bulk({});
    };
    if (s.bulk > 1 && !bulk) return false;
    if constexpr (requires { Queue::can(s); })
        return Queue::can(s);
    else
        return true;
}

}  // namespace bench
