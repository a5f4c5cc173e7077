// What happened, in order. Scheduling is FIFO and cooperative, so a test can demand it exactly.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace wire::test {

/// "late" and 110 is "late110".
inline std::string with_number(std::string text, int n) {
    return text.append(std::to_string(n));
}

class trace : public std::vector<std::string> {
public:
    using vector::vector;

    /// Appends one event.
    void operator()(std::string event) { push_back(std::move(event)); }

    /// Appends one event that carries a number: log("got", 7) adds "got7".
    template <class Number>
    void operator()(const std::string& event, Number n) {
        push_back(event + std::to_string(n));
    }

    friend std::ostream& operator<<(std::ostream& out, const trace& t) {
        out << '{';
        for (std::size_t i = 0; i < t.size(); ++i) out << (i ? ", " : "") << t[i];
        return out << '}';
    }
};

}  // namespace wire::test
