// The end of an exchange under every schedule, its claims, and those that wait until it is empty.
// Then the same again with one thing spoiled at a time: each such defect must be found.
#include <doctest/doctest.h>

#include "support/environment.hpp"
#include "support/exchange_defects.hpp"
#include "support/market.hpp"

using namespace interleave;

namespace {

std::uint64_t executions = 0;

void require_passed(const result& r) {
    executions += r.executions;
    CHECK_MESSAGE(r.passed(), r.report());
}

// Returns how many were given before the end.
template <class Sync>
int give_until_closed(market<Sync>& m, int giver, int n) {
    for (int i = 0; i < n; ++i)
        if (const int error = m.give(giver * 10 + i)) {
            check(error == EPIPE, "a give fails only when it is closed");
            return i;
        }
    return n;
}

template <class Sync>
void take_until_closed(market<Sync>& m) {
    int error = 0;
    while (!error) error = m.take();
    check(error == EPIPE, "a take fails only when it is closed");
}

template <class Sync>
void close(market<Sync>& m) {
    const closes_without_lock perhaps;
    m.exchange.close();
}

template <class Sync>
result close_among_all(std::uint32_t slots, int messages, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        int given = 0;
        run([&] { given = give_until_closed(m, 1, messages); }, [&] { take_until_closed(m); },
            [&] { close(m); });
        m.check_taken(1, given);
        check(m.takes() == given, "what was not given is not taken");
        m.check_whole();
    });
}

template <class Sync>
result close_wakes_givers(const options& o) {
    return explore(o, [] {
        market<Sync> m(1);
        check(m.give(30) == 0, "there is room");
        const auto give = [&] { check(m.give(10) == EPIPE, "it is told of the end"); };
        run(give, give, [&] { close(m); });
        check(m.take() == 0 && m.take() == EPIPE, "what was given before can be taken");
        m.check_whole();
    });
}

template <class Sync>
result close_wakes_takers(const options& o) {
    return explore(o, [] {
        market<Sync> m(2);
        check(m.give(30) == 0, "there is room");
        const auto take = [&] { take_until_closed(m); };
        run(take, take, [&] { close(m); });
        m.check_taken(3, 1);
        m.check_whole();
    });
}

template <class Sync>
result reopen_after_close(const options& o) {
    return explore(o, [] {
        market<Sync> m(1);
        int given = 0;
        run(
            [&] {
                close(m);
                m.exchange.reopen();
                m.take_all(1);
            },
            [&] {
                int error = EPIPE;
                while (error == EPIPE) {
                    error = m.give(10);
                    if (error) sync::pause();
                }
                ++given;
            });
        m.check_taken(1, given);
        m.check_whole();
    });
}

// After close() nothing more comes: a taker that does not wait finds what was given, then the end.
template <class Sync>
result drain_after_close(const options& o) {
    return explore(o, [] {
        market<Sync> m(2);
        int given = 0;
        run([&] { given = give_until_closed(m, 1, 2); },
            [&] {
                close(m);
                int error = 0;
                while (!error) error = m.try_take();
                check(error == EPIPE, "after close() nobody has to try again later");
            });
        m.check_taken(1, given);
        m.check_whole();
    });
}

// Who sees that it is closed knows what the closer did before.
template <class Sync>
result closed_is_seen(const options& o) {
    return explore(o, [] {
        market<Sync> m(1);
        tracked<bool> said{false};
        run(
            [&] {
                said.set(true);
                close(m);
            },
            [&] {
                if (m.exchange.closed()) check(said.get(), "what came before the end is known");
            });
    });
}

// ---- until it is empty

template <class Sync>
result wait_for_takers(bool is_closed, const options& o) {
    return explore(o, [=] {
        market<Sync> m(2);
        for (const int value : {10, 11}) check(m.give(value) == 0, "there is room");
        if (is_closed) m.exchange.close();
        run([&] { m.take_all(1); }, [&] { m.take_all(1); },
            [&] {
                check(m.exchange.wait_until_empty(wire::never) == 0, "it becomes empty");
                m.check_taken(1, 2);
            });
        m.check_whole();
    });
}

// ---- claims

// What becomes of a claim while it is closed, and a taker waits for that.
enum class ends { given, given_up };

template <class Sync>
result close_among_claims_of_free(ends how, const options& o) {
    return explore(o, [=] {
        market<Sync> m(1);
        bool given = false;
        run(
            [&] {
                std::uint32_t slot = 0;
                const int error = m.exchange.claim_free(slot, wire::never);
                check(error == 0 || error == EPIPE, "a claim fails only when it is closed");
                if (error) return;
                given = how == ends::given;
                if (given) m.fill(slot, 10);
                given ? m.exchange.give(slot) : m.exchange.give_up_free(slot);
            },
            [&] { take_until_closed(m); }, [&] { close(m); });
        check(m.times_taken(10) == (given ? 1 : 0), "what is given with a claim is taken");
        m.check_whole();
    });
}

