// The consumer of a ring, and who makes one, may be killed at any instruction.
//
// A child makes one call, step by step, and is killed after the first, the second, the third ...
// instruction of it. Each time the next consumer must be let in at once and get all that was not
// released, and nobody may attach to half a ring.
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <cstdio>
#include <functional>
#include <future>
#include <optional>
#include <system_error>

#include "support/io.hpp"
#include "support/ring_survivors.hpp"
#include "support/single_step.hpp"

namespace wire::test {
namespace {

using shm::producer;
using shm::ring;

// Four of them fill the lane.
constexpr std::uint64_t lane_bytes = 4096;
constexpr std::uint64_t record_space = lane_bytes / 4;
constexpr std::size_t record_bytes = record_space - shm::detail::record_word::size;

// A ring without a consumer, and its producer.
class orphaned_ring {
public:
    orphaned_ring() {
        const ring first = ring::create_anonymous({.producers = 1, .lane_bytes = lane_bytes});
        fd_ = ::dup(first.descriptor());
        memory_.emplace(fd_);
        CHECK(producer_.attach_fd(::dup(fd_)).error == 0);
    }
    ~orphaned_ring() { ::close(fd_); }

    ring open() const { return ring::open_descriptor(::dup(fd_)); }
    /// A new record of which none was like it.
    std::string next() {
        std::string text = std::to_string(++sent_);
        return text.append(record_bytes - text.size(), '.');
    }
    bool send(const std::string& text, deadline until) {
        return producer_.send(bytes_of(text), until) == 0;
    }
    bool wait_asleep() const { return ring_memory::wait_asleep(memory_->lane(0).room); }
    void wake() { memory_->lane(0).room.ring(); }
    std::uint64_t released() const { return memory_->tail(0) / record_space; }

private:
    int fd_ = -1;
    std::optional<ring_memory> memory_;
    producer producer_;
    int sent_ = 0;
};

struct marks {
    int rounds = 0;
    int released = 0;  // what it had received
};

using consumer = std::optional<ring>;
struct plan {
    std::function<void(consumer&, const orphaned_ring&)> prepare;
    std::function<void(consumer&, const orphaned_ring&)> call;
    int records;
    bool sleeper = false;     // the lane is full, and its producer sleeps until there is room
    bool only_calls = false;  // the short run kills after system calls only
};

// The next consumer, after one that was killed with `released` records done with.
std::string succeeds(const orphaned_ring& r, const heard& sent, std::uint64_t released,
                     const std::function<bool()>& woken) {
    try {
        ring next = r.open();
        if (released > 0 && !woken()) return "the producer sleeps, and there is room";
        for (std::size_t i = released; i < sent.size(); ++i)
            if (const std::string text = hear(next, soon()); text != sent[i])
                return "got " + text.substr(0, 8) + " instead of " + sent[i].substr(0, 8);
        return next.try_peek().code() == EAGAIN ? "" : "there is more than was sent";
    } catch (const std::system_error& error) {
        return error.what();
    }
}

std::string kill_after(const plan& p, orphaned_ring& r, marks& seen,
                       const std::function<void(stepped_child&)>& go, bool reap) {
    heard sent;
    for (int i = 0; i < p.records; ++i)
        if (!r.send(sent.emplace_back(r.next()), soon())) return "the lane has no room";
    const std::uint64_t before = r.released();
    stepped_child child([&] {
        consumer mine;
        if (p.prepare) p.prepare(mine, r);
        mark();
        p.call(mine, r);
        mark();
    });
    std::future<bool> sleeper;
    if (p.sleeper)
        sleeper = std::async(std::launch::async, [&r, text = sent.emplace_back(r.next())] {
            return r.send(text, never);
        });
    const auto woken = [&] {
        return !p.sleeper || sleeper.wait_for(10s) == std::future_status::ready;
    };
    std::string wrong;
    if (!child.at_mark()) wrong = "the child did not come to its mark";
    if (p.sleeper && !r.wait_asleep()) wrong = "the producer does not sleep";
    if (wrong.empty()) go(child);
    child.kill();
    if (reap) child.reap();
    const std::uint64_t released = r.released() - before;
    ++seen.rounds;
    seen.released += released > 0;
    if (wrong.empty()) wrong = succeeds(r, sent, released, woken);
    if (!woken()) {
        if (wrong.empty()) wrong = "the producer sleeps on";
        r.wake();
    }
    return wrong;
}

void report(const course& c, const std::string& what) {
    std::printf("%llu steps, %zu calls; %s\n", static_cast<unsigned long long>(c.steps),
                c.calls.size(), what.c_str());
}

// Calls round(go, even) for each number of steps. Returns what was wrong; "" if nothing was.
template <class Round>
std::string after_each_step(course& c, bool only_calls, Round round) {
    std::string wrong = round([&](stepped_child& child) { c = child.learn_course([] {}); }, true);
    for (const std::uint64_t n : only_calls && !interleave::explores_long() ? c.calls : c.ends()) {
        if (!wrong.empty()) break;
        wrong = round([&](stepped_child& child) { child.go(c, n); }, n % 2 == 0);
        if (!wrong.empty()) wrong += " after " + std::to_string(n) + " steps";
    }
    return wrong;
}

std::string kill_everywhere(const plan& p, marks& seen) {
    orphaned_ring r;
    course c;
    std::string wrong = after_each_step(c, p.only_calls, [&](const auto& go, bool reap) {
        return kill_after(p, r, seen, go, reap);
    });
    report(c, std::to_string(seen.rounds) + " killed, " + std::to_string(seen.released) +
                  " with something released");
    return wrong;
}

void open(consumer& c, const orphaned_ring& r) {
    c.emplace(r.open());
}
// Its first look finds whom to watch, which takes thousands of steps.
void begin(consumer& c, const orphaned_ring& r) {
    open(c, r);
    static_cast<void>(c->try_peek());
}
void receive_one(consumer& c, const orphaned_ring&) {
    if (c->try_peek()) c->release();
}
void receive_two(consumer& c, const orphaned_ring& r) {
    receive_one(c, r);
    receive_one(c, r);
    static_cast<void>(c->try_peek());
}
void only_look(consumer& c, const orphaned_ring&) {
    static_cast<void>(c->try_peek());
    static_cast<void>(c->try_peek());
}
void leave(consumer& c, const orphaned_ring&) {
    c.reset();
}

TEST_CASE("shm ring: a consumer is killed at any instruction of receiving") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    marks seen;
    CHECK(kill_everywhere({begin, receive_two, 3}, seen) == "");
    CHECK(seen.released > 0);
    CHECK(seen.released < seen.rounds);
}

TEST_CASE("shm ring: a consumer is killed at any instruction of its first look") {
    // Or at any system call of it: it takes thousands of steps.
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    marks seen;
    CHECK(kill_everywhere({open, receive_one, 1, false, true}, seen) == "");
    CHECK(seen.released < seen.rounds);
}

TEST_CASE("shm ring: what a consumer has looked at is there for the next") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    marks seen;
    CHECK(kill_everywhere({begin, only_look, 1}, seen) == "");
    CHECK(seen.released == 0);
}

