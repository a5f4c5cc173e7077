// A limit with one producer and one consumer: a ring with two indices. Each side keeps what it last
// saw of the other's, and looks again only when by that there is nothing to do: the best where the
// ring is seldom full or empty.
#include <atomic>
#include <bit>
#include <vector>

#include "one_to_one.hpp"

namespace {

template <class T>
class ring {
public:
    explicit ring(std::size_t capacity)
        : capacity_(capacity), mask_(std::bit_ceil(capacity) - 1), slots_(mask_ + 1) {}

    bool try_put(const T& value) {
        const std::size_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - seen_head_ == capacity_) {
            seen_head_ = head_.load(std::memory_order_acquire);
            if (tail - seen_head_ == capacity_) return false;
        }
        slots_[tail & mask_] = value;
        tail_.store(tail + 1, std::memory_order_release);
        return true;
    }

    bool try_take(T& value) {
        const std::size_t head = head_.load(std::memory_order_relaxed);
        if (head == seen_tail_) {
            seen_tail_ = tail_.load(std::memory_order_acquire);
            if (head == seen_tail_) return false;
        }
        value = slots_[head & mask_];
        head_.store(head + 1, std::memory_order_release);
        return true;
    }

private:
    const std::size_t capacity_, mask_;
    std::vector<T> slots_;
    alignas(128) std::atomic<std::size_t> tail_{0};
    std::size_t seen_head_ = 0;  // the producer's
    alignas(128) std::atomic<std::size_t> head_{0};
    std::size_t seen_tail_ = 0;  // the consumer's
};

template <class T>
using queue = bench::one_to_one<ring<T>, T>;

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<queue>(argc, argv);
}
