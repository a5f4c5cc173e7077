// Runs a piece of a test as a wire.
#pragma once

#include <doctest/doctest.h>

#include <type_traits>

#include "support/count_malloc.hpp"
#include "support/dies.hpp"
#include "support/sim_poller.hpp"

namespace wire::test {

/// Runs `fn(sim&)`, or `fn()`, as a wire of a runtime on a virtual clock.
template <class F>
void on_wire(F fn) {
    sim s;
    s.rt.go([&] {
        if constexpr (std::is_invocable_v<F, sim&>)
            fn(s);
        else
            fn();
    });
    CHECK(s.rt.run());
}

/// Whether `fn()`, as a wire, breaks a contract and so ends its program with `text`.
template <class F>
bool wire_dies(F fn, std::string_view text) {
    return dies([&] { on_wire(fn); }, text);
}

/// What `steps()`, as a wire, allocates when it runs for the second time.
template <class F>
std::size_t allocations_of(F steps) {
    std::size_t allocated = 0;
    on_wire([&](sim&) {
        steps();
        const allocation_count count;
        steps();
        allocated = count.value();
    });
    return allocated;
}

}  // namespace wire::test
