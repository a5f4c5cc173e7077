// wire::shm::ring between plain threads.
#include "wire_ring.hpp"

#include "run_link.hpp"

int main(int argc, char** argv) {
    return bench::run_ring<bench::ring_link>(argc, argv);
}
