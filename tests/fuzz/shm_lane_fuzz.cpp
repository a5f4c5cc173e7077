// Lanes and sweep of a ring against whatever another process may write into their memory, without
// a system call.
#include <wire/shm/detail/system_sync.hpp>

#include "lane_ends.hpp"
#include "ring_program.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using ends = wire::test::lane_ends<wire::shm::detail::system_sync>;
    static wire::test::fenced_memory memory;
    wire::test::ring_program<ends>(memory, {data, size}).run();
    return 0;
}
