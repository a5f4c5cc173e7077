// What arenas take from the system, beside what rings do.
#pragma once

#include <wire/shm/detail/identity.hpp>
#include <wire/shm/detail/system_sync.hpp>

namespace wire::shm::detail {

struct arena_sync : system_sync {
    static bool has_ended(std::uint64_t who) noexcept { return identity::has_ended(who); }
};

}  // namespace wire::shm::detail
