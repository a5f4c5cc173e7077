// Peer: moodycamel::BlockingConcurrentQueue, which counts its messages with the semaphore that
// comes with it. It has no bound either; a second one of these semaphores counts the free places,
// so here the capacity is exact.
#include <concurrentqueue/blockingconcurrentqueue.h>

#include "run_queue.hpp"

namespace {

template <class T>
class blocking {
public:
    static constexpr bool sleeps = true;

    explicit blocking(const bench::shape& s)
        : free_(static_cast<std::ptrdiff_t>(s.capacity)), queue_(s.capacity, 0, s.producers) {}

    void put(const T& value) {
        while (!free_.wait()) {
        }
        queue_.enqueue(value);
    }
    void take(T& value) {
        queue_.wait_dequeue(value);
        free_.signal();
    }

    void put_bulk(std::span<const T> values) {
        while (!values.empty()) {
            const auto all = static_cast<std::ptrdiff_t>(values.size());
            const auto some = static_cast<std::size_t>(free_.waitMany(all));
            queue_.enqueue_bulk(values.begin(), some);
            values = values.subspan(some);
        }
    }
    std::size_t take_bulk(std::span<T> values) {
        const std::size_t got = queue_.wait_dequeue_bulk(values.begin(), values.size());
        free_.signal(static_cast<std::ptrdiff_t>(got));
        return got;
    }

private:
    moodycamel::LightweightSemaphore free_;
    moodycamel::BlockingConcurrentQueue<T> queue_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<blocking>(argc, argv);
}
