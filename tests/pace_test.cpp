// How a wait begins before it becomes a sleep: what an exchange learns of its waits (pace), and for
// how long one wait looks again (patience).
#include <wire/detail/pace.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>

#include <wire/detail/block.hpp>
#include <wire/detail/thread_sync.hpp>
#include <wire/spawn.hpp>
#include <wire/this_wire.hpp>
#include "support/on_wire.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;
using wire::detail::pace;
using wire::detail::patience;

namespace {

constexpr int trial_every = 32;

// The length after so many waits that found several slots.
unsigned after_many_finds(std::uint32_t slots) {
    pace p(slots);
    for (int i = 0; i < 20; ++i) p.note_find(slots);
    return p.begin();
}

// How often in a row it looks again; at most `limit` times.
int looks(patience p, int limit) {
    int n = 0;
    while (n < limit && p.looks_again()) ++n;
    return n;
}

// The pauses of 1, 2, 4, ... 64 spins, after which a wait looks at the clock.
constexpr int pauses = 7;

// A thread whose sleeps take a millisecond and end as they are told.
struct scripted : wire::detail::thread_sync {
    using side = wire::detail::basic_side<scripted>;
    using sleepers = wire::detail::basic_sleepers<scripted>;

    static inline std::int64_t clock_ns = 0;
    static inline int outcome = 0;
    static inline bool hopeful = false;  // that of the last wait

    static std::int64_t real_ns() { return clock_ns; }
    struct patience {
        patience(waiting, deadline, unsigned, bool with_hope) { hopeful = with_hope; }
        static bool looks_again() { return false; }
    };
    struct place : wire::detail::link {
        struct bell {
            static bool ring() { return true; }
        };
        static void reset() {}
        static bell signal() { return {}; }
        int sleep(deadline) {
            clock_ns += 1'000'000;
            if (outcome == 0) unlink();  // signalled
            return outcome;
        }
        static void settle() {}
    };
};

constexpr std::array ways{waiting::adaptive, waiting::spin, waiting::park};

}  // namespace

