// Peer: moodycamel::ConcurrentQueue with a token for each producer and consumer.
#include "concurrentqueue.hpp"
#include "run_queue.hpp"

namespace {

template <class T>
class with_tokens {
    using queue = moodycamel::ConcurrentQueue<T>;

public:
    static bool can(const bench::shape& s) { return s.capacity > 1; }

    explicit with_tokens(const bench::shape& s) : shape_(s), queue_(s.capacity, s.producers, 0) {}

    class putter {
    public:
        explicit putter(with_tokens& all)
            : queue_(all.queue_), token_(queue_), room_(queue_, all.shape_) {}

        void put(const T& value) {
            room_.await_room(1);
            queue_.enqueue(token_, value);
        }
        void put_bulk(std::span<const T> values) {
            room_.await_room(values.size());
            queue_.enqueue_bulk(token_, values.begin(), values.size());
        }

    private:
        queue& queue_;
        moodycamel::ProducerToken token_;
        bench::now_and_then<queue> room_;
    };
    putter producer() { return putter(*this); }

    class taker {
    public:
        explicit taker(with_tokens& all) : queue_(all.queue_), token_(queue_) {}

        void take(T& value) {
            bench::retry([&] { return queue_.try_dequeue(token_, value); });
        }
        std::size_t take_bulk(std::span<T> values) {
            std::size_t got = 0;
            bench::retry([&] {
                got = queue_.try_dequeue_bulk(token_, values.begin(), values.size());
                return got > 0;
            });
            return got;
        }

    private:
        queue& queue_;
        moodycamel::ConsumerToken token_;
    };
    taker consumer() { return taker(*this); }

private:
    const bench::shape shape_;
    queue queue_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<with_tokens>(argc, argv);
}
