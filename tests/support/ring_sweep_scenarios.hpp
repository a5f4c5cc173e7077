// Scenarios for the explorer: several producers of a ring, the consumer's sweep over their lanes,
// and producers that are killed.
#pragma once

#include "ring_scenarios.hpp"

namespace interleave {

/// The kernel's part: who has ended, and whose end the consumer's bell is rung for.
class processes {
public:
    explicit processes(ring_bell& bell) : bell_(bell) {}

    /// From now on the bell rings when `who` has ended. Returns whether it has.
    bool watch(std::uint64_t who) {
        return (state_[who].fetch_or(watched, std::memory_order_acquire) & ended) != 0;
    }
    /// The running thread's process is killed.
    void end(std::uint64_t who) {
        ring_sync::dies_at_bell = ring_sync::dies_at_wake = ring_sync::stopped =
            0;  // the bell is not its
        const unsigned before = state_[who].fetch_or(ended, std::memory_order_release);
        if ((before & watched) != 0 && !spoils(ring_defect::death_untold)) bell_.ring();
    }

private:
    static constexpr std::uint32_t watched = 1;
    static constexpr std::uint32_t ended = 2;

    ring_bell& bell_;
    std::array<sync::atomic<std::uint32_t>, 4> state_{};
};

/// As ring.
class sweep_consumer {
public:
    sweep_consumer(const small_ring& r, processes& others)
        : ring_(r), sweep_(r.map), others_(others) {}

    void begin() {
        sweep_.set_fence(!ring_sync::has_joined(detail::current->running()));
        ring_.records().reset(ring_sync::can_make_heavy_fences());
        sweep_.rescan();
    }
    /// Returns 0 or EOWNERDEAD.
    int receive(int& value) {
        for (;;) {
            int error = try_receive(value);
            if (error != EAGAIN) return error;
            error = look_or_sleep(ring_.records(), ring_sync::never, prepared, [&] {
                const int death = look_for_the_dead();
                return death ? death : try_receive(value);
            });
            if (error != EAGAIN) return error;
        }
    }
    int must_receive() {
        int value = 0;
        check(receive(value) == 0, sound);
        return value;
    }
    void must_receive(int expected) { check(must_receive() == expected, in_order); }
    void must_hear_of_death() {
        int value = 0;
        check(receive(value) == EOWNERDEAD, "a death is told after all that was committed");
    }

    /// Until all lanes have fallen out of use.
    void wait_until_unused() {
        int value = 0;
        while (!sweep_.in_use().empty())
            look_or_sleep(ring_.records(), ring_sync::never, prepared, [&] {
                check(try_receive(value) == EAGAIN, "nothing is received that nobody has sent");
                return sweep_.in_use().empty() ? 0 : EAGAIN;
            });
    }

    int prepared = 0;

private:
    static constexpr std::uint64_t arriving = wire::shm::detail::identity::arriving;

    int try_receive(int& value) {
        std::span<const std::byte> bytes;
        lane_sweep::entry* at = nullptr;
        int error;
        while ((error = sweep_.next(bytes, at)) == EOWNERDEAD) {
            const bool had_arrived = (at->owner & arriving) == 0;
            sweep_.bury(*at);
            if (had_arrived) break;
        }
        if (error != 0) return error;
        value = value_of(bytes);
        sweep_.release();
        return 0;
    }
    int look_for_the_dead() {
        sweep_.rescan();
        for (lane_sweep::entry& e : sweep_.in_use()) {
            e.owner = e.from.shared().owner.load(std::memory_order_acquire);
            if (e.owner == 0 || e.dead) continue;
            const std::uint64_t who = e.owner & ~arriving;
            if (!others_.watch(who)) continue;
            // Before it ended it may have arrived, or left.
            e.owner = e.from.shared().owner.load(std::memory_order_acquire);
            e.dead = (e.owner & ~arriving) == who;
            if (e.dead && spoils(ring_defect::buried_before_drained)) {
                sweep_.bury(e);
                return EOWNERDEAD;
            }
        }
        return 0;
    }

