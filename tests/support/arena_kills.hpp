// Kills a user of an arena after each instruction of a call, and asks those who live on.
//
// The arena is the same all the time, and after each child everything must be as before it: so what
// is lost with one is felt. What the child has sent and received is told by the counts of the
// queues at the moment of its death.
#pragma once

#include <doctest/doctest.h>

#include <cstdio>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "arena.hpp"
#include "arena_moments.hpp"

namespace wire::test {

inline constexpr std::size_t heap_bytes = 96 * 1024;
inline constexpr std::uint32_t from_child = 1, to_child = 2, of_child_alone = 3;

inline std::string small(int i) {
    return std::string("small ").append(std::to_string(i));
}
inline std::string large(int i) {
    return std::string(9000, static_cast<char>('a' + i));
}
/// What the survivors have sent to the child.
inline std::vector<std::string> all_to_child() {
    return {small(0), large(1), small(2)};
}

/// The child.
struct visitor {
    std::string name;
    std::optional<arena> in = {};
    arena_record one = {}, two = {};

    void come() { in.emplace(arena::open(name)); }
    void join() {
        come();
        must(in->add_channel(from_child, role::producer).has_value(), "it can produce");
        must(in->add_channel(to_child, role::consumer).has_value(), "it can consume");
    }
    void hold(std::size_t n) {
        one = *in->allocate(n);
        two = *in->allocate(n);
    }
};

/// What was seen of children before they were killed.
struct arena_marks {
    int rounds = 0;
    int locked = 0;     // it had the lock
    int none_sent = 0;  // of those who sent
    int sent = 0;
    int received = 0;
};

/// What a child does: `prepare` at full speed, `call` step by step.
struct arena_plan {
    std::function<void(visitor&)> prepare;
    std::function<void(visitor&)> call;
    std::vector<std::string> sends = {};
    /// The consumer sleeps meanwhile; otherwise it looks afterwards.
    bool sleeping = false;
    /// It never has the lock: others do what needs none while it is stopped.
    bool needs_no_lock = false;
    /// What is done to the arena before the child comes, and afterwards.
    std::function<void(const std::string&)> before = {};
    std::function<std::string(arena&)> after = {};
};

/// Those who live on.
class arena_survivors {
public:
    arena_survivors() {
        must(a_.add_channel(from_child, role::consumer).has_value(), "a channel");
        // Somebody has been there, so that it can be heard that nobody is.
        must(b_.add_channel(from_child, role::producer).has_value(), "a channel");
        must(b_.leave_channel(from_child).has_value(), "it is in it");
        must(a_.add_channel(to_child, role::producer).has_value(), "a channel");
    }
    const std::string& name() const { return name_; }
    arena_memory& memory() { return memory_; }

    void begin() {
        for (const std::string& text : all_to_child())
            must(sent(a_, to_child, text) == "", "there is room");
        sent_ = memory_.sent(from_child);
        received_ = memory_.received(to_child);
    }
    void sleep() {
        heard_.clear();
        sleeper_ = std::jthread([this] { listen(); });
    }
    bool asleep() { return memory_.wait_asleep(from_child); }

