// Timers: the wheel against a std::multimap, and sleeping on a virtual clock.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include <wire/runtime.hpp>
#include "support/environment.hpp"
#include "support/fifo.hpp"
#include "support/sim_poller.hpp"
#include "support/trace.hpp"
#include "timer_wheel.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;
using wire::detail::timer;
using wire::detail::timer_wheel;

namespace {

constexpr std::int64_t end_of_time = std::numeric_limits<std::int64_t>::max();

struct logged_timer : timer {
    logged_timer() noexcept
        : timer([](timer& t) noexcept {
              auto& self = static_cast<logged_timer&>(t);
              self.log->push_back(self.id);
          }) {}
    int id = 0;
    std::vector<int>* log = nullptr;
};

// What a wheel should do, by the plainest means: ordered by time, and by arming within equal times.
class model {
public:
    void arm(int id, std::int64_t at, std::int64_t now) {
        places_[id] = due_.emplace(std::max(at, now), id);
    }
    void disarm(int id) {
        due_.erase(places_.at(id));
        places_.erase(id);
    }
    std::vector<int> expire(std::int64_t now) {
        std::vector<int> fired;
        while (!due_.empty() && due_.begin()->first <= now) {
            fired.push_back(due_.begin()->second);
            disarm(fired.back());
        }
        return fired;
    }
    [[nodiscard]] std::int64_t earliest() const {
        return due_.empty() ? end_of_time : due_.begin()->first;
    }
    [[nodiscard]] std::size_t size() const { return due_.size(); }

private:
    std::multimap<std::int64_t, int> due_;  // keeps the order of insertion of equal keys
    std::map<int, std::multimap<std::int64_t, int>::iterator> places_;
};

std::int64_t later(std::int64_t now, std::int64_t delta) {
    return delta > end_of_time - now ? end_of_time : now + delta;
}

// Both side by side, through `operations` random steps.
class walk {
public:
    walk(std::uint64_t seed, std::int64_t start, unsigned bits_max)
        : random_(seed), now_(start), wheel_(start), bits_max_(bits_max) {
        for (int i = 0; i < timers; ++i) {
            all_.push_back(std::make_unique<logged_timer>());
            all_.back()->id = i;
            all_.back()->log = &fired_;
        }
    }

    bool step() {
        logged_timer& t = *all_[random_() % timers];
        switch (random_() % 8) {
            case 0:
            case 1:
            case 2:
            case 3:
                if (!t.armed()) arm(t);
                break;
            case 4:
            case 5:
                if (t.armed()) disarm(t);
                break;
            default:
                if (!expire(next_time())) return false;
        }
        return wheel_.armed() == model_.size() && due_is_right();
    }

    bool finish() { return expire(end_of_time) && wheel_.armed() == 0; }

private:
    static constexpr int timers = 300;

    // Magnitudes are uniform, so that every level of the wheel is used.
    std::int64_t magnitude() {
        const auto bits = random_() % (bits_max_ + 1);
        return static_cast<std::int64_t>(random_() & ((std::uint64_t{1} << bits) - 1));
    }
    void arm(logged_timer& t) {
        std::int64_t at = later(now_, magnitude());
        if (random_() % 8 == 0) at = now_ - std::min(now_, magnitude());
        if (random_() % 4 == 0) at = last_at_;  // several of equal time
        last_at_ = at;
        wheel_.arm(t, at);
        model_.arm(t.id, at, now_);
    }
    void disarm(logged_timer& t) {
        wheel_.disarm(t);
        model_.disarm(t.id);
    }
    std::int64_t next_time() {
        switch (random_() % 4) {
            case 0:
                return std::max(now_, std::min(wheel_.next_due(), later(now_, 1 << 20)));
            case 1:
                return later(now_, magnitude() >> 20);
            default:
                return later(now_, static_cast<std::int64_t>(random_() % 100));
        }
    }
    bool expire(std::int64_t now) {
        now_ = now;
        fired_.clear();
        wheel_.expire(now);
        return fired_ == model_.expire(now);
    }
    bool due_is_right() {
        if (model_.size() == 0) return wheel_.next_due() == end_of_time;
        return wheel_.next_due() <= model_.earliest();
    }

    std::mt19937_64 random_;
    std::int64_t now_;
    std::int64_t last_at_ = 0;
    timer_wheel wheel_;
    model model_;
    unsigned bits_max_;
    std::vector<std::unique_ptr<logged_timer>> all_;
    std::vector<int> fired_;
};

}  // namespace

