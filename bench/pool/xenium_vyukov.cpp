// Peer: xenium's bounded queue after D. Vyukov. Its capacities are powers of two from 2 on: there
// is no case with room for one, and 1,000 becomes 1,024. The weak forms return where the others
// would spin until a thread that is in the middle of it has run again.
#include <bit>
#include <xenium/vyukov_bounded_queue.hpp>

#include "retry.hpp"
#include "run_queue.hpp"

namespace {

template <class T>
class vyukov {
public:
    static bool can(const bench::shape& s) { return s.capacity > 1; }

    explicit vyukov(const bench::shape& s) : queue_(std::bit_ceil(s.capacity)) {}

    void put(const T& value) {
        bench::retry([&] { return queue_.try_push_weak(value); });
    }
    void take(T& value) {
        bench::retry([&] { return queue_.try_pop_weak(value); });
    }

private:
    xenium::vyukov_bounded_queue<T> queue_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<vyukov>(argc, argv);
}