TEST_CASE("pace: who slept for more than 100 us gives up hope, less than 20 us bring it back") {
    pace p(64);
    CHECK(p.hopeful());
    p.note_sleep(100'000, true);
    CHECK(p.hopeful());
    p.note_sleep(100'001, true);
    CHECK_FALSE(p.hopeful());
    p.note_sleep(20'000, true);
    CHECK_FALSE(p.hopeful());
    p.note_sleep(19'999, false);
    CHECK_FALSE(p.hopeful());
    p.note_sleep(19'999, true);
    CHECK(p.hopeful());
    p.note_sleep(20'000, true);
    CHECK(p.hopeful());
    p.note_sleep(100'001, false);
    CHECK_FALSE(p.hopeful());
}

TEST_CASE("pace: who waits in vain until a deadline gives up hope as who finds something") {
    for (const int outcome : {0, ETIMEDOUT, ECANCELED}) {
        CAPTURE(outcome);
        scripted::side ours(ours, nullptr, nullptr, 8);
        scripted::sleepers queue;
        scripted::clock_ns = 0;
        scripted::outcome = outcome;
        const auto wait = [&] {
            int looks = 0;
            return wire::detail::wait_slowly<scripted>(
                ours, queue, waiting::adaptive, within(1h),
                [&] { return ++looks > 1 && outcome == 0 ? 0 : EAGAIN; });
        };
        CHECK(wait() == outcome);
        CHECK(scripted::hopeful);
        CHECK(wait() == outcome);
        CHECK_FALSE(scripted::hopeful);
    }
}

TEST_CASE("pace: several slots at once make the pause longer, one makes it shorter") {
    pace p(1000);
    CHECK(p.begin() == 0);
    p.note_find(1);
    CHECK(p.begin() == 0);
    for (unsigned length = 1; length <= 3; ++length) {
        p.note_find(4);
        CHECK(p.begin() == length);
    }
    for (const std::uint32_t few : {2u, 3u}) {
        p.note_find(few);
        CHECK(p.begin() == 3);
    }
    p.note_find(1);
    CHECK(p.begin() == 2);
    p.note_find(0);
    CHECK(p.begin() == 1);
}

TEST_CASE("pace: a pause is never longer than a quarter of the slots allows, nor than 2^6") {
    for (const std::uint32_t few : {1u, 2u, 3u}) CHECK(after_many_finds(few) == 0);
    CHECK(after_many_finds(4) == 1);
    CHECK(after_many_finds(7) == 1);
    CHECK(after_many_finds(8) == 2);
    CHECK(after_many_finds(64) == 5);
    CHECK(after_many_finds(127) == 5);
    CHECK(after_many_finds(128) == 6);
    CHECK(after_many_finds(65'536) == 6);
}

TEST_CASE("pace: every 32nd wait tries the longest pause, and what it found decides") {
    pace p(64);
    for (int wait = 1; wait <= 3 * trial_every; ++wait) {
        CAPTURE(wait);
        CHECK(p.begin() == (wait % trial_every == 0 ? 5 : 0));
    }
    p.note_find(4);
    CHECK(p.begin() == 1);
}

TEST_CASE("patience: park never looks again, and who has no hope does not either") {
    CHECK(looks({waiting::park, never, 0, true}, 1) == 0);
    CHECK(looks({waiting::adaptive, never, 0, false}, 1) == 0);
}

TEST_CASE("patience: adaptive looks again for a while, then no more") {
    constexpr int far_too_often = 10'000'000;
    const int n = looks({waiting::adaptive, never, 0, true}, far_too_often);
    CHECK(n >= pauses);
    CHECK(n < far_too_often);
}

TEST_CASE("patience: the longer the first pause, the fewer there are before it asks for the time") {
    for (unsigned first = 0; first < pauses; ++first)
        CHECK(looks({waiting::adaptive, within(0s), first, true}, 100) ==
              pauses - static_cast<int>(first));
}

TEST_CASE("patience: spin looks again and again, with hope or without") {
    constexpr int rounds = 20'000;
    for (const bool hopeful : {false, true}) {
        CHECK(looks({waiting::spin, never, 0, hopeful}, rounds) == rounds);
        CHECK(looks({waiting::spin, within(1h), 0, hopeful}, rounds) == rounds);
    }
}

TEST_CASE("patience: a deadline that has passed ends it, in every way") {
    for (const waiting how : ways) CHECK(looks({how, within(0s), 0, true}, 1000) <= pauses);
}

TEST_CASE("patience: a deadline of a clock that stands still while wires run ends it when due") {
    on_wire([](sim& s) {
        patience p(waiting::spin, within(1ms), 0, true);
        CHECK(looks(p, 1000) == 1000);
        s.clock.advance(1ms);
        CHECK(looks(p, 1000) <= pauses);
    });
}

TEST_CASE("patience: that of a cancelled wire ends at once, but not behind a shield") {
    on_wire([] {
        auto cancelled = spawn([] {
            for (const waiting how : ways) CHECK(looks({how, never, 0, true}, 1) == 0);
            const shield s;
            CHECK(looks({waiting::spin, never, 0, true}, 100) == 100);
        });
        cancelled.cancel();
        CHECK(cancelled.join());
    });
}

TEST_CASE("patience: between two looks of a wire the others of its thread run") {
    // A call may let others run besides, now and then: not in the next few.
    wire::detail::notes.calls = 0;
    trace log;
    on_wire([&] {
        spawn([&] {
            patience p(waiting::adaptive, never, 0, true);
            for (int i = 1; i <= 3; ++i) {
                log("look", i);
                CHECK(p.looks_again());
            }
            log("done");
        }).detach();
        for (int i = 1; i <= 3; ++i) {
            yield();
            log("other", i);
        }
    });
    CHECK(log == trace{"look1", "other1", "look2", "other2", "look3", "other3", "done"});
}

TEST_CASE("patience: who does not look again does not let others run either") {
    wire::detail::notes.calls = 0;
    trace log;
    on_wire([&] {
        spawn([&] { log("other"); }).detach();
        CHECK_FALSE(patience(waiting::park, never, 0, true).looks_again());
        CHECK_FALSE(patience(waiting::adaptive, never, 0, false).looks_again());
        log("asleep");
    });
    CHECK(log == trace{"asleep", "other"});
}
