// wire::pool as a queue to measure.
#pragma once

#include <algorithm>
#include <array>
#include <span>

#include <wire/pool.hpp>

#include "shape.hpp"

namespace bench {

template <class T>
class pool_queue {
public:
    static constexpr bool sleeps = true;
    static bool can(const shape& s) { return !s.fifo; }

    explicit pool_queue(const shape& s) : pool_(s.capacity) {}

    void put(const T& value) { static_cast<void>(pool_.put(value)); }
    void take(T& value) { value = *pool_.take(); }

    void put_bulk(std::span<const T> values) {
        std::array<T, bulk_max> copies;
        std::ranges::copy(values, copies.begin());
        for (std::span<T> rest(copies.data(), values.size()); !rest.empty();)
            rest = rest.subspan(*pool_.put_some(rest));
    }
    std::size_t take_bulk(std::span<T> values) { return *pool_.take_some(values); }

private:
    wire::pool<T> pool_;
};

}  // namespace bench