    const small_ring& ring_;
    lane_sweep sweep_;
    processes& others_;
};

/// Two lanes and one bell.
inline result two_producers(fences f, int records, const options& o) {
    return explore(o, [=] {
        const small_ring r(2);
        set_fences(f);
        processes all(r.records());
        lane_producer one(r, 0);
        lane_producer two(r, 1);
        sweep_consumer c(r, all);
        one.must_attach(1);
        two.must_attach(2);
        const auto send_all = [=](lane_producer& p, int first) {
            for (int i = 0; i < records; ++i) p.must_send(8, first + i);
        };
        run([&] { send_all(one, 10); }, [&] { send_all(two, 20); },
            [&] {
                c.begin();
                int next[] = {10, 20};
                for (int i = 0; i < 2 * records; ++i) {
                    const int value = c.must_receive();
                    check(value == next[value / 10 - 1]++, in_order);
                }
            });
        // Both producers may find the consumer asleep, and ring.
        check(ring_sync::wakes <= one.prepared + two.prepared + 2 * c.prepared, one_call);
    });
}

/// The consumer may sleep, or drop a lane, while a producer attaches to it.
inline result attach_leave_attach(const options& o) {
    return explore(o, [=] {
        const small_ring r;
        processes all(r.records());
        lane_producer first(r);
        lane_producer second(r);
        sweep_consumer c(r, all);
        run(
            [&] {
                first.must_attach(1);
                first.must_send(8, 1);
                first.leave();
                first.tell_left();
                second.must_attach(1);
                second.must_send(8, 2);
            },
            [&] {
                c.begin();
                c.must_receive(1);
                c.must_receive(2);
            });
    });
}

/// A consumer that does not sleep finds the lane that is counted.
inline result attach_to_busy(const options& o) {
    return explore(o, [=] {
        const small_ring r;
        lane_sweep sweep(r.map);
        tracked<int> taken;  // stands for the owner word
        run(
            [&] {
                taken.set(1);
                check(r.map.lane(0).take(1), "the lane is free");
                r.map.header().count_attachment();
            },
            [&] {
                std::span<const std::byte> bytes;
                lane_sweep::entry* at = nullptr;
                while (sweep.in_use().empty()) {
                    check(sweep.next(bytes, at) == EAGAIN, in_order);
                    if (sweep.in_use().empty()) ring_sync::pause();
                }
                static_cast<void>(taken.get());
            });
    });
}

/// Whoever is seen to own the lane, it is known where its records begin.
inline result begin(const options& o) {
    return explore(o, [=] {
        const small_ring r;
        ring_lane& lane = r.map.lane(0);
        tracked<int> where;  // stands for `begins`
        run(
            [&] {
                check(lane.take(1 | wire::shm::detail::identity::arriving), "the lane is free");
                const lane_writer w(lane, r.bytes_of(0));
                where.set(1);
                lane.begin(1);
            },
            [&] {
                const lane_reader reader(lane, r.bytes_of(0));
                if (reader.writer() == 1) check(where.get() == 1, in_order);
            });
    });
}

/// A lane falls out of use once all is seen that came before its owner left.
inline result leave(const options& o) {
    return explore(o, [=] {
        const small_ring r;
        processes all(r.records());
        lane_producer p(r);
        sweep_consumer c(r, all);
        tracked<int> last;  // stands for what it has committed
        p.must_attach(1);
        c.begin();
        run(
            [&] {
                last.set(1);
                p.leave();
                p.tell_left();
            },
            [&] {
                c.wait_until_unused();
                static_cast<void>(last.get());
            });
    });
}

/// Killed while it has a record claimed; after that another has the lane.
inline result owner_dies(fences f, bool at_bell, const options& o) {
    return explore(o, [=] {
        const small_ring r;
        set_fences(f);
        if (at_bell) ring_sync::dies_at_bell = 0b010;
        processes all(r.records());
        lane_producer first(r);
        lane_producer second(r);
        sweep_consumer c(r, all);
        gate buried;
        first.must_attach(1);
        run(
            [&] {
                first.must_send(8, 1);
                std::span<std::byte> never_committed;
                if (!at_bell && first.claim(8, never_committed) == 0) fill(never_committed, 9);
                all.end(1);
            },
            [&] {
                c.begin();
                c.must_receive(1);
                c.must_hear_of_death();
                buried.open();
                c.must_receive(2);
            },
            [&] {
                buried.pass();
                check(second.attach(3), "a lane that was buried is free");
                second.must_send(8, 2);
            });
    });
}

/// Stopped for ever when it should ring, or when that should be called. Another must not suffer.
inline result stops(bool at_wake, const options& o) {
    return explore(o, [=] {
        const small_ring r(2);
        (at_wake ? ring_sync::dies_at_wake : ring_sync::dies_at_bell) = 0b010;
        processes all(r.records());
        lane_producer one(r, 0);
        lane_producer two(r, 1);
        sweep_consumer c(r, all);
        one.must_attach(1);
        two.must_attach(2);
        run([&] { one.must_send(8, 1); }, [&] { two.must_send(8, 2); },
            [&] {
                c.begin();
                while (c.must_receive() != 2) {
                }
            });
    });
}

/// Killed when it has said that it attaches, or leaves, and has not rung yet. Another must not
/// suffer.
inline result dies_unwatched(bool leaves, const options& o) {
    return explore(o, [=] {
        const small_ring r(2);
        processes all(r.records());
        lane_producer one(r, 0);
        lane_producer two(r, 1);
        sweep_consumer c(r, all);
        two.must_attach(2);
        if (leaves) one.must_attach(1);
        run(
            [&] {
                ring_sync::dies_at_bell = 0b010;
                if (leaves) {
                    one.leave();
                    one.tell_left();
                } else {
                    one.must_attach(1);
                }
                all.end(1);
            },
            [&] { two.must_send(8, 2); },
            [&] {
                c.begin();
                int value = 0;
                int error = c.receive(value);
                if (error == EOWNERDEAD) error = c.receive(value);
                check(error == 0 && value == 2, in_order);
            });
    });
}

/// Killed as soon as it is attached: the consumer hears of it, though there never was a record.
inline result dies_silent(const options& o) {
    return explore(o, [=] {
        const small_ring r;
        processes all(r.records());
        lane_producer p(r);
        sweep_consumer c(r, all);
        run(
            [&] {
                p.must_attach(1);
                all.end(1);
            },
            [&] {
                c.begin();
                c.must_hear_of_death();
            });
    });
}

}  // namespace interleave
