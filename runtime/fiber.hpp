// The control block of a wire. It lies at the top of the wire's own stack, above its callable:
//
//     base                                              block   top
//     | free stack ...        <-- frames | task | fiber ........|
//
// Every wire is in exactly one state:
//
//     active     in the scheduler's ready queue, or running: then scheduler::running_ points to it
//     waiting    in park(); its waiters are in the queues of objects, its timer in the wheel
//     finished   the body has returned; a handle may still ask for the result, or it is idle in a
//                pool and the next wire of its stack's size will be made of it
//
//     start --> active --park--> waiting --wake--> active --return--> finished --> start ...
#pragma once

#include <array>
#include <cstdint>
#include <exception>

#include <wire/cancel.hpp>
#include <wire/detail/park.hpp>
#include <wire/detail/timer.hpp>
#include <wire/spawn.hpp>
#include <wire/stack.hpp>
#include "context.hpp"

namespace wire::detail {

enum class fiber_state : std::uint8_t { active, waiting, finished };

class fiber_pool;

struct park_timer : timer {
    explicit park_timer(fiber& f) noexcept : timer(&ring), owner(&f) {}
    static void ring(timer& t) noexcept;
    fiber* const owner;
};

struct alignas(cache_line) fiber : fiber_front {
    fiber(scheduler& runs_on, fiber_pool& from, stack its_stack, wire_slot& its_slot) noexcept
        : fiber_front{&root},
          home(&runs_on),
          root(*this),
          slot(&its_slot),
          memory(its_stack),
          pool(&from) {}

    // The first line, with the innermost scope, which is the root when the wire starts and when it
    // ends: all that a switch and a park without deadline write. (The stacks of two wires
    // differ by a few lines modulo a page. What is written here and read in another line of the
    // other wire would look to the processor like the same address, and wait.)
    context ctx;
    const char* waits_for = nullptr;
    std::int64_t since = 0;  // when it began to wait, at the coarse clock of the scheduler
    int outcome = 0;         // what park() will return
    fiber_state state = fiber_state::finished;
    bool shielded = false;  // waiting in a park that only a wake ends
    bool resumed = false;   // a resume() that came before its suspend()

    scheduler* const home;
    park_timer timeout{*this};
    cancel_node root;

    // Of the wire that is made of it now.
    std::uint64_t id = 0;
    const task_shape* shape = nullptr;
    void* task = nullptr;
    void* local = nullptr;  // this_wire::slot()
    std::exception_ptr thrown;
    wire_group* group = nullptr;  // the scope that waits for it
    list<waiter> joiners;
    bool detached = false;  // no handle holds it

    // For good.
    wire_slot* const slot;
    const stack memory;
    fiber_pool* const pool;
    fiber* next_idle = nullptr;
    std::byte* sealed = nullptr;  // while it is idle: where the seal on its stack begins
    std::array<char, 32> name;    // empty: none was given

    [[nodiscard]] const char* shown_name() const noexcept { return name[0] ? name.data() : "wire"; }
};

/// What an exception says, for a diagnostic.
std::array<char, 256> description(const std::exception_ptr& thrown) noexcept;

}  // namespace wire::detail
