// Buffers of 64 KiB from one thread to another, of which there is room for 16: by exchange, or
// copied into the queue and out of it.
//
// A queue for that has put(number), which writes the number to both ends of a buffer of its own and
// hands that over, and take(), which returns the sum of both ends of the next one. So this measures
// the hand-over alone, not how buffers are filled and read.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "cases.hpp"

namespace bench {

using buffer = std::array<std::uint64_t, 8'192>;
static_assert(sizeof(buffer) == 64 * 1024);

inline void mark(buffer& b, std::uint64_t number) {
    b.front() = b.back() = number;
}
inline std::uint64_t marks(const buffer& b) {
    return b.front() + b.back();
}

template <class Queue>
cost carry_buffers() {
    const shape s{.bytes = sizeof(buffer), .capacity = 16};
    const auto queue = std::make_unique<Queue>(s.capacity);  // it may be larger than the stack
    const auto produce = [&](portions& numbers) {
        numbers.each([&](std::uint64_t first, std::uint64_t end) {
            for (; first != end; ++first) queue->put(first);
        });
    };
    const auto consume = [&](portions& numbers) {
        std::uint64_t sum = 0;
        numbers.each([&](std::uint64_t first, std::uint64_t end) {
            for (; first != end; ++first) sum += queue->take();
        });
        return sum;
    };
    const auto host = [](side, auto body) { body(); };
    return median_cost([&](std::uint64_t n) { return run_stretch(s, n, host, produce, consume); });
}

template <class Queue>
queue_case buffers_case() {
    return {"buffers-64k", &carry_buffers<Queue>};
}

}  // namespace bench
