// wire::shm::ring between wires, one on each thread, in a runtime of its own.
#include <wire/reactor.hpp>
#include <wire/runtime.hpp>
#include <wire/shm/sender.hpp>
#include <wire/spawn.hpp>

#include "run_link.hpp"
#include "wire_ring.hpp"

namespace {

class sender {
public:
    explicit sender(const std::string& name) : sender_(wire::shm::sender::attach(name)) {}

    void put(std::size_t n, auto fill) {
        const wire::result<std::span<std::byte>> room = sender_.claim(n);
        if (!room) bench::demand(room.code(), "claim");
        fill(room->data());
        sender_.commit(n);
    }

private:
    wire::shm::sender sender_;
};

class receiver : bench::ring_reader {
public:
    using bench::ring_reader::ring_reader;
    using bench::ring_reader::take;
};

class wires : bench::ring_link {
public:
    using bench::ring_link::ring_link;

    auto receiver() { return ::receiver(bench::new_ring(its_shape(), name())); }
    auto sender() { return ::sender(name()); }

    static void host(auto body) {
        wire::runtime rt;
        wire::io::reactor reactor(rt);
        rt.go(body);
        static_cast<void>(rt.run());
    }
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_ring<wires>(argc, argv);
}
