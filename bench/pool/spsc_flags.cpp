// A limit with one producer and one consumer: a ring whose slots say whether they are full, so that
// only lines with messages go from one side to the other: the best where it is often full or empty.
#include <atomic>
#include <vector>

#include "one_to_one.hpp"

namespace {

template <class T>
class ring {
public:
    explicit ring(std::size_t capacity) : slots_(capacity) {}

    bool try_put(const T& value) {
        slot& s = slots_[tail_];
        if (s.full.load(std::memory_order_acquire)) return false;
        s.value = value;
        s.full.store(true, std::memory_order_release);
        tail_ = after(tail_);
        return true;
    }

    bool try_take(T& value) {
        slot& s = slots_[head_];
        if (!s.full.load(std::memory_order_acquire)) return false;
        value = s.value;
        s.full.store(false, std::memory_order_release);
        head_ = after(head_);
        return true;
    }

private:
    struct slot {
        std::atomic<bool> full{false};
        T value;
    };

    [[nodiscard]] std::size_t after(std::size_t i) const {
        return i + 1 == slots_.size() ? 0 : i + 1;
    }

    std::vector<slot> slots_;
    alignas(128) std::size_t tail_ = 0;  // the producer's
    alignas(128) std::size_t head_ = 0;  // the consumer's
};

template <class T>
using queue = bench::one_to_one<ring<T>, T>;

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<queue>(argc, argv);
}
