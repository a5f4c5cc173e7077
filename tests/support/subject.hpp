// What the tests of blocking calls demand of one: see blocking_calls.hpp.
#pragma once

#include <functional>

#include <wire/this_wire.hpp>
#include <wire/wires.hpp>

namespace wire::test {

// Something to block on, with its state.
struct subject {
    std::function<int(deadline)> block;  // returns 0 if it has received, and then has taken it
    std::function<void()> deliver;       // lets one block() succeed, now or later
    std::function<bool()> left;          // takes back what was delivered and not received
};

// Lets other wires run, in whatever order they do, until this one waits or has ended.
inline void let_settle(const wire_ref& w) {
    const auto runs = [&] {
        for (const wire_info& info : wires())
            if (info.id == w.id())
                return info.state != wire_state::waiting && info.state != wire_state::finished;
        return false;
    };
    while (runs()) yield();
}

// The same for all other wires.
inline void settle() {
    const auto somebody_runs = [] {
        for (const wire_info& info : wires())
            if (info.state == wire_state::ready) return true;
        return false;
    };
    while (somebody_runs()) yield();
}

struct blocking_call {
    const char* name;
    std::function<subject()> make;
    // deliver() wakes; otherwise the kernel does, or a message in the inbox, at the next look.
    bool wakes = true;
};

}  // namespace wire::test
