// Scenarios for the explorer: one producer and the consumer of a ring, which sees one lane.
#pragma once

#include "interleave_bounds.hpp"
#include "small_ring.hpp"

namespace interleave {

/// Who makes which fences. The first thread is the producer.
enum class fences {
    heavy,            // membarrier(2) works, and all have asked for it
    none,             // it is refused
    not_of_producer,  // the producer's process could not ask
    not_of_consumer,
};

inline void set_fences(fences f) {
    ring_sync::has_membarrier = f != fences::none;
    if (f == fences::not_of_producer) ring_sync::outsiders = 0b010;
    if (f == fences::not_of_consumer) ring_sync::outsiders = 0b100;
}

constexpr const char* in_order = "records arrive in order, each once";
constexpr const char* one_call = "at most one system call for each sleep";
constexpr const char* sound = "the lane is sound for the consumer";

inline void check_calls(const lane_producer& p, const lane_consumer& c) {
    check(ring_sync::wakes <= p.prepared + c.prepared, one_call);
}

/// In a lane that holds two: full, empty, round and round.
inline result pass(fences f, int records, const options& o) {
    return explore(o, [=] {
        const small_ring r;
        set_fences(f);
        lane_producer p(r);
        lane_consumer c(r);
        p.must_attach(1);
        run(
            [&] {
                for (int i = 1; i <= records; ++i) p.must_send(8, i);
            },
            [&] {
                c.begin();
                for (int i = 1; i <= records; ++i) c.must_receive(i);
            });
        check_calls(p, c);
    });
}

/// The third does not fit into the rest of the lane, and not before the others are released.
inline result wrap(fences f, const options& o) {
    return explore(o, [=] {
        const small_ring r(1, 64);
        set_fences(f);
        lane_producer p(r);
        lane_consumer c(r);
        p.must_attach(1);
        run(
            [&] {
                p.must_send(8, 1);
                p.must_send(24, 2);
                p.must_send(24, 3);
            },
            [&] {
                c.begin();
                for (int i = 1; i <= 3; ++i) c.must_receive(i);
            });
        check_calls(p, c);
    });
}

/// Two at once, and one that finds the lane full before it is published itself.
inline result batches(fences f, const options& o) {
    return explore(o, [=] {
        const small_ring r;
        set_fences(f);
        lane_producer p(r);
        lane_consumer c(r);
        p.must_attach(1);
        run(
            [&] {
                for (int i = 1; i <= 3; ++i) check(p.prepare(8, i) == 0, "it waits for room");
                p.publish();
            },
            [&] {
                c.begin();
                for (int i = 1; i <= 3; ++i) c.must_receive(i);
            });
        check_calls(p, c);
    });
}

/// A consumer whose time passes while the bell rings, and looks again later.
inline result impatient_consumer(fences f, std::int64_t until, const options& o) {
    return explore(o, [=] {
        const small_ring r;
        set_fences(f);
        lane_producer p(r);
        lane_consumer c(r);
        p.must_attach(1);
        run(
            [&] {
                p.must_send(8, 1);
                p.must_send(8, 2);
            },
            [&] {
                c.begin();
                int value = 0;
                const int error = c.receive(value, until);
                check(error == 0 || error == ETIMEDOUT, "it gets one or is too late");
                check(error != 0 || value == 1, in_order);
                for (int i = error ? 1 : 2; i <= 2; ++i) c.must_receive(i);
            });
        check_calls(p, c);
    });
}

/// A producer whose time passes while there is room.
inline result impatient_producer(fences f, std::int64_t until, const options& o) {
    return explore(o, [=] {
        const small_ring r;
        set_fences(f);
        lane_producer p(r);
        lane_consumer c(r);
        p.must_attach(1);
        run(
            [&] {
                p.must_send(8, 1);
                p.must_send(8, 2);
                const int error = p.send(8, 3, until);
                check(error == 0 || error == ETIMEDOUT, "there is room or it is too late");
                if (error) p.must_send(8, 3);
            },
            [&] {
                c.begin();
                for (int i = 1; i <= 3; ++i) c.must_receive(i);
            });
        check_calls(p, c);
    });
}

/// One leaves records and what it has only claimed; another goes on.
inline result hand_over(const options& o) {
    return explore(o, [=] {
        const small_ring r;
        lane_producer first(r);
        lane_producer second(r);
        lane_consumer c(r);
        gate left;
        first.attach(1);
        run(
            [&] {
                check(first.prepare(8, 1) == 0, "there is room");
                if (spoils(ring_defect::left_before_published)) first.leave();
                first.publish();
                std::span<std::byte> never_committed;
                check(first.claim(8, never_committed) == 0, "there is room");
                fill(never_committed, 9);
                if (!spoils(ring_defect::left_before_published)) first.leave();
                left.open();
                first.tell_left();
            },
            [&] {
                left.pass();
                check(second.attach(2), "a lane that was left is free");
                for (int i = 2; i <= 3; ++i) second.must_send(8, i);
            },
            [&] {
                c.begin();
                for (int i = 1; i <= 3; ++i) c.must_receive(i);
            });
    });
}

/// A consumer ends after a release, or is killed before it tells of it; the next one goes on. The
/// producer has no room before both records are released, and then there is none to be received.
inline result next_consumer(bool untold, const options& o) {
    return explore(o, [=] {
        const small_ring r(1, 64);
        lane_producer p(r);
        lane_consumer first(r);
        lane_consumer second(r);
        tracked<int> of_first;  // stands for what it has seen of the lane's head
        gate ended;
        p.must_attach(1);
        run(
            [&] {
                p.must_send(8, 1);
                p.must_send(24, 2);
                p.must_send(24, 3);
            },
            [&] {
                first.begin();
                first.must_receive(1);
                int value = 0;
                check(first.peek(value) == 0 && value == 2, in_order);
                of_first.set(1);
                if (untold)
                    first.release_untold();
                else
                    first.release();
                ended.open();
            },
            [&] {
                ended.pass();
                second.begin();
                static_cast<void>(of_first.get());
                if (!spoils(ring_defect::next_consumer_rings_nobody)) p.lane().room.ring();
                second.must_receive(3);
            });
    });
}

/// The bell by itself: what comes before it rings is seen by who has prepared after it.
inline result ring_then_prepare(fences f, const options& o) {
    return explore(o, [=] {
        const small_ring r;
        set_fences(f);
        tracked<int> brought;
        ring_bell& bell = r.records();
        bell.reset(ring_sync::has_membarrier);
        run(
            [&] {
                brought.set(1);
                bell.ring();
            },
            [&] {
                const std::uint32_t rung = bell.prepare(ring_sync::has_membarrier);
                if (rung == 0) ring_sync::futex_wait(bell.bell(), rung, ring_sync::never);
                bell.reset(ring_sync::has_membarrier);
                check(bell.prepare(ring_sync::has_membarrier) == 1,
                      "who has slept finds another value");
                check(brought.get() == 1, "what was brought is seen");
            });
    });
}

/// Nobody is called who is awake again.
inline result tell_one_awake(fences f, const options& o) {
    return explore(o, [=] {
        const small_ring r;
        set_fences(f);
        ring_bell& bell = r.records();
        gate awake;
        run(
            [&] {
                awake.pass();
                bell.tell(!ring_sync::has_joined(1));
            },
            [&] {
                bell.reset(ring_sync::has_membarrier);
                static_cast<void>(bell.prepare(ring_sync::has_membarrier));
                bell.reset(ring_sync::has_membarrier);
                awake.open();
            });
        check(ring_sync::wakes == 0, one_call);
    });
}

}  // namespace interleave
