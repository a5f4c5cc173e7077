// Scenarios for the explorer: records that go from one user of an arena to another, and back.
#pragma once

#include "gate.hpp"
#include "interleave_bounds.hpp"
#include "small_arena.hpp"

namespace interleave {

/// Who makes which fences. The first thread is the producer.
enum class arena_fences {
    heavy,            // membarrier(2) works, and all have asked for it
    none,             // it is refused
    not_of_producer,  // the producer's process could not ask
    not_of_consumer,
};

inline void set_fences(arena_fences f) {
    arena_policy::run.has_membarrier = f != arena_fences::none;
    if (f == arena_fences::not_of_producer) arena_policy::run.outsiders = 0b010;
    if (f == arena_fences::not_of_consumer) arena_policy::run.outsiders = 0b100;
}

/// An arena with a channel, and two users that take its ends, or will; the first has a slab. There
/// may be more users. In a scenario's frame.
struct arena_of_two {
    explicit arena_of_two(std::uint32_t blocks, arena_fences f = arena_fences::heavy,
                          std::uint32_t users = 2)
        : a(blocks) {
        set_fences(f);
        a.cut_slab();
        a.open(users, 0);
        p.own_slab();
    }

    const small_arena a;
    arena_user p{a, 1}, c{a, 2};
};

constexpr const char* no_loss = "no memory is lost";
constexpr const char* told = "who takes the lock over is told";
constexpr const char* told_once = "one is told of a death";
constexpr const char* whole = "pages are made or free, all of them";
constexpr const char* forgotten = "who was buried is forgotten";

/// From the scenario's frame: when these have left nobody holds anything, and all is free.
inline void check_all_free(const small_arena& a, std::uint32_t users) {
    arena_recovery r(a.map);
    for (std::uint16_t u = 1; u <= users; ++u) r.bury(u);
    for (std::uint32_t n = 0; n < 8; ++n) {
        if (n >= a.blocks()) a.block(n).set(block_word::nobody, 0);
        check(a.holder(n) == block_word::nobody, no_loss);
    }
    r.give_back_empty();
    check(arena_pages(a.map).find(a.map.geometry.pages).has_value(), no_loss);
}

/// Two blocks, of which the consumer frees each; their owner allocates them again.
inline result pass(arena_fences f, std::uint64_t records, const options& o) {
    return explore(o, [=] {
        auto&& [a, p, c] = arena_of_two(2, f);
        p.produce();
        c.consume();
        run(
            [&] {
                for (std::uint64_t i = 1; i <= records; ++i) p.must_send(i);
            },
            [&] {
                for (std::uint64_t i = 1; i <= records; ++i) c.must_receive(i);
            });
        check_all_free(a, 2);
    });
}

/// A queue with one place left, and so many records more to send.
inline result fill_up(arena_fences f, std::uint64_t records, const options& o) {
    return explore(o, [=] {
        auto&& [a, p, c] = arena_of_two(6, f);
        std::vector<arena_block> more;
        p.produce();
        for (std::uint64_t i = 1; i <= 3; ++i) p.must_send(i);
        a.map.channel(0).producer.at.store(queue_size - 1, std::memory_order_relaxed);
        for (std::uint64_t i = 0; i < records; ++i) more.push_back(p.allocate(10 + i));
        p.join(0);
        c.consume();
        run(
            [&] {
                for (const arena_block b : more) check(p.send(b) == 0, "it waits for a place");
            },
            [&] {
                for (std::uint64_t i = 1; i <= records; ++i) c.must_receive(i);
            });
        const auto& channel = a.map.channel(0);
        check(channel.producer.at.load(std::memory_order_relaxed) == queue_size - 1 + records &&
                  channel.consumer.at.load(std::memory_order_relaxed) == records,
              "each is counted");
        for (std::uint64_t i = 0; i < records; ++i)
            check(p.read(more[i]) == 10 + i &&
                      a.holder(static_cast<std::uint32_t>(3 + i)) == block_word::in_channel(0),
                  "what was sent is in the channel");
    });
}

/// The first producer comes while its consumer asks.
inline result producer_comes(const options& o) {
    return explore(o, [=] {
        auto&& [a, p, c] = arena_of_two(1);
        c.consume();
        run(
            [&] {
                p.come_as_producer();
                p.must_send(1);
            },
            [&] { c.must_receive(1); });
        check_all_free(a, 2);
    });
}

/// The consumer comes while the producer waits for a place.
inline result consumer_comes(const options& o) {
    return explore(o, [=] {
        auto&& [a, p, c] = arena_of_two(2);
        p.produce();
        p.must_send(1);
        a.map.channel(0).producer.at.store(queue_size, std::memory_order_relaxed);
        const arena_block last = p.allocate(2);
        p.join(0);
        run([&] { check(p.send(last) == 0, "there is a consumer"); },
            [&] {
                c.come_as_consumer();
                c.must_receive(1);
            });
    });
}

/// The producer leaves: all that it has sent is received, then its end is told.
inline result producer_leaves(arena_fences f, const options& o) {
    return explore(o, [=] {
        auto&& [a, p, c] = arena_of_two(2, f);
        tracked<int> last;  // stands for what it has done before
        p.produce();
        c.consume();
        run(
            [&] {
                p.must_send(1);
                last.set(1);
                p.leave();
            },
            [&] {
                check(c.receive_all(1, true) == 1, "all that was sent is received");
                check(last.get() == 1, "what it has done is seen");
            });
        check_all_free(a, 2);
    });
}

/// The consumer leaves while the producer waits for a place.
inline result consumer_leaves(arena_fences f, const options& o) {
    return explore(o, [=] {
        auto&& [a, p, c] = arena_of_two(3, f);
        p.produce();
        p.must_send(1);
        a.map.channel(0).producer.at.store(queue_size - 1, std::memory_order_relaxed);
        const arena_block two = p.allocate(2);
        const arena_block three = p.allocate(3);
        tracked<int> last;  // stands for what the consumer has done before
        p.join(0);
        c.consume();
        run(
            [&] {
                check(p.send(two) == 0, "there is a place");
                check(p.send(three) == EPIPE, "there is no place, and nobody to wait for");
                check(last.get() == 1, "what it has done is seen");
            },
            [&] {
                last.set(1);
                c.leave();
            });
    });
}

}  // namespace interleave
