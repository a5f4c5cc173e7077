// shm_lane_fuzz without the checks of what is read: it must crash.
#include <wire/shm/detail/system_sync.hpp>

#include "lane_ends.hpp"
#include "ring_program.hpp"

namespace {

struct trusting_sync : wire::shm::detail::system_sync {
    static constexpr bool trusts_peers = true;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using ends = wire::test::lane_ends<trusting_sync>;
    static wire::test::fenced_memory memory;
    wire::test::ring_program<ends>(memory, {data, size}).run();
    return 0;
}
