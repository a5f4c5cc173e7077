// What a link to measure looks like: it carries records from one process to another.
//
//     struct some_link {
//         some_link(const record_shape&, int nth);  // before the fork; nth: of those of a case
//         auto receiver();                          // in one process; has take(), try_take()
//         auto sender();                            // in the other, when there is a receiver, for
//                                                   // each thread that sends; has put(), try_put()
//     };
//
// with
//
//     void put(std::size_t n, auto fill);           // fill(void*) writes the n bytes of a record
//     bool try_put(std::size_t n, auto fill);
//     void take(auto use);                          // use(const void*) reads them
//     bool try_take(auto use);
//
// Those called try_ don't wait: false if there is no room or no record. The others sleep. A link
// has either or both; one that has both is asked again and again where that is a choice. It may
// also have
//
//     static bool can(const record_shape&);         // false: has no such case
//     std::size_t try_put_some(n, count, fill);     // how many; fill(nth, void*)
//     static void host(auto body);                  // calls body() where its ends may be used
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include <unistd.h>

#include "../pool/retry.hpp"
#include "shape.hpp"

namespace bench {

/// For names of what belongs to a link: no other one has it.
inline std::string unique_name(int nth) {
    return "wire-bench-" + std::to_string(::getpid()) + "-" + std::to_string(nth);
}

template <class Link>
concept has_try = requires(Link l) {
    l.receiver().try_take([](const void*) {});
};
template <class Link>
concept has_sleep = requires(Link l) {
    l.receiver().take([](const void*) {});
};
template <class Link>
concept has_batch = requires(Link l) {
    l.sender().try_put_some(1, 1, [](std::size_t, void*) {});
};

template <class Link>
bool can(const record_shape& s) {
    if (s.batch > 1 && !has_batch<Link>) return false;
    if constexpr (requires { Link::can(s); })
        return Link::can(s);
    else
        return true;
}

template <class Link, class Body>
void in_host_of(Body body) {
    if constexpr (requires { Link::host(body); })
        Link::host(body);
    else
        body();
}

/// With a core of their own: asked without a pause.
struct busily {
    static void put(auto& to, std::size_t n, auto fill) {
        while (!to.try_put(n, fill)) {
        }
    }
    static void take(auto& from, auto use) {
        while (!from.try_take(use)) {
        }
    }
};

/// Who finds no room or no record asks again after about a microsecond, then whenever the threads
/// that also want the core have had their turn. Who asks sooner finds one record at a time, and
/// each costs as much as a round trip.
struct patiently {
    static void put(auto& to, std::size_t n, auto fill) {
        again([&] { return to.try_put(n, fill); });
    }
    static void take(auto& from, auto use) {
        again([&] { return from.try_take(use); });
    }
    static void again(auto attempt) {
        constexpr int pauses = 80, failed_max = 16;
        for (int failed = 0; !attempt(); ++failed) {
            if (failed < failed_max)
                for (int i = 0; i < pauses; ++i) pause();
            else
                ::sched_yield();
        }
    }
};

struct asleep {
    static void put(auto& to, std::size_t n, auto fill) { to.put(n, fill); }
    static void take(auto& from, auto use) { from.take(use); }
};

}  // namespace bench
