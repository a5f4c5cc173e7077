// Peer: Boost.Interprocess's message_queue: a mutex and two condition variables in shared memory.
#include <boost/interprocess/ipc/message_queue.hpp>

#include <cstddef>
#include <memory>
#include <vector>

#include "run_link.hpp"

namespace {

using boost::interprocess::message_queue;

class boost_mq {
public:
    boost_mq(const bench::record_shape& s, int nth) : shape_(s), name_(bench::unique_name(nth)) {}

    class writer {
    public:
        writer(const std::string& name, std::size_t bytes)
            : queue_(boost::interprocess::open_only, name.c_str()), record_(bytes) {}

        void put(std::size_t n, auto fill) {
            fill(record_.data());
            queue_.send(record_.data(), n, 0);
        }

    private:
        message_queue queue_;
        std::vector<std::byte> record_;
    };

    class reader {
    public:
        reader(const std::string& name, const bench::record_shape& s)
            : name_(name),
              queue_(boost::interprocess::create_only, name.c_str(), s.room(), s.bytes),
              record_(s.bytes) {}
        ~reader() { message_queue::remove(name_.c_str()); }

        void take(auto use) {
            std::size_t length = 0;
            unsigned priority = 0;
            queue_.receive(record_.data(), record_.size(), length, priority);
            use(record_.data());
        }

    private:
        std::string name_;
        message_queue queue_;
        std::vector<std::byte> record_;
    };

    auto sender() { return writer(name_, shape_.bytes); }
    auto receiver() { return reader(name_, shape_); }

private:
    bench::record_shape shape_;
    std::string name_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_ring<boost_mq>(argc, argv);
}