    /// The child is stopped, and does not have the lock.
    std::string go_on() {
        arena_record r = made(a_, "while it is stopped");
        if (!r || !a_.free(std::move(r))) return "nobody can allocate while it is stopped";
        return "";
    }
    /// The child is about to be killed.
    void look(const arena_plan& p, arena_marks& seen) {
        const auto n = memory_.sent(from_child) - sent_;
        expected_.assign(p.sends.begin(), p.sends.begin() + static_cast<std::ptrdiff_t>(n));
        taken_ = static_cast<std::ptrdiff_t>(memory_.received(to_child) - received_);
        ++seen.rounds;
        seen.locked += memory_.is_locked();
        seen.none_sent += n == 0;
        seen.sent += n != 0;
        seen.received += taken_ != 0;
    }
    /// It is dead. Returns what went wrong.
    std::string check(const arena_plan& p) {
        if (sleeper_.joinable())
            sleeper_.join();
        else
            listen();
        if (heard_ != expected_) return std::string("heard ").append(joined(heard_));
        if (last_ != "!EPIPE") return "at the end: " + last_;
        if (a_.has_producers(from_child)) return "there is a producer still";
        if (std::string wrong = take_the_rest(); !wrong.empty()) return wrong;
        if (p.after)
            if (std::string wrong = p.after(a_); !wrong.empty()) return wrong;
        return as_before();
    }

private:
    static std::string joined(const std::vector<std::string>& all) {
        std::string text;
        for (const std::string& one : all) text.append("[").append(one, 0, 20).append("]");
        return text;
    }
    void listen() {
        heard_.clear();
        for (;;) {
            const auto r = a_.recv(from_child, soon());
            last_ = error_of(r);
            if (!r) return;
            heard_.push_back(text_of(*r));
        }
    }
    // Another consumer goes on where the child was.
    std::string take_the_rest() {
        if (const auto added = b_.add_channel(to_child, role::consumer); !added)
            return "nobody can consume: " + error_of(added);
        const auto all = all_to_child();
        for (auto next = all.begin() + taken_; next != all.end(); ++next)
            if (const std::string got = received(b_, to_child, within(0s)); got != *next)
                return std::to_string(taken_) + " were received, then: " + got.substr(0, 20);
        if (received(b_, to_child, within(0s)) != "!ETIMEDOUT") return "something is doubled";
        if (!b_.leave_channel(to_child)) return "it cannot leave";
        return "";
    }
    std::string as_before() {
        static_cast<void>(a_.allocate(heap_bytes));  // fails, and looks for all that is free
        const std::size_t free = longest_free(a_, heap_bytes);
        if (free != heap_bytes - record_overhead)
            return std::string("only ").append(std::to_string(free)).append(" free");
        if (memory_.users() != 2) return std::to_string(memory_.users()) + " users";
        if (a_.channels().size() != 2) return std::to_string(a_.channels().size()) + " channels";
        if (memory_.is_locked()) return "it is locked";
        return "";
    }

    const std::string name_ = arena::unique_name();
    arena a_ = arena::create(name_, {.size = heap_bytes, .channels = 4});
    arena b_ = arena::open(name_);
    arena_memory memory_{name_};
    std::uint64_t sent_ = 0, received_ = 0;
    std::vector<std::string> expected_, heard_;
    std::ptrdiff_t taken_ = 0;
    std::string last_;
    std::jthread sleeper_;
};

inline std::string kill_after(const arena_plan& p, arena_survivors& s, arena_marks& seen,
                              const std::function<void(stepped_child&)>& go, bool reap) {
    if (p.before) p.before(s.name());
    s.begin();
    stepped_child child([&] {
        visitor v{.name = s.name()};
        if (p.prepare) p.prepare(v);
        mark();
        p.call(v);
        mark();
    });
    if (!child.at_mark()) return "the child did not come to its mark";
    if (p.sleeping) {
        s.sleep();
        if (!s.asleep()) return "the consumer does not sleep";
    }
    go(child);
    if (p.needs_no_lock)
        if (std::string wrong = s.go_on(); !wrong.empty()) return wrong;
    s.look(p, seen);
    child.kill();
    if (reap) child.reap();
    return s.check(p);
}

/// Returns what went wrong, and after how many steps; "" if nothing did.
inline std::string kill_everywhere(const arena_plan& p, arena_marks& seen) {
    arena_survivors s;
    moments when(s.memory());
    std::string wrong = kill_after(
        p, s, seen, [&](stepped_child& c) { when.learn(c); }, true);
    const int descriptors = open_descriptors();
    for (const std::uint64_t n : when.all()) {
        if (!wrong.empty()) break;
        const auto go = [&](stepped_child& child) { child.go(when.of_child(), n); };
        wrong = kill_after(p, s, seen, go, n % 2 == 0);
        if (!wrong.empty()) wrong.append(" after ").append(std::to_string(n)).append(" steps");
    }
    if (wrong.empty() && !descriptors_fall_to(descriptors + 3)) wrong = "descriptors stay open";
    std::printf(
        "%llu steps, %zu stores, %zu calls; of %d killed: %d with the lock, %d had sent, "
        "%d received\n",
        static_cast<unsigned long long>(when.of_child().steps), when.stores(),
        when.of_child().calls.size(), seen.rounds, seen.locked, seen.sent, seen.received);
    return wrong;
}

}  // namespace wire::test
