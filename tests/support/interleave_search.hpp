// The choices of an execution, and the record of what it did. See interleave.hpp.
#pragma once

#include <algorithm>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace interleave {

/// The answers to all choices of one execution.
using schedule = std::vector<int>;

namespace detail {

/// Walks the tree of choices, depth first. The answers given so far are the path; the next
/// execution repeats it up to the last choice that has an answer left, and gives that.
class search {
public:
    explicit search(const schedule& start) {
        for (const int answer : start) path_.push_back({answer, 0});
    }

    std::size_t choose(std::size_t n) {
        if (n <= 1) return 0;
        if (position_ == path_.size()) path_.push_back({0, static_cast<int>(n)});
        choice& c = path_[position_++];
        if (c.of == 0) c.of = static_cast<int>(n);
        same_tree_ = same_tree_ && c.of == static_cast<int>(n) && c.answer < c.of;
        return same_tree_ ? static_cast<std::size_t>(c.answer) : 0;
    }

    void restart() { position_ = 0; }

    /// Turns to the next execution; false if there is none.
    bool advance() {
        for (; !path_.empty(); path_.pop_back())
            if (++path_.back().answer < path_.back().of) return true;
        return false;
    }

    /// False once the execution has met other choices than the one it repeats.
    [[nodiscard]] bool same_tree() const { return same_tree_ && position_ == path_.size(); }

    [[nodiscard]] schedule answers() const {
        schedule s;
        for (const choice& c : path_) s.push_back(c.answer);
        while (!s.empty() && s.back() == 0) s.pop_back();  // what is missing is answered by 0
        return s;
    }

private:
    struct choice {
        int answer;
        int of;  // 0: given by a schedule, not met yet
    };
    std::vector<choice> path_;
    std::size_t position_ = 0;
    bool same_tree_ = true;
};

/// Memory of at most eight bytes, whose value is treated as a number.
struct cell {
    void* at;
    std::size_t size;

    [[nodiscard]] std::uint64_t get() const {
        std::uint64_t bits = 0;
        std::memcpy(&bits, at, size);
        return bits;
    }
    void set(std::uint64_t bits) const { std::memcpy(at, &bits, size); }
};

/// What happened, line by line; kept only when a failed execution is repeated.
class trace {
public:
    void keep() { kept_ = true; }
    [[nodiscard]] const std::string& text() const { return text_; }

    [[gnu::format(printf, 3, 4)]] void line(std::size_t thread, const char* format, ...) {
        if (!kept_) return;
        char what[200];
        va_list args;
        va_start(args, format);
        std::vsnprintf(what, sizeof what, format, args);
        va_end(args);
        text_ += "  T" + std::to_string(thread) + "  " + what + "\n";
    }

    void access(std::size_t thread, const char* verb, cell at, std::uint64_t bits) {
        if (kept_) line(thread, "%-9s a%zu  %#llx", verb, number(at.at), 0ULL + bits);
    }

private:
    // Places are numbered in the order in which they are first touched.
    std::size_t number(const void* at) {
        const auto found = std::find(places_.begin(), places_.end(), at);
        const auto n = static_cast<std::size_t>(found - places_.begin());
        if (found == places_.end()) places_.push_back(at);
        return n;
    }

    bool kept_ = false;
    std::string text_;
    std::vector<const void*> places_;
};

}  // namespace detail
}  // namespace interleave
