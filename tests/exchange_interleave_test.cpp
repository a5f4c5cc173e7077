// Givers and takers of an exchange under every schedule: full and empty, sleeping and waking, with
// claims and deadlines. Of its end there is more in exchange_close_interleave_test.cpp.
//
// WIRE_EXPLORE=long in the environment allows more preemptions.
#include <doctest/doctest.h>

#include "support/environment.hpp"
#include "support/exchange_sync.hpp"
#include "support/interleave_bounds.hpp"
#include "support/market.hpp"

using namespace interleave;

namespace {

std::uint64_t executions = 0;

void require_passed(const result& r) {
    executions += r.executions;
    CHECK_MESSAGE(r.passed(), r.report());
}

template <class Sync>
result one_each(std::uint32_t slots, int messages, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        run([&] { m.give_all(1, messages); }, [&] { m.take_all(messages); });
        m.check_taken(1, messages);
        m.check_whole();
    });
}

template <class Sync>
result two_each(std::uint32_t slots, int messages, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        run([&] { m.give_all(1, messages); }, [&] { m.give_all(2, messages); },
            [&] { m.take_all(messages); }, [&] { m.take_all(messages); });
        m.check_taken(1, messages);
        m.check_taken(2, messages);
        m.check_whole();
    });
}

template <class Sync>
result two_givers(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        run([&] { m.give_all(1, 1); }, [&] { m.give_all(2, 1); }, [&] { m.take_all(2); });
        m.check_taken(1, 1);
        m.check_taken(2, 1);
        m.check_whole();
    });
}

template <class Sync>
result two_takers(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        run([&] { m.give_all(1, 2); }, [&] { m.take_all(1); }, [&] { m.take_all(1); });
        m.check_taken(1, 2);
        m.check_whole();
    });
}

// One taker does not wait for long. If it got the value all the same, it gives another.
template <class Sync>
result impatient_taker(wire::deadline until, const options& o) {
    return explore(o, [=] {
        market<Sync> m(1);
        run(
            [&] {
                const int error = m.take(until);
                check(error == 0 || error == ETIMEDOUT, "it gets one or is too late");
                if (!error) m.give_all(2, 1);
            },
            [&] { m.take_all(1); }, [&] { m.give_all(1, 1); });
        m.check_taken(1, 1);
        m.check_whole();
    });
}

// The same of a giver: whichever gives, there is room for the other once the taker has taken.
template <class Sync>
result impatient_giver(wire::deadline until, const options& o) {
    return explore(o, [=] {
        market<Sync> m(1);
        check(m.give(30) == 0, "there is room");
        run(
            [&] {
                const int error = m.give(10, until);
                check(error == 0 || error == ETIMEDOUT, "it gives or is too late");
                if (!error) m.take_all(1);
            },
            [&] { m.give_all(2, 1); }, [&] { m.take_all(1); });
        m.take_all(1);
        m.check_taken(2, 1);
        m.check_taken(3, 1);
        m.check_whole();
    });
}

}  // namespace

TEST_CASE("exchange: under ThreadSanitizer" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("exchange: a giver and a taker pass on every value, in order") {
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        require_passed(one_each<with_fence>(slots, 2, bounds(2)));
        require_passed(one_each<with_fence>(slots, 3, bounds(2)));
        require_passed(one_each<with_fence>(slots, 5, bounds(1)));
        require_passed(one_each<exchange_sync<true, 1>>(slots, 3, bounds(2)));
        require_passed(one_each<without_fence>(slots, 2, bounds(1)));
    }
}

TEST_CASE("exchange: two givers share the room, and two takers what there is") {
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        require_passed(two_givers<with_fence>(slots, {.preemptions = slots == 1 ? 1 : 0}));
        require_passed(two_givers<without_fence>(slots, {.preemptions = 0}));
        require_passed(two_takers<with_fence>(slots, {.preemptions = 0}));
        require_passed(two_takers<without_fence>(slots, {.preemptions = 0}));
    }
}

TEST_CASE("exchange: two givers and two takers lose nothing and wait for each other") {
    for (const std::uint32_t slots : {1U, 2U, 4U}) {
        require_passed(two_each<with_fence>(slots, 1, {.preemptions = 0}));
        require_passed(two_each<with_fence>(slots, 2, {.preemptions = 0}));
    }
}

TEST_CASE("exchange: who waits no longer leaves nobody asleep") {
    for (const auto until : {at_once, wire::deadline::at_ns(1'000'000)}) {
        require_passed(impatient_taker<with_fence>(until, {.preemptions = 1}));
        require_passed(impatient_giver<with_fence>(until, {.preemptions = 1}));
    }
}

TEST_CASE("exchange: as many schedules as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 300'000);
}

TEST_SUITE_END();
