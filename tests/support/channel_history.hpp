// What came of a program of channel operations: the outcome of every call, in order.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <string>
#include <vector>

#include "channel_program.hpp"

namespace wire::test {

/// A call has returned.
struct outcome {
    int wire = 0;
    int step = 0;
    int code = 0;     // its errno
    int value = 0;    // what was received
    int chosen = -1;  // the arm of a select, the number of the recv_wait that was triggered
    int ms = 0;       // when
    std::array<int, arms_max> kept{};  // what the caller still has of what was to be sent
    std::array<int, 3> sizes{};        // of all channels
    std::array<bool, 3> closed{};

    bool operator==(const outcome&) const = default;
};

/// The channel is destroyed already: the step is left out.
constexpr int gone = EBADF;
/// There is no recv_wait of that number, or one already: the step is left out.
constexpr int left_out = EEXIST;

struct history {
    std::vector<outcome> events;
    int run_code = 0;    // of run()
    int live = 0;        // values that have not been destroyed
    int mistreated = 0;  // values that were destroyed twice, or used after that
};

inline std::string text_of_code(int code) {
    switch (code) {
        case 0:
            return "ok";
        case EPIPE:
            return "EPIPE";
        case EAGAIN:
            return "EAGAIN";
        case ETIMEDOUT:
            return "ETIMEDOUT";
        case ECANCELED:
            return "ECANCELED";
        case ENODATA:
            return "ended";
        case EINVAL:
            return "EINVAL";
        case EDEADLK:
            return "EDEADLK";
        case gone:
            return "(no channel)";
        case left_out:
            return "(left out)";
        default:
            return "error " + std::to_string(code);
    }
}

/// "w1.0 recv c0: ok, the value of w0.0; at 3 ms, sizes 0 1"
inline std::string text_of(const outcome& e, const program& p) {
    const auto wire = static_cast<std::size_t>(e.wire), at = static_cast<std::size_t>(e.step);
    std::string t = "w" + std::to_string(e.wire) + "." + std::to_string(e.step) + " ";
    t += text_of(p.wires[wire][at]) + ": " + text_of_code(e.code);
    if (e.value) t += ", " + text_of_value(e.value);
    if (e.chosen >= 0) t += ", number " + std::to_string(e.chosen);
    for (const int k : e.kept)
        if (k) t += ", keeps " + text_of_value(k);
    t += "; at " + std::to_string(e.ms) + " ms, sizes";
    for (std::size_t c = 0; c < p.capacities.size(); ++c)
        t += " " + std::to_string(e.sizes[c]) + (e.closed[c] ? " closed" : "");
    return t;
}

}  // namespace wire::test
