// Peer: moodycamel::ConcurrentQueue as one uses it first, without tokens.
#include "concurrentqueue.hpp"
#include "run_queue.hpp"

namespace {

template <class T>
class plain {
    using queue = moodycamel::ConcurrentQueue<T>;

public:
    static bool can(const bench::shape& s) { return s.capacity > 1; }

    explicit plain(const bench::shape& s) : shape_(s), queue_(s.capacity, 0, s.producers) {}

    class putter {
    public:
        explicit putter(plain& all) : queue_(all.queue_), room_(queue_, all.shape_) {}

        void put(const T& value) {
            room_.await_room(1);
            queue_.enqueue(value);
        }
        void put_bulk(std::span<const T> values) {
            room_.await_room(values.size());
            queue_.enqueue_bulk(values.begin(), values.size());
        }

    private:
        queue& queue_;
        bench::now_and_then<queue> room_;
    };
    putter producer() { return putter(*this); }

    void take(T& value) {
        bench::retry([&] { return queue_.try_dequeue(value); });
    }
    std::size_t take_bulk(std::span<T> values) {
        std::size_t got = 0;
        bench::retry([&] {
            got = queue_.try_dequeue_bulk(values.begin(), values.size());
            return got > 0;
        });
        return got;
    }

private:
    const bench::shape shape_;
    queue queue_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<plain>(argc, argv);
}
