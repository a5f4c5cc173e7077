// Peer: xenium's bounded k-FIFO queue, in which a message may be overtaken by k - 1 others. It
// holds pointers only, so a number travels as one; the other sizes are left out. k is the number
// of threads, and the capacity a multiple of it.
#include <cstdint>
#include <xenium/kirsch_bounded_kfifo_queue.hpp>

#include "retry.hpp"
#include "run_queue.hpp"

namespace {

template <class T>
class kfifo {
public:
    static bool can(const bench::shape& s) { return s.bytes == 8 && s.capacity > 1 && !s.fifo; }

    explicit kfifo(const bench::shape& s)
        : queue_(s.threads(), (s.capacity + s.threads() - 1) / s.threads()) {}

    void put(const T& value) {
        bench::retry([&] { return queue_.try_push(as_pointer(value.number())); });
    }
    void take(T& value) {
        T* pointer = nullptr;
        bench::retry([&] { return queue_.try_pop(pointer); });
        value = T((reinterpret_cast<std::uintptr_t>(pointer) >> unused_bits) - 1);
    }

private:
    static constexpr int unused_bits = 4;  // of a pointer to something aligned

    static T* as_pointer(std::uint64_t number) {  // never null
        return reinterpret_cast<T*>((number + 1) << unused_bits);
    }

    xenium::kirsch_bounded_kfifo_queue<T*> queue_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<kfifo>(argc, argv);
}
