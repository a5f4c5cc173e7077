// wire::pool between plain threads.
#include "wire_pool.hpp"

#include "buffers.hpp"
#include "run_queue.hpp"

namespace {

class copied_buffers {
public:
    explicit copied_buffers(std::size_t capacity) : pool_(capacity) {}

    void put(std::uint64_t number) {
        bench::mark(filled_, number);
        static_cast<void>(pool_.put(filled_));
    }
    std::uint64_t take() { return bench::marks(*pool_.take()); }

private:
    wire::pool<bench::buffer> pool_;
    bench::buffer filled_{};
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_queue<bench::pool_queue>(argc, argv, {bench::buffers_case<copied_buffers>()});
}
