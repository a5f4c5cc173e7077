// Peer: oneTBB's concurrent_bounded_queue, which sleeps when it is full or empty.
#include <oneapi/tbb/concurrent_queue.h>

#include "run_queue.hpp"

namespace {

template <class T>
class bounded {
public:
    static constexpr bool sleeps = true;

    explicit bounded(const bench::shape& s) {
        queue_.set_capacity(static_cast<std::ptrdiff_t>(s.capacity));
    }

    void put(const T& value) { queue_.push(value); }
    void take(T& value) { queue_.pop(value); }

private:
    oneapi::tbb::concurrent_bounded_queue<T> queue_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<bounded>(argc, argv);
}
