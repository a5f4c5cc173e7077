// Scenarios for the explorer: claims of slots, and those that wait until an exchange is empty.
#pragma once

#include "market.hpp"

namespace interleave {

template <class Sync>
result wait_for_takers(std::uint32_t slots, bool is_closed, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        const int inside = slots == 1 ? 1 : 2;
        m.give_all(1, inside);
        if (is_closed) m.exchange.close();
        run([&] { m.take_all(1); }, [&] { m.take_all(inside - 1); },
            [&] {
                check(m.exchange.wait_until_empty(wire::never) == 0, "it becomes empty");
                m.check_taken(1, inside);
            });
        m.check_whole();
    });
}

// ---- claims

// What becomes of a claim while it is closed, and a taker waits for that.
enum class ends { given, given_up };

template <class Sync>
result close_among_claims_of_free(std::uint32_t slots, ends how, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        bool given = false;
        run(
            [&] {
                std::uint32_t slot = 0;
                const int error = m.exchange.claim_free(slot, wire::never);
                check(error == 0 || error == EPIPE, "a claim fails only when it is closed");
                if (error) return;
                given = how == ends::given;
                given ? m.give_claimed(slot, 10) : m.give_up_free(slot);
            },
            [&] { take_until_closed(m); }, [&] { m.close(); });
        check(m.times_taken(10) == (given ? 1 : 0), "what is given with a claim is taken");
        check(m.takes() == (given ? 1 : 0), "what was not given is not taken");
        m.check_whole();
    });
}

// Two take by claims; the first gives up what it got, which the other gets then.
template <class Sync>
result claims_of_full(std::uint32_t slots, bool waits, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        check(m.give(10) == 0, "there is room");
        run(
            [&] {
                std::uint32_t slot = 0;
                if (m.exchange.try_claim_full(slot) == 0) m.give_up_full(slot);
            },
            [&] {
                std::uint32_t slot = 0;
                check(m.exchange.claim_full(slot, wire::never) == 0, "one of them keeps it");
                m.release(slot);
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
result count_among_claims(std::uint32_t slots, bool of_full, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        run(
            [&] {
                std::uint32_t slot = 0;
                if (of_full) m.give_all(1, 1);
                if (of_full) check(m.exchange.try_claim_full(slot) == 0, "one is full");
                if (of_full) return m.give_up_full(slot);
                check(m.exchange.try_claim_free(slot) == 0, "one is free");
                m.give_up_free(slot);
            },
            [&] {
                const auto counts = m.exchange.counts();
                check(counts.given <= 2 && counts.taken <= 2, "no count is below 0");
            });
        if (of_full) m.take_all(1);
        m.check_whole();
    });
}

// The only claim is given up, which is what somebody waits for: until it is empty.
template <class Sync>
result wait_for_claim(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        std::uint32_t slot = 0;
        check(m.exchange.try_claim_free(slot) == 0, "one is free");
        run([&] { m.give_up_free(slot); },
            [&] { check(m.exchange.wait_until_empty(wire::never) == 0, "it becomes empty"); });
        m.check_whole();
    });
}

// The only slot is claimed, and ends as it was: one waits for it to be free, or to be full.
template <class Sync>
result wait_for_kind(ends how, bool of_full, const options& o) {
    return explore(o, [=] {
        market<Sync> m(1);
        std::uint32_t slot = 0;
        if (of_full) m.give_all(1, 1);
        check((of_full ? m.exchange.try_claim_full(slot) : m.exchange.try_claim_free(slot)) == 0,
              "the slot is claimed");
        const auto end_claim = [&] {
            if (how == ends::given_up)
                of_full ? m.give_up_full(slot) : m.give_up_free(slot);
            else
                of_full ? m.release(slot) : m.give_claimed(slot, 10);
        };
        const bool is_full = of_full == (how == ends::given_up);
        run(end_claim, [&] { is_full ? m.take_all(1) : m.give_all(2, 1); });
        if (!is_full) m.take_all(1);
        m.check_taken(1, of_full || is_full ? 1 : 0);
        m.check_taken(2, is_full ? 0 : 1);
        m.check_whole();
    });
}

// One sleeps until there is room, another until it is empty, and one taker must wake the right one.
template <class Sync>
result wait_beside_giver(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        m.fill_up(1);
        const int inside = static_cast<int>(slots);
        run([&] { m.give_all(2, 1); },
            [&] {
                check(m.exchange.wait_until_empty(wire::never) == 0, "it becomes empty");
                m.check_taken(1, inside);
            },
            [&] { m.take_all(inside + 1); });
        m.check_taken(1, inside);
        m.check_taken(2, 1);
        m.check_whole();
    });
}

}  // namespace interleave
