// What the rings for one producer and one consumer share, which nothing protects from a second one.
#pragma once

#include "retry.hpp"
#include "run_queue.hpp"

namespace bench {

/// `Ring` has try_put() and try_take().
template <class Ring, class T>
class one_to_one {
public:
    static bool can(const shape& s) { return s.threads() == 2; }

    explicit one_to_one(const shape& s) : ring_(s.capacity) {}

    void put(const T& value) {
        retry([&] { return ring_.try_put(value); });
    }
    void take(T& value) {
        retry([&] { return ring_.try_take(value); });
    }

private:
    Ring ring_;
};

}  // namespace bench
