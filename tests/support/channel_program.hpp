// Programs for the test that compares channels with a model: what some wires do, step by step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace wire::test {

enum class op : unsigned char {
    send,
    recv,
    try_send,
    try_recv,  // on `channel`
    range,
    drain,  // up to `other` values: by a loop; by try_recv()
    close,
    end,     // end: destroys it
    select,  // over `arms`
    open,    // a recv_wait on `channel`, as number `other` of the list
    await,   // the list
    take,
    reset,
    stop,
    trigger,
    drop,  // number `other` of the list
    cancel,
    kill,  // the step that wire `other` is in; the whole wire
    yield,
    sleep,
};

constexpr int forever = -1;
constexpr int waits_max = 2;  // recv_waits of one wire
constexpr int arms_max = 4;

struct arm {
    enum kind_type : unsigned char { recv, send, deadline, otherwise } kind;
    int channel = 0;
    int ms = 0;  // of a deadline
};

struct step {
    op what;
    int channel = 0;
    int other = 0;
    int ms = forever;  // its deadline: so long from when it begins
    std::vector<arm> arms = {};
};

/// The wires start in order. When nothing moves any more, the last wire, which is not in the list,
/// empties and closes all channels and cancels what still waits; see with_janitor().
struct program {
    std::uint64_t seed = 0;
    std::vector<int> capacities;  // of the channels
    std::vector<std::vector<step>> wires;

    [[nodiscard]] std::size_t steps() const {
        std::size_t n = 0;
        for (const auto& w : wires) n += w.size();
        return n;
    }
};

inline bool has_waits_on(const program& p, int channel) {
    for (const auto& w : p.wires)
        for (const step& s : w)
            if (s.what == op::open && s.channel == channel) return true;
    return false;
}

/// The program with the wire that ends it. A recv_wait must be gone before its channel is, so a
/// channel that one refers to is closed, and any other one destroyed.
inline program with_janitor(program p) {
    std::vector<step> janitor;
    janitor.push_back({.what = op::sleep, .ms = 1000});
    for (int c = 0; c < static_cast<int>(p.capacities.size()); ++c) {
        if (c % 2 == 0) janitor.push_back({.what = op::drain, .channel = c, .other = 100});
        const op last = has_waits_on(p, c) ? op::close : op::end;
        janitor.push_back({.what = last, .channel = c});
    }
    janitor.push_back({.what = op::yield});
    for (int w = 0; w < static_cast<int>(p.wires.size()); ++w)
        janitor.push_back({.what = op::kill, .other = w});
    p.wires.push_back(std::move(janitor));
    return p;
}

/// The value that a step sends, or its arm.
constexpr int value_of(int wire, int step, int arm = 0) {
    return (wire * 100 + step) * 10 + arm + 1;
}

// ---- as text

inline std::string text_of_value(int value) {
    if (value <= 0) return value == 0 ? "nothing" : "garbage";
    const int arm = (value - 1) % 10, step = (value - 1) / 10 % 100, wire = (value - 1) / 1000;
    return "the value of w" + std::to_string(wire) + "." + std::to_string(step) +
           (arm ? std::string(1, static_cast<char>('a' + arm)) : "");
}

inline std::string text_of(const arm& a) {
    const std::string c = " c" + std::to_string(a.channel);
    switch (a.kind) {
        case arm::recv:
            return "recv" + c;
        case arm::send:
            return "send" + c;
        case arm::deadline:
            return "within " + std::to_string(a.ms) + " ms";
        default:
            return "otherwise";
    }
}

inline std::string name_of(op what) {
    constexpr const char* names[]{"send",  "recv",   "try_send", "try_recv", "range",
                                  "drain", "close",  "end",      "select",   "open",
                                  "await", "take",   "reset",    "stop",     "trigger",
                                  "drop",  "cancel", "kill",     "yield",    "sleep"};
    return names[static_cast<std::size_t>(what)];
}

inline std::string text_of(const step& s) {
    std::string t = name_of(s.what);
    const std::string number = std::to_string(s.other);
    if (s.what <= op::end) t += " c" + std::to_string(s.channel);
    if (s.what == op::open) t += " n" + number + " on c" + std::to_string(s.channel);
    if (s.what == op::range || s.what == op::drain) t += ", at most " + number;
    if (s.what >= op::take && s.what <= op::drop) t += " n" + number;
    if (s.what == op::cancel || s.what == op::kill) t += " w" + number;
    if (s.what == op::select) {
        t += " {";
        for (std::size_t i = 0; i < s.arms.size(); ++i) t += (i ? " | " : "") + text_of(s.arms[i]);
        t += "}";
    }
    if (s.ms != forever) t += " within " + std::to_string(s.ms) + " ms";
    return t;
}

inline std::string text_of(const program& p) {
    std::string t = "seed " + std::to_string(p.seed) + ", channels:";
    for (std::size_t c = 0; c < p.capacities.size(); ++c)
        t += " c" + std::to_string(c) + "(" + std::to_string(p.capacities[c]) + ")";
    t += "\n";
    for (std::size_t w = 0; w < p.wires.size(); ++w) {
        t += "  w" + std::to_string(w) + ":";
        for (std::size_t s = 0; s < p.wires[w].size(); ++s)
            t += (s ? "; " : " ") + text_of(p.wires[w][s]);
        t += "\n";
    }
    return t;
}

}  // namespace wire::test
