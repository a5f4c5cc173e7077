// wire::shm::ring between plain threads that sleep at once where there is no room or no record.
#include "run_link.hpp"
#include "wire_ring.hpp"

namespace {

class sender : bench::ring_writer {
public:
    using bench::ring_writer::put;
    using bench::ring_writer::ring_writer;
};

class receiver : bench::ring_reader {
public:
    using bench::ring_reader::ring_reader;
    using bench::ring_reader::take;
};

class sleeping : bench::ring_link {
public:
    using bench::ring_link::ring_link;

    auto receiver() { return ::receiver(bench::new_ring(its_shape(), name())); }
    auto sender() { return ::sender(name()); }
};

}  // namespace

int main(int argc, char** argv) {
    return bench::run_ring<sleeping>(argc, argv);
}
