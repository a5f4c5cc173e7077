// wire::pool between plain threads that swap with its slots.
#include <wire/pool.hpp>

#include "run_queue.hpp"

namespace {

template <class T>
class swap_queue {
public:
    static bool can(const bench::shape& s) { return !s.fifo && s.bulk == 1 && s.capacity == 1000; }

    explicit swap_queue(const bench::shape& s) : pool_(s.capacity) {}

    void put(const T& value) {
        T mine = value;
        static_cast<void>(pool_.put_swap(mine));
    }
    void take(T& value) { static_cast<void>(pool_.take_swap(value)); }

private:
    wire::pool<T> pool_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<swap_queue>(argc, argv);
}
