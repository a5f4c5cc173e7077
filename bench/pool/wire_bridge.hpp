// wire::bridge as a queue to measure.
#pragma once

#include <wire/bridge.hpp>

#include "shape.hpp"

namespace bench {

template <class T>
class bridge_queue {
public:
    static constexpr bool sleeps = true;
    static bool can(const shape& s) { return s.bulk == 1; }

    explicit bridge_queue(const shape& s) : bridge_(s.capacity) {}

    void put(const T& value) { static_cast<void>(bridge_.send(value)); }
    void take(T& value) { value = *bridge_.recv(); }

private:
    wire::bridge<T> bridge_;
};

}  // namespace bench
