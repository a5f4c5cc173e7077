// wire::pool between plain threads that swap with its slots.
#include <memory>

#include <wire/pool.hpp>

#include "buffers.hpp"
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

class swapped_buffers {
    using owned = std::unique_ptr<bench::buffer>;

public:
    explicit swapped_buffers(std::size_t capacity) : pool_(capacity) {
        pool_.for_each([](owned& slot, std::size_t) { slot = std::make_unique<bench::buffer>(); });
    }

    void put(std::uint64_t number) {
        bench::mark(*filled_, number);
        static_cast<void>(pool_.put_swap(filled_));
    }
    std::uint64_t take() {
        static_cast<void>(pool_.take_swap(read_));
        return bench::marks(*read_);
    }

private:
    wire::pool<owned> pool_;
    alignas(128) owned filled_ = std::make_unique<bench::buffer>();
    alignas(128) owned read_ = std::make_unique<bench::buffer>();
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<swap_queue>(argc, argv, {bench::buffers_case<swapped_buffers>()});
}