TEST_CASE("timer wheel: 100,000 random operations do what a multimap does") {
    const int operations = wire::test::under_valgrind() ? 10'000 : 100'000;
    for (const unsigned bits : {8u, 24u, 40u, 62u}) {
        for (std::uint64_t seed = 1; seed <= 3; ++seed) {
            CAPTURE(bits);
            CAPTURE(seed);
            walk w(seed, seed == 1 ? 0 : static_cast<std::int64_t>(seed * 1'234'567'890'123), bits);
            int good = 0;
            while (good < operations && w.step()) ++good;
            CHECK(good == operations);
            CHECK(w.finish());
        }
    }
}

TEST_CASE("timer wheel: timers of equal time fire in the order in which they were armed") {
    std::vector<int> fired;
    timer_wheel wheel(1000);
    std::vector<logged_timer> all(100);
    for (int i = 0; i < 100; ++i) {
        all[static_cast<std::size_t>(i)].id = i;
        all[static_cast<std::size_t>(i)].log = &fired;
    }
    // Armed from ever closer, so that they start on different levels.
    std::int64_t now = 1000;
    for (auto& t : all) {
        wheel.arm(t, 5'000'000'000);
        now += (5'000'000'000 - now) / 2;
        wheel.expire(now);
    }
    CHECK(fired.empty());
    wheel.expire(5'000'000'000);
    CHECK(fired.size() == 100);
    CHECK(std::is_sorted(fired.begin(), fired.end()));
}

TEST_CASE("timer wheel: next_due is exact for one timer, at every distance") {
    for (unsigned bits = 0; bits < 63; ++bits) {
        std::vector<int> fired;
        timer_wheel wheel(7);
        logged_timer t;
        t.log = &fired;
        const std::int64_t at = later(7, std::int64_t{1} << bits);
        wheel.arm(t, at);
        CHECK(wheel.next_due() == at);
        wheel.expire(at - 1);
        CHECK(fired.empty());
        wheel.expire(at);
        CHECK(fired.size() == 1);
        CHECK(wheel.next_due() == end_of_time);
    }
}

TEST_CASE("timer wheel: following next_due reaches the earliest timer in a few steps") {
    std::vector<int> fired;
    timer_wheel wheel(12'345);
    std::vector<logged_timer> all(1000);  // far apart, so that many share a slot of a high level
    std::int64_t at = std::int64_t{1} << 45;
    for (auto& t : all) {
        t.log = &fired;
        wheel.arm(t, at += 977);
    }
    int steps = 0;
    while (fired.empty() && steps < 100) {
        wheel.expire(wheel.next_due());
        ++steps;
    }
    CHECK(fired.size() == 1);
    CHECK(steps <= 11);
}

TEST_CASE("timer wheel: a time that has passed fires at the next expire") {
    std::vector<int> fired;
    timer_wheel wheel(1'000'000);
    logged_timer past, negative;
    past.log = negative.log = &fired;
    negative.id = 1;
    wheel.arm(past, 5);
    wheel.arm(negative, -5);
    CHECK(wheel.next_due() <= 1'000'000);
    wheel.expire(1'000'000);
    CHECK(fired == std::vector<int>{0, 1});
}

TEST_CASE("timer wheel: the end of time can be armed and never fires before") {
    std::vector<int> fired;
    timer_wheel wheel(1);
    logged_timer t;
    t.log = &fired;
    wheel.arm(t, end_of_time);
    wheel.expire(end_of_time - 1);
    CHECK(fired.empty());
    wheel.disarm(t);
    CHECK(wheel.armed() == 0);
}

TEST_CASE("timer wheel: a callback may disarm timers that are due, and arm others") {
    struct chained : timer {
        chained(timer_wheel& w, timer& v, timer& n) noexcept
            : timer([](timer& t) noexcept {
                  auto& self = static_cast<chained&>(t);
                  self.wheel.disarm(self.victim);
                  self.wheel.arm(self.next, 200);
              }),
              wheel(w),
              victim(v),
              next(n) {}
        timer_wheel& wheel;
        timer& victim;
        timer& next;
    };
    std::vector<int> fired;
    timer_wheel wheel;
    logged_timer victim, next;
    victim.log = next.log = &fired;
    next.id = 7;
    chained first(wheel, victim, next);
    wheel.arm(first, 100);
    wheel.arm(victim, 100);
    wheel.expire(150);
    CHECK(fired.empty());
    CHECK_FALSE(victim.armed());
    CHECK(next.armed());
    wheel.expire(250);
    CHECK(fired == std::vector<int>{7});
}

TEST_CASE("sleep: wires wake in the order of their deadlines, at exactly those times") {
    sim s;
    trace log;
    for (const int ms : {30, 10, 20}) {
        s.rt.go([&, ms] {
            CHECK(sleep(within(std::chrono::milliseconds(ms))));
            log("woke at ", s.ms());
            CHECK(s.ms() == ms);
        });
    }
    CHECK(s.rt.run());
    CHECK(log == trace{"woke at 10", "woke at 20", "woke at 30"});
    CHECK(s.clock.sleeps == 3);
}

TEST_CASE("sleep: wires of equal deadline wake in the order in which they went to sleep" * fifo) {
    sim s;
    trace log;
    const deadline until = deadline::at_ns(s.clock.now() + 5'000'000);
    for (int i = 0; i < 5; ++i) {
        s.rt.go([&, i] {
            CHECK(sleep(until));
            log("woke", i);
        });
    }
    CHECK(s.rt.run());
    CHECK(log == trace{"woke0", "woke1", "woke2", "woke3", "woke4"});
}

TEST_CASE("sleep: a deadline that has passed still lets the others run first" * fifo) {
    sim s;
    trace log;
    s.rt.go([&] {
        CHECK(sleep(within(-5s)));
        log("slept");
    });
    s.rt.go([&] { log("other"); });
    CHECK(s.rt.run());
    CHECK(log == trace{"other", "slept"});
    CHECK(s.ms() == 0);
}

TEST_CASE("sleep: a shared deadline is computed once and holds for a loop of calls") {
    sim s;
    s.rt.go([&] {
        const deadline until = within(10ms);
        for (int i = 0; i < 3; ++i) CHECK(sleep(until));
        CHECK(s.ms() == 10);
    });
    CHECK(s.rt.run());
}

TEST_CASE("deadline: enormous delays are never, negative ones are now") {
    sim s;
    s.rt.go([&] {
        CHECK(within(std::chrono::hours::max()).is_never());
        CHECK(within(std::chrono::nanoseconds::max()).is_never());
        CHECK(within(std::chrono::duration<double>(1e300)).is_never());
        CHECK(within(std::chrono::nanoseconds::max() - 500ms).is_never());
        CHECK(within(std::chrono::hours::min()).ns() == s.clock.now());
        CHECK(within(std::chrono::nanoseconds::min()).ns() == s.clock.now());
        CHECK(within(-1ns).ns() == s.clock.now());
        CHECK(within(0s).ns() == s.clock.now());
        CHECK(within(std::chrono::duration<double>(std::nan(""))).ns() == s.clock.now());
        CHECK(within(1ns).ns() == s.clock.now() + 1);
        CHECK(within(std::chrono::duration<double>(0.5)).ns() == s.clock.now() + 500'000'000);
    });
    CHECK(s.rt.run());
}

TEST_CASE("deadline: time points of the steady clock convert, the last one is never") {
    using clock = std::chrono::steady_clock;
    CHECK(deadline(clock::time_point::max()).is_never());
    CHECK(deadline(clock::time_point(5ns)).ns() == 5);
    CHECK(deadline() == never);
    CHECK(deadline::at_ns(1) < deadline::at_ns(2));
    CHECK(deadline::at_ns(end_of_time - 1) < never);
}

TEST_CASE("deadline: outside a runtime it refers to the steady clock") {
    const auto before = std::chrono::steady_clock::now();
    const deadline d = within(1h);
    const auto after = std::chrono::steady_clock::now();
    CHECK(d >= deadline(before + 1h));
    CHECK(d <= deadline(after + 1h));
}

TEST_CASE("sleep: on the real clock it never ends early") {
    runtime rt;
    rt.go([] {
        const auto before = std::chrono::steady_clock::now();
        CHECK(sleep(within(2ms)));
        CHECK(std::chrono::steady_clock::now() - before >= 2ms);
    });
    CHECK(rt.run());
}

TEST_CASE("sleep: a sleep that is over is no longer armed") {
    sim s;
    s.rt.go([&] {
        for (int i = 0; i < 3; ++i) CHECK(sleep(within(1ms)));
        const wire_ref me = this_wire::ref();
        go([me] { CHECK(resume(me)); });
        CHECK(suspend(within(50ms)));  // woken long before
    });
    CHECK(s.rt.run());
    CHECK(s.ms() == 3);
}
