// Scenarios for the explorer: users of an arena who are killed before any of their stores, or while
// they have the lock.
#pragma once

#include "arena_scenarios.hpp"

namespace interleave {

inline void may_be_killed(unsigned thread) {
    arena_policy::run.mortal |= 1U << thread;
}
constexpr const char* kept = "what is received stays";

/// The running thread's end.
[[noreturn]] inline void die() {
    arena_policy::die();
}

/// What a dead user leaves to others: nothing, once it is buried.
inline void check_gone(const small_arena& a, std::uint16_t who) {
    check(a.map.user(who).load(std::memory_order_relaxed) == 0, forgotten);
    for (std::uint32_t n = 0; n < a.blocks(); ++n) {
        check(a.holder(n) != who, no_loss);
        check(a.map.channel(0).producer.user.load(std::memory_order_relaxed) != who, forgotten);
        check(a.map.channel(0).consumer.user.load(std::memory_order_relaxed) != who, forgotten);
    }
}
inline std::uint64_t in_flight(const small_arena& a) {
    std::uint64_t n = 0;
    for (std::uint32_t b = 0; b < a.blocks(); ++b)
        n += (a.holder(b) & block_word::in_flight) != 0 ? 1U : 0U;
    return n;
}

/// The producer is killed; a third user buries it while the consumer goes on, or the consumer does,
/// who is told by the kernel.
inline result producer_dies(std::uint64_t records, bool by_third, const options& o) {
    return explore(o, [=] {
        auto&& [a, p, c] = arena_of_two(2, arena_fences::heavy, 3);
        arena_user third(a, 3);
        p.produce();
        c.consume();
        may_be_killed(1);
        if (!by_third) {
            c.watches(1);
            arena_policy::run.on_death = [&a] { a.map.channel(0).consumer.bell.ring(); };
        }
        std::uint64_t received = 0;
        run(
            [&] {
                for (std::uint64_t i = 1; i <= records; ++i) p.must_send(i);
                die();
            },
            [&] { received = c.receive_all(1, records > 2); },
            [&] {
                if (!by_third) return;
                arena_policy::wait_for_end(1);
                third.bury(1);
            });
        check_gone(a, 1);
        check(in_flight(a) == 0, no_loss);
        if (records <= 2)
            check((a.holder(0) == 2) + (a.holder(1) == 2) == static_cast<int>(received), kept);
        check(received == a.map.channel(0).consumer.at.load(std::memory_order_relaxed),
              "each is counted");
        check_all_free(a, 3);
    });
}

/// The consumer is killed; a third user buries it and goes on in its place, while the producer goes
/// on. What it has not counted it has not received.
inline result consumer_dies(std::uint64_t records, const options& o) {
    return explore(o, [=] {
        auto&& [a, p, c] = arena_of_two(2, arena_fences::heavy, 3);
        arena_user next(a, 3);
        p.produce();
        c.consume();
        may_be_killed(2);
        run(
            [&] {
                for (std::uint64_t i = 1; i <= records; ++i) p.must_send(i);
                p.leave();
            },
            [&] {
                for (std::uint64_t i = 1; i < records; ++i) c.must_receive(i);
                die();
            },
            [&] {
                arena_policy::wait_for_end(2);
                const auto counted = a.map.channel(0).consumer.at.load(std::memory_order_relaxed);
                next.bury(2);
                next.come_as_consumer();
                const std::uint64_t n = next.receive_all(counted + 1, true);
                check(counted + n == records, "nothing that was sent is lost");
            });
        check_gone(a, 2);
        check_all_free(a, 3);
    });
}

/// Killed while it takes an end, or after: the end is the next one's, with all that it has not
/// received.
inline result newcomer_dies(const options& o) {
    return explore(o, [=] {
        auto&& [a, p, c] = arena_of_two(2, arena_fences::heavy, 3);
        arena_policy::run.time_passes = true;
        arena_user next(a, 3);
        p.produce();
        may_be_killed(2);
        run(
            [&] {
                for (std::uint64_t i = 1; i <= 2; ++i) p.must_send(i);
                p.leave();
            },
            [&] {
                c.come_as_consumer();
                c.must_receive(1);
                die();
            },
            [&] {
                arena_policy::wait_for_end(2);
                const auto counted = a.map.channel(0).consumer.at.load(std::memory_order_relaxed);
                next.bury(2);
                next.come_as_consumer();
                check(counted + next.receive_all(counted + 1, true) == 2,
                      "nothing that was sent is lost");
            });
        check_gone(a, 2);
        check_all_free(a, 3);
    });
}

/// Who buries is killed, too: another takes the lock over and does it again.
inline result burier_dies(const options& o) {
    return explore(o, [=] {
        auto&& [a, p, c] = arena_of_two(3, arena_fences::heavy, 3);
        arena_policy::run.time_passes = true;
        arena_user third(a, 3);
        p.produce();
        c.consume();
        p.must_send(1);
        const arena_block lost = p.allocate(2);
        lost.set(block_word::in_channel(0), block_bytes);
        static_cast<void>(p.allocate(3));
        may_be_killed(3);
        c.watches(1);
        arena_policy::run.on_death = [&a] { a.map.channel(0).consumer.bell.ring(); };
        run([&] { die(); },
            [&] {
                check(c.receive_all(1, true) == 1, "all that was sent is received");
                arena_policy::wait_for_end(3);
                c.bury(1);
                c.bury(3);
            },
            [&] {
                arena_policy::wait_for_end(1);
                third.bury(1);
                die();
            });
        check_gone(a, 1);
        check_gone(a, 3);
        check(in_flight(a) == 0, no_loss);
        check_all_free(a, 3);
    });
}

/// Who forgets a removed channel is killed: another does it again, while the owner of the records'
/// slab allocates.
inline result forgetter_dies(const options& o) {
    return explore(o, [=] {
        auto&& [a, p, killed] = arena_of_two(2, arena_fences::heavy, 3);
        arena_policy::run.time_passes = true;
        arena_user next(a, 3);
        arena_channel& channel = a.map.channel(0);
        p.produce();
        p.must_send(1);
        p.must_send(2);
        channel.producer.user.store(0, std::memory_order_relaxed);
        channel.removed.store(1, std::memory_order_relaxed);
        may_be_killed(2);
        run(
            [&] {
                static_cast<void>(p.allocate(3));
                static_cast<void>(p.allocate(4));
            },
            [&] {
                const arena_user::locked guard(killed);
                if (spoils(arena_defect::dropped_last)) {
                    channel.consumer.at.store(2, std::memory_order_relaxed);
                    channel.consumer.at.store(0, std::memory_order_relaxed);
                }
                arena_recovery(a.map).forget_if_over(0);
                die();
            },
            [&] {
                arena_policy::wait_for_end(2);
                {
                    const arena_user::locked guard(next);
                    if (!guard.taken_over()) arena_recovery(a.map).forget_if_over(0);
                }
                next.call_allocator();
            });
        check(channel.id.load(std::memory_order_relaxed) == 0, "a channel that is over is gone");
        for (std::uint32_t n = 0; n < 2; ++n) check(a.holder(n) == 1, no_loss);
        check(p.read(a.block(0)) + p.read(a.block(1)) == 7, "what is allocated stays");
        check_all_free(a, 3);
    });
}

/// Who makes slabs and gives them back is killed: all its pages are free again.
inline result maker_dies(const options& o) {
    return explore(o, [=] {
        const small_arena a(0, 4);
        a.open(2, 0);
        arena_policy::run.time_passes = true;
        arena_user killed(a, 1);
        arena_user next(a, 2);
        may_be_killed(1);
        run(
            [&] {
                arena_pages pages(a.map);
                const arena_user::locked guard(killed);
                if (spoils(arena_defect::made_from_the_front))
                    pages.set(0, page_word::make(page_word::segment, 0, 0, 3));
                pages.make(0, page_word::segment, 0, 0, 3);
                if (spoils(arena_defect::given_back_from_the_back)) pages.set(2, 0);
                pages.give_back(0);
                die();
            },
            [&] {
                arena_policy::wait_for_end(1);
                const arena_user::locked guard(next);
                arena_pages pages(a.map);
                const std::uint64_t first = pages.get(0);
                check(arena_pages::is_first(first)
                          ? pages.length(0, first) == 3 && pages.find(1) == 3U
                          : pages.find(4) == 0U,
                      whole);
                for (std::uint32_t n = 1; n < 3; ++n)
                    check(page_word::kind_of(pages.get(n)) ==
                              (arena_pages::is_first(first) ? page_word::rest : page_word::free),
                          whole);
            });
    });
}

/// Three who change something with the lock, twice each if `rounds` says so.
inline result lock_in_turn(int users, int rounds, const options& o) {
    return explore(o, [=] {
        const small_arena a(0);
        arena_user one(a, 1);
        arena_user two(a, 2);
        arena_user three(a, 3);
        tracked<int> changes{0};
        const auto add = [&](arena_user& u) {
            for (int i = 0; i < rounds; ++i) {
                const arena_user::locked guard(u);
                check(!guard.taken_over(), "nobody has died");
                changes.set(changes.get() + 1);
            }
        };
        if (users == 2)
            run([&] { add(one); }, [&] { add(two); });
        else
            run([&] { add(one); }, [&] { add(two); }, [&] { add(three); });
        check(changes.get() == users * rounds, "one after the other");
        check(a.map.header().waiting.load(std::memory_order_relaxed) == 0, "nobody waits");
    });
}

/// The holder of the lock is killed while others wait: one of them hears of it.
inline result holder_dies(int waiters, const options& o) {
    return explore(o, [=] {
        const small_arena a(0);
        arena_policy::run.time_passes = true;
        arena_user killed(a, 1);
        arena_user two(a, 2);
        arena_user three(a, 3);
        tracked<int> changes{0};
        int times_told = 0;
        bool half_done = false;
        may_be_killed(1);
        const auto add = [&](arena_user& u) {
            const arena_user::locked guard(u);
            times_told += guard.taken_over() ? 1 : 0;
            if (guard.taken_over()) half_done = false;
            check(!half_done, told);
            changes.set(changes.get() + 1);
        };
        const auto until_killed = [&] {
            const arena_user::locked guard(killed);
            changes.set(changes.get() + 1);
            half_done = true;
            arena_policy::may_die();
            half_done = false;
        };
        if (waiters == 1)
            run(
                [&] {
                    until_killed();
                    die();
                },
                [&] { add(two); });
        else
            run(
                [&] {
                    until_killed();
                    die();
                },
                [&] { add(two); }, [&] { add(three); });
        check(times_told <= 1, told_once);
        check(a.map.header().lock.load(std::memory_order_relaxed) == 0 ||
                  a.map.header().lock.load(std::memory_order_relaxed) == 1,
              "who lives unlocks");
    });
}

}  // namespace interleave