TEST_CASE("shm ring: a consumer is killed at any instruction that wakes a producer") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    marks seen;
    CHECK(kill_everywhere({begin, receive_one, 4, true}, seen) == "");
    CHECK(seen.released > 0);
    CHECK(seen.released < seen.rounds);
}

TEST_CASE("shm ring: a consumer is killed at any instruction of its beginning and end") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    marks seen;
    CHECK(kill_everywhere({{}, open, 2}, seen) == "");
    CHECK(kill_everywhere({begin, leave, 2}, seen) == "");
}

struct attempts {
    int none = 0, half = 0, whole = 0;
};

// The maker was killed: there is no ring, or half of one that nobody attaches to, or all of it.
std::string take_over(const std::string& name, attempts& seen) {
    producer p;
    const int error = p.attach(name.c_str()).error;
    seen.none += error == ENOENT;
    seen.half += error == EAGAIN;
    seen.whole += error == 0;
    if (error != 0 && error != ENOENT && error != EAGAIN) return "attach: " + error_name(error);
    try {
        if (error == EAGAIN) ::shm_unlink(name.c_str());
        ring r = error == 0 ? ring::open(name) : ring::create(name, {.remove = false});
        if (error != 0 && p.attach(name.c_str()).error != 0) return "nobody can attach";
        if (p.try_send(bytes_of("first")) != 0 || hear(r, soon()) != "first")
            return "the ring does not work";
    } catch (const std::system_error& e) {
        return e.what();
    }
    ::shm_unlink(name.c_str());
    return "";
}

TEST_CASE("shm ring: whoever makes a ring is killed at any instruction of it") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    const std::string name = "/wire-test-made-" + std::to_string(::getpid());
    attempts seen;
    course c;
    const auto round = [&](const auto& go, bool reap) {
        stepped_child child([&] {
            mark();
            const ring r = ring::create(name, {.producers = 1, .lane_bytes = 4096});
            mark();
        });
        go(child);
        child.kill();
        if (reap) child.reap();
        return take_over(name, seen);
    };
    CHECK(after_each_step(c, false, round) == "");
    report(c, std::to_string(seen.none) + " found none, " + std::to_string(seen.half) +
                  " half of one, " + std::to_string(seen.whole) + " a ring");
    CHECK(seen.none > 0);
    CHECK(seen.half > 0);
    CHECK(seen.whole > 0);
}

}  // namespace
}  // namespace wire::test
