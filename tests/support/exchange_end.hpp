// Scenarios for the explorer: the end of an exchange, and its new beginning.
#pragma once

#include "market.hpp"

namespace interleave {

template <class Sync>
result close_among_all(std::uint32_t slots, int messages, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        int given = 0;
        run([&] { given = give_until_closed(m, 1, messages); }, [&] { take_until_closed(m); },
            [&] { m.close(); });
        m.check_taken(1, given);
        check(m.takes() == given, "what was not given is not taken");
        m.check_whole();
    });
}

template <class Sync>
result close_among_two_each(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        int given[2] = {};
        const auto take = [&] { take_until_closed(m); };
        run([&] { given[0] = give_until_closed(m, 1, 1); },
            [&] { given[1] = give_until_closed(m, 2, 1); }, take, take, [&] { m.close(); });
        m.check_taken(1, given[0]);
        m.check_taken(2, given[1]);
        check(m.takes() == given[0] + given[1], "what was not given is not taken");
        m.check_whole();
    });
}

template <class Sync>
result close_wakes_givers(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        m.fill_up(3);
        const auto give = [&] { check(m.give(10) == EPIPE, "it is told of the end"); };
        run(give, give, [&] { m.close(); });
        m.take_all(static_cast<int>(slots));
        check(m.take() == EPIPE, "what was given before can be taken, and no more");
        m.check_whole();
    });
}

template <class Sync>
result close_wakes_takers(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        check(m.give(30) == 0, "there is room");
        const auto take = [&] { take_until_closed(m); };
        run(take, take, [&] { m.close(); });
        m.check_taken(3, 1);
        m.check_whole();
    });
}

template <class Sync>
result reopen_after_close(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        int given = 0;
        run(
            [&] {
                m.close();
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
result drain_after_close(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        int given = 0;
        run([&] { given = give_until_closed(m, 1, slots == 1 ? 1 : 2); },
            [&] {
                m.close();
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
                m.close();
            },
            [&] {
                if (m.exchange.closed()) check(said.get(), "what came before the end is known");
            });
    });
}

// Somebody reopens it while it is closed, and the last slot is released meanwhile.
template <class Sync>
result reopen_among_close(std::uint32_t slots, const options& o) {
    return explore(o, [=] {
        market<Sync> m(slots);
        std::uint32_t slot = 0;
        check(m.give(10) == 0 && m.exchange.try_claim_full(slot) == 0, "one is claimed");
        run([&] { m.close(); }, [&] { m.exchange.reopen(); }, [&] { m.release(slot); },
            [&] {
                check(m.exchange.wait_until_empty(wire::never) == 0, "it becomes empty");
                m.check_taken(1, 1);
            });
        m.check_whole();
    });
}

}  // namespace interleave
