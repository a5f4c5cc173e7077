// Scenarios for the explorer: givers and takers of an exchange, one by one and several at once.
#pragma once

#include "market.hpp"

namespace interleave {

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
result impatient_taker(std::uint32_t slots, wire::deadline until, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
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
result impatient_giver(std::uint32_t slots, wire::deadline until, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        m.fill_up(3);
        run(
            [&] {
                const int error = m.give(10, until);
                check(error == 0 || error == ETIMEDOUT, "it gives or is too late");
                if (!error) m.take_all(1);
            },
            [&] { m.give_all(2, 1); }, [&] { m.take_all(1); });
        m.take_all(static_cast<int>(slots));
        m.check_taken(2, 1);
        m.check_taken(3, static_cast<int>(slots));
        m.check_whole();
    });
}

// ---- several at once

template <class Sync>
result batches(std::uint32_t slots, int messages, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        run([&] { m.give_batches(1, messages); }, [&] { m.take_batches(messages); });
        m.check_taken(1, messages);
        m.check_whole();
    });
}

// One gives as many at once as there is room for; each wakes one that sleeps.
template <class Sync>
result batch_for_two(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        run([&] { m.take_all(1); }, [&] { m.take_all(1); }, [&] { m.give_batches(1, 2); });
        m.check_taken(1, 2);
        m.check_whole();
    });
}

// One takes two, at once if there are, and no more; each makes room for one that sleeps.
template <class Sync>
result batch_of_two(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        m.fill_up(3);
        const int inside = static_cast<int>(slots);
        run([&] { m.give_all(1, 1); }, [&] { m.give_all(2, 1); }, [&] { m.take_batches(2); });
        m.take_all(inside);  // it is full again
        for (const int giver : {1, 2}) m.check_taken(giver, 1);
        m.check_taken(3, inside);
        m.check_whole();
    });
}

// All at once, in batches.
template <class Sync>
result batches_two_each(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        run([&] { m.give_batches(1, 2); }, [&] { m.give_batches(2, 2); },
            [&] { m.take_batches(2); }, [&] { m.take_batches(2); });
        for (const int giver : {1, 2}) m.check_taken(giver, 2);
        m.check_whole();
    });
}

}  // namespace interleave
