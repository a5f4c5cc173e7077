// What lies behind a wire_pool: a pool of wires with a permit for each stack that may be in use.
//
// Whoever starts a wire takes a permit first; it comes back together with the stack, in
// fiber_pool::give_back(). So there are never more stacks than permits, and with memory for as many
// stacks none is ever missing.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include <wire/cancel.hpp>
#include <wire/deadline.hpp>
#include <wire/detail/list.hpp>
#include <wire/semaphore.hpp>
#include <wire/stack.hpp>
#include "fiber_pool.hpp"

namespace wire::detail {

class scheduler;

struct bounded_pool : fiber_pool, link {
    bounded_pool(scheduler& runs_on, std::size_t wires_max, std::string_view its_name,
                 const stack_options& options);
    ~bounded_pool();

    /// Takes a permit; waits for its turn if `until` is given. Returns an errno.
    int take_permit(const deadline* until) noexcept;

    scheduler& home;
    const std::size_t permits_max;
    semaphore permits;
    cancel_node wires;     // above the roots of those that have not ended
    bool closing = false;  // its destructor waits
    std::array<char, 32> name;
};

}  // namespace wire::detail
