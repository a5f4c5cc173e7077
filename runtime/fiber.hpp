// The control block of a wire. It lies at the top of the wire's own stack, above its callable:
//
//     base                                              block   top
//     | free stack ...        <-- frames | task | fiber ........|
//
// Every wire is in exactly one state:
//
//     ready      in the scheduler's ready queue
//     running    scheduler::running_ points to it
//     waiting    in park(); its waiters are in the queues of objects, its timer in the wheel
//     finished   the body has returned; kept only while a handle can still ask for the result
//
//     start --> ready --> running --park--> waiting --wake--> ready
//                 ^          |  `--return--> finished
//                 `--yield---'
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

enum class fiber_state : std::uint8_t { ready, running, waiting, finished };

struct park_timer : timer {
    explicit park_timer(fiber& f) noexcept : timer(&ring), owner(&f) {}
    static void ring(timer& t) noexcept;
    fiber* const owner;
};

struct alignas(cache_line) fiber {
    fiber(scheduler& runs_on, stack_cache& from, stack its_stack, const task_shape& shape,
          void* its_task, std::uint64_t number) noexcept
        : scope(&root),
          home(&runs_on),
          root(*this),
          id(number),
          task(its_task),
          run(shape.run),
          drop_result(shape.drop_result),
          memory(its_stack),
          cache(&from),
          detached(!shape.joinable) {}

    // The first line: all that a switch and a park without deadline touch.
    context ctx;
    fiber_state state = fiber_state::ready;
    bool resumed = false;    // a resume() that came before its suspend()
    bool suspended = false;  // waiting in suspend(), not for something else
    int outcome = 0;         // what park() will return
    cancel_node* scope;      // the innermost

    scheduler* const home;
    const char* waits_for = nullptr;
    std::int64_t since = 0;  // when it began to wait, at the coarse clock of the scheduler
    park_timer timeout{*this};
    cancel_node root;

    const std::uint64_t id;
    wire_slot* slot = nullptr;
    void* local = nullptr;  // this_wire::slot()
    void* const task;
    void (*const run)(void* task);
    void (*const drop_result)(void* task) noexcept;
    std::exception_ptr thrown;
    list<waiter> joiners;
    const stack memory;
    stack_cache* const cache;
    bool detached;
    std::array<char, 32> name;  // empty: none was given

    [[nodiscard]] const char* shown_name() const noexcept { return name[0] ? name.data() : "wire"; }
};

}  // namespace wire::detail
