// Messages: the cases of channels that do not depend on whose channels they are.
//
// A `System` has only static members and types:
//   rendezvous, buffered_128   channels that are made without arguments, with send(int) and
//                              receive(int&), both false once it is closed, and close()
//   task                       a wire that was started
//   start(f)                   starts a wire that calls f, which is kept by reference
//   join(task&)                waits for its end
//   run(f)                     calls f in a first wire and returns when all have ended
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <vector>

#include "measure.hpp"

namespace bench {

/// A benchmark that does not do what it should measures nothing.
inline void expect(bool fine, const char* sentence) {
    if (fine) return;
    std::fprintf(stderr, "%s\n", sentence);
    std::exit(1);
}

template <class Channel>
[[gnu::always_inline]] inline void send_to(Channel& c, int value) {
    expect(static_cast<bool>(c.send(value)), "a channel that nobody has closed takes nothing");
}

template <class Channel>
[[gnu::always_inline]] inline int received_from(Channel& c) {
    int value = 0;
    expect(c.receive(value), "a channel that nobody has closed gives nothing");
    return value;
}

/// One operation is one way of a ping-pong.
template <class System>
double ns_per_rendezvous() {
    using channel = typename System::rendezvous;
    struct turn {
        channel& out;
        channel& in;
        void operator()() const {
            send_to(out, 1);
            received_from(in);
        }
    };
    double result = 0;
    auto first = [&] {
        channel there;
        channel back;
        bool stop = false;
        auto answer = [&] {
            received_from(there);
            turns<0>(turn{back, there}, for_ever, stop);
        };
        typename System::task answerer = System::start(answer);
        result = ns_per_operation([&](std::uint64_t n) { turns<0>(turn{there, back}, n, stop); });
        stop = true;
        send_to(there, 1);
        System::join(answerer);
    };
    System::run(first);
    return result / 2;
}

/// One wire sends all the time, and the one that measures receives.
template <class System, class Channel>
double ns_per_message() {
    double result = 0;
    auto first = [&] {
        Channel c;
        bool stop = false;
        auto send = [&] {
            turns<0>([&] { send_to(c, 1); }, for_ever, stop);
            c.close();
        };
        typename System::task sender = System::start(send);
        result = ns_per_operation(
            [&](std::uint64_t n) { turns<0>([&] { received_from(c); }, n, stop); });
        stop = true;
        for (int rest = 0; c.receive(rest);) {
        }
        System::join(sender);
    };
    System::run(first);
    return result;
}

inline constexpr int sieve_last = 3'571;  // the 500th prime
inline constexpr std::size_t sieve_primes = 500;

/// What passes through all channels of a sieve: a number reaches the filter of its smallest prime
/// factor; a prime reaches the end of the chain and becomes the next filter.
inline std::uint64_t sieve_messages() {
    std::vector<int> primes;
    std::uint64_t messages = 0;
    for (int x = 2; x <= sieve_last; ++x) {
        std::size_t at = 0;
        while (at < primes.size() && x % primes[at] != 0) ++at;
        if (at == primes.size()) primes.push_back(x);
        messages += at + 1;
    }
    return messages;
}

/// The wires of a sieve: one makes the numbers, and each filter drops the multiples of its prime.
template <class System>
struct sieve {
    using channel = typename System::rendezvous;

    struct numbers {
        void operator()() {
            for (int x = 2; x <= sieve_last; ++x) send_to(out, x);
            out.close();
        }
        channel out;
    };

    struct filter {
        filter(channel& from, int its_prime) : in(from), prime(its_prime) {}
        void operator()() {
            for (int x = 0; in.receive(x);)
                if (x % prime != 0) send_to(out, x);
            out.close();
        }
        channel& in;
        const int prime;
        channel out;
    };

    static void run_once() {
        numbers all;
        std::deque<filter> filters;
        std::vector<typename System::task> tasks;
        tasks.push_back(System::start(all));
        channel* last = &all.out;
        for (int prime = 0; last->receive(prime); last = &filters.back().out)
            tasks.push_back(System::start(filters.emplace_back(*last, prime)));
        for (auto& t : tasks) System::join(t);
        expect(filters.size() == sieve_primes && filters.back().prime == sieve_last,
               "the sieve has found something else than primes");
    }

    static double ns_per_message() {
        double result = 0;
        auto first = [&] {
            result = ns_per_operation([](std::uint64_t n) {
                for (; n > 0; --n) run_once();
            });
        };
        System::run(first);
        return result / static_cast<double>(sieve_messages());
    }
};

/// Adds the cases that every system with channels has.
template <class System>
void add_channels(std::vector<bench_case>& cases) {
    using rendezvous = typename System::rendezvous;
    cases.push_back({"rendezvous", &ns_per_rendezvous<System>});
    cases.push_back({"rendezvous-stream", &ns_per_message<System, rendezvous>});
    cases.push_back({"buffered-128", &ns_per_message<System, typename System::buffered_128>});
    cases.push_back({"sieve", &sieve<System>::ns_per_message});
}

}  // namespace bench
