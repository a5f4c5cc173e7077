// moodycamel::ConcurrentQueue has no bound: it allocates what it needs. So that its producers do
// not run away from its consumers they look at size_approx(), but not at each message, which would
// cost what the queue avoids: before every 32nd, or more often where the capacity is small. It can
// hold up to 32 messages a producer more than the capacity, or half the capacity more if that is
// less, and so has no cases with room for one.
#pragma once

#include <concurrentqueue/concurrentqueue.h>

#include <algorithm>
#include <cstddef>
#include <span>

#include "retry.hpp"
#include "shape.hpp"

namespace bench {

/// What one producer waits with.
template <class Queue>
class now_and_then {
public:
    now_and_then(const Queue& q, const shape& s)
        : queue_(&q),
          capacity_(s.capacity),
          every_(std::clamp<std::size_t>(s.capacity / (2 * s.producers), 1, 32)) {}

    void await_room(std::size_t messages) {
        if (left_ >= messages) {
            left_ -= messages;
            return;
        }
        retry([this] { return queue_->size_approx() < capacity_; });
        left_ = std::max(every_, messages) - messages;
    }

private:
    const Queue* queue_;
    std::size_t capacity_, every_;
    std::size_t left_ = 0;
};

}  // namespace bench
