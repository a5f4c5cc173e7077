// The choices of an execution, and the record of what it did. See interleave.hpp.
#pragma once

#include <algorithm>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace interleave {

/// The answers to all choices of one execution.
using schedule = std::vector<int>;

namespace detail {

/// Walks the tree of choices, depth first. The answers given so far are the path; the next
/// execution repeats it up to the last choice that has an answer left, and gives that. Where the
/// tree is too large for that, draw(): each execution is then one path at random.
class search {
public:
    explicit search(const schedule& start) {
        for (const int answer : start) path_.push_back({answer, 0});
    }

    std::size_t choose(std::size_t n) {
        if (n <= 1) return 0;
        if (position_ == path_.size()) path_.push_back({first_answer(n), static_cast<int>(n)});
        choice& c = path_[position_++];
        if (c.of == 0) c.of = static_cast<int>(n);
        same_tree_ = same_tree_ && c.of == static_cast<int>(n) && c.answer < c.of;
        return same_tree_ ? static_cast<std::size_t>(c.answer) : 0;
    }

    /// A choice among so many that the first answer is the usual one.
    std::size_t choose_seldom_another(std::size_t n) {
        is_usual_ = draws_ && random_() % seldom_ != 0;
        const std::size_t answer = choose(n);
        is_usual_ = false;
        return answer;
    }

    void restart() { position_ = 0; }

    /// From now on answers are drawn, always the same ones.
    void draw() {
        draws_ = true;
        advance();
    }

    /// Turns to the next execution; false if there is none.
    bool advance() {
        if (draws_) {
            path_.clear();
            // Some executions are to have their preemptions early, some late.
            seldom_ = 4U << random_() % 6;
            return true;
        }
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

    int first_answer(std::size_t n) {
        return draws_ && !is_usual_ ? static_cast<int>(random_() % n) : 0;
    }

    std::vector<choice> path_;
    std::size_t position_ = 0;
    bool same_tree_ = true;
    bool draws_ = false;
    bool is_usual_ = false;
    std::uint32_t seldom_ = 4;
    std::mt19937 random_{1};
};

/// Memory of one, two, four or eight bytes, whose value is treated as a number.
struct cell {
    void* at;
    std::size_t size;

    [[nodiscard]] std::uint64_t get() const {
        switch (size) {  // of a size that the compiler knows: no call
            case 1:
                return get_as<std::uint8_t>();
            case 2:
                return get_as<std::uint16_t>();
            case 4:
                return get_as<std::uint32_t>();
            default:
                return get_as<std::uint64_t>();
        }
    }
    void set(std::uint64_t bits) const {
        switch (size) {
            case 1:
                return set_as<std::uint8_t>(bits);
            case 2:
                return set_as<std::uint16_t>(bits);
            case 4:
                return set_as<std::uint32_t>(bits);
            default:
                return set_as<std::uint64_t>(bits);
        }
    }

private:
    template <class T>
    [[nodiscard]] std::uint64_t get_as() const {
        T value;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
    template <class T>
    void set_as(std::uint64_t bits) const {
        const T value = static_cast<T>(bits);
        std::memcpy(at, &value, sizeof value);
    }
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