// Two take by claims; the first gives up what it got, which the other gets then.
template <class Sync>
result claims_of_full(bool waits, const options& o) {
    return explore(o, [=] {
        market<Sync> m(2);
        check(m.give(10) == 0, "there is room");
        run(
            [&] {
                std::uint32_t slot = 0;
                if (m.exchange.try_claim_full(slot) == 0) m.exchange.give_up_full(slot);
            },
            [&] {
                std::uint32_t slot = 0;
                check(m.exchange.claim_full(slot, wire::never) == 0, "one of them keeps it");
                m.use(slot);
                m.exchange.release(slot);
            },
            [&] {
                if (waits) check(m.exchange.wait_until_empty(wire::never) == 0, "it gets empty");
                if (waits) m.check_taken(1, 1);
            });
        m.check_taken(1, 1);
        m.check_whole();
    });
}

// Who counts meanwhile never finds less than nothing.
template <class Sync>
result count_among_claims(bool of_full, const options& o) {
    return explore(o, [=] {
        market<Sync> m(1);
        run(
            [&] {
                std::uint32_t slot = 0;
                if (of_full) m.give_all(1, 1);
                if (of_full) check(m.exchange.try_claim_full(slot) == 0, "one is full");
                if (of_full) return m.exchange.give_up_full(slot);
                check(m.exchange.try_claim_free(slot) == 0, "one is free");
                m.exchange.give_up_free(slot);
            },
            [&] {
                const auto counts = m.exchange.counts();
                check(counts.given <= 2 && counts.taken <= 2, "no count is below 0");
            });
        if (of_full) m.take_all(1);
        m.check_whole();
    });
}

template <class Sync>
result pass_one(const options& o) {
    return explore(o, [] {
        market<Sync> m(1);
        run([&] { m.give_all(1, 1); }, [&] { m.take_all(1); });
        m.check_taken(1, 1);
    });
}

std::string failure_with(defect d) {
    const plant one(d);
    std::string found = failure_of(pass_one<spoiled>({.preemptions = 1}));
    if (found.empty()) found = failure_of(drain_after_close<spoiled>({}));
    if (found.empty()) found = failure_of(closed_is_seen<spoiled>({}));
    if (found.empty()) found = failure_of(wait_for_takers<spoiled>(false, {.preemptions = 1}));
    return found;
}

}  // namespace

TEST_CASE("exchange: under ThreadSanitizer, its end" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("exchange: what is given before the end is taken, then all are told of it") {
    require_passed(close_among_all<with_fence>(1, 1, {.preemptions = 1}));
    require_passed(close_among_all<with_fence>(2, 2, {.preemptions = 0}));
    require_passed(close_among_all<without_fence>(1, 1, {.preemptions = 0}));
}

TEST_CASE("exchange: after close() nothing more is given") {
    require_passed(drain_after_close<with_fence>({.preemptions = 2}));
    require_passed(drain_after_close<without_fence>({.preemptions = 2}));
}

TEST_CASE("exchange: close wakes those that wait") {
    require_passed(close_wakes_givers<with_fence>({.preemptions = 1}));
    require_passed(close_wakes_givers<without_fence>({.preemptions = 0}));
    require_passed(close_wakes_takers<with_fence>({.preemptions = 1}));
    require_passed(close_wakes_takers<without_fence>({.preemptions = 0}));
}

TEST_CASE("exchange: is as new when it is opened again") {
    require_passed(reopen_after_close<with_fence>({.preemptions = 1}));
    require_passed(closed_is_seen<with_fence>({.preemptions = 3}));
}

TEST_CASE("exchange: who waits until it is empty is woken, and not before") {
    for (const bool is_closed : {false, true}) {
        require_passed(wait_for_takers<with_fence>(is_closed, {.preemptions = 1}));
        require_passed(wait_for_takers<without_fence>(is_closed, {.preemptions = 0}));
    }
}

TEST_CASE("exchange: a claim ends as its holder likes, also when it is closed meanwhile") {
    require_passed(close_among_claims_of_free<with_fence>(ends::given, {.preemptions = 1}));
    require_passed(close_among_claims_of_free<with_fence>(ends::given_up, {.preemptions = 0}));
    for (const bool waits : {false, true})
        require_passed(claims_of_full<with_fence>(waits, {.preemptions = waits ? 0 : 1}));
}

TEST_CASE("exchange: counts of what was given and taken are never below 0") {
    for (const bool of_full : {false, true})
        require_passed(count_among_claims<with_fence>(of_full, {.preemptions = 2}));
}

TEST_CASE("exchange: every memory order and every step is needed") {
    CHECK(failure_with(defect::none) == "");
    for (const defect d : {defect::pushed_without_release, defect::seen_without_acquire,
                           defect::closed_without_release, defect::closed_seen_without_acquire}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(failure_with(d) == race);
    }
    for (const defect d : {defect::closed_without_lock, defect::last_free_slot_untold}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(failure_with(d) != "");
    }
}

TEST_CASE("exchange: as many schedules of its end as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 1'000'000);
}

TEST_SUITE_END();
