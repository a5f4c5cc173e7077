// Peer: boost::lockfree::queue. Its nodes are allocated at the start, and bounded_push() fails when
// they are all in use, so the capacity is exact. (The fixed_sized kind holds 65,534 at most.)
#include <boost/lockfree/queue.hpp>

#include "retry.hpp"
#include "run_queue.hpp"

namespace {

template <class T>
class lockfree {
public:
    explicit lockfree(const bench::shape& s) : queue_(s.capacity) {}

    void put(const T& value) {
        bench::retry([&] { return queue_.bounded_push(value); });
    }
    void take(T& value) {
        bench::retry([&] { return queue_.pop(value); });
    }

private:
    boost::lockfree::queue<T> queue_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<lockfree>(argc, argv);
}
