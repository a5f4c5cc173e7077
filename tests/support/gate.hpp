// How one thread of an explored scenario waits for another, by nothing of the product's.
#pragma once

#include "interleave.hpp"

namespace interleave {

/// Holds up threads until one has passed a point of its own. Orders nothing.
class gate {
public:
    void open() {
        open_.store(1, std::memory_order_relaxed);
        sync::futex_wake(open_, 1);
    }
    void pass() {
        while (open_.load(std::memory_order_relaxed) == 0) sync::futex_wait(open_, 0);
    }

private:
    sync::word open_{0};
};

}  // namespace interleave
