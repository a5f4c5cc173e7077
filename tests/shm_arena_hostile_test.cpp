// A process that has an arena mapped, and writes to it whatever it likes: the others may be told
// nonsense, but touch nothing else than the arena, and always come back.
#include <wire/shm/arena.hpp>

#include <doctest/doctest.h>
#include <sys/prctl.h>

#include <random>

#include "shm/arena_queue.hpp"
#include "support/arena.hpp"
#include "support/arena_memory.hpp"
#include "support/interleave_bounds.hpp"

namespace wire::test {
namespace {

using shm::detail::arena_sync;
using shm::detail::block_word;
using shm::detail::page_word;
using block = shm::detail::basic_block<arena_sync>;

// Two users of an arena with a channel, and its memory.
struct hostile_arena {
    const std::string name = arena::unique_name();
    arena a = arena::create(name, {.size = 64 * 1024, .channels = 4});
    arena b = arena::open(name);
    arena_memory memory{name};

    hostile_arena() {
        CHECK(a.add_channel(1, role::producer));
        CHECK(b.add_channel(1, role::consumer));
    }
    std::uint32_t number() const {
        return static_cast<std::uint32_t>(&memory.channel(1) - &memory.map().channel(0));
    }
    /// What the consumer gets if the next place in the queue says that.
    std::string received_from(std::uint64_t offset) {
        auto& c = memory.channel(1);
        const std::uint64_t at = c.producer.at;
        memory.map().queue(number())[at % shm::detail::queue_size] = offset;
        c.producer.at = at + 1;
        // What the producer knows of its end is its own: it leaves, and comes again.
        const std::string text = received(b, 1);
        CHECK(a.leave_channel(1));
        CHECK(a.add_channel(1, role::producer));
        return text;
    }
    std::uint64_t offset_of(const arena_record& r) {
        const auto begin = memory.find(r.bytes());
        CHECK(begin);
        return begin.value_or(0);
    }
};

TEST_CASE("shm arena hostile: places in a queue that are no records are refused, one by one") {
    hostile_arena h;
    arena_record r = made(h.a, "0123456789012345");
    const std::uint64_t at = h.offset_of(r);
    const block b = block::of(h.memory.map().heap() + at);
    for (const std::uint64_t offset :
         {std::uint64_t{0}, std::uint64_t{15}, at, at + 1, at - 16, at + 32, at + 8,
          std::uint64_t{64 * 1024}, std::uint64_t{64 * 1024 - 1}, ~std::uint64_t{0},
          std::uint64_t{1} << 40, std::uint64_t{4096 + 16}})
        CHECK(h.received_from(offset) == "!EBADMSG");
    const std::uint16_t in_it = block_word::in_channel(h.number());
    for (const std::uint64_t bytes : {17UL, 1000UL, 64UL * 1024, (1UL << 40) - 1}) {
        b.set(in_it, bytes);
        CHECK(h.received_from(at) == "!EBADMSG");
    }
    b.set(block_word::in_channel(h.number() + 1), 10);
    CHECK(h.received_from(at) == "!EBADMSG");
    b.set(in_it, 10);
    CHECK(h.received_from(at) == "0123456789");
    static_cast<void>(r.release());
    CHECK(sent(h.a, 1, "sound") == "");
    CHECK(received(h.b, 1) == "sound");
}

TEST_CASE("shm arena hostile: page words that lead out of the heap are refused") {
    hostile_arena h;
    arena_record r = made(h.a, "0123456789012345");
    const std::uint64_t at = h.offset_of(r);
    auto& word = h.memory.map().page_at(static_cast<std::uint32_t>(at / 4096));
    const std::uint64_t before = word;
    const std::uint16_t in_it = block_word::in_channel(h.number());
    for (const std::uint64_t w :
         {std::uint64_t{0}, ~std::uint64_t{0}, page_word::make(page_word::slab, 1, 200, 1),
          page_word::make(page_word::rest, 0, 0, 0),
          page_word::make(page_word::segment, 0, 0, 1)}) {
        block::of(h.memory.map().heap() + at).set(in_it, 10);
        word = w;
        CHECK(h.received_from(at) == "!EBADMSG");
    }
    // A run that is said to be longer than the heap, at its last page.
    const std::uint32_t last = h.memory.map().geometry.pages - 1;
    h.memory.map().page_at(last) = page_word::make(page_word::run, 0, 0, ~std::uint32_t{0});
    block(h.memory.map().heap() + last * 4096UL).set(in_it, 4081);
    CHECK(h.received_from(last * 4096UL + 16) == "!EBADMSG");
    h.memory.map().page_at(last) = 0;
    word = before;
    block::of(h.memory.map().heap() + at).set(block_word::nobody, 0);
    static_cast<void>(r.release());
}

TEST_CASE("shm arena hostile: counts that cannot be are refused") {
    for (const std::uint64_t far :
         {std::uint64_t{513}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
        hostile_arena h;
        h.memory.channel(1).producer.at += far;
        CHECK(received(h.b, 1) == "!EBADMSG");
        CHECK(received(h.b, 1, within(0s)) == "!ETIMEDOUT");
    }
    hostile_arena h;
    h.memory.channel(1).consumer.at += 100;  // more than there were
    arena_record r = made(h.a, "r");
    CHECK(h.a.leave_channel(1));
    CHECK(h.a.add_channel(1, role::producer));
    CHECK(error_of(h.a.try_send(1, r)) == "!EAGAIN");
    CHECK(h.a.remove_channel(1));
}

// Changes bytes, words and bits of all that is shared, until it is killed.
[[noreturn]] void spoil(const std::string& name, unsigned seed) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const arena_memory memory(name);
    const std::span<std::byte> all = memory.bytes();
    // Most of it is heap; words of channels and pages are more interesting.
    const std::size_t tables = shm::detail::arena_map::heap_at(memory.map().geometry);
    std::mt19937 random(seed);
    for (;;) {
        const std::size_t range = random() % 4 == 0 ? all.size() : tables;
        const std::size_t at = random() % range / 8 * 8;
        auto& word = *reinterpret_cast<std::atomic<std::uint64_t>*>(all.data() + at);
        switch (random() % 5) {
            case 0:
                word = 0;
                break;
            case 1:
                word = std::uint64_t{random()} << 32 | random();
                break;
            case 2:
                word ^= std::uint64_t{1} << random() % 64;
                break;
            case 3:
                word += random() % 3 - 1;
                break;
            default:
                word = random() % 2000;
                break;
        }
    }
}

struct tally {
    std::uint64_t done = 0, refused = 0;
    template <class T>
    bool count(const result<T>& r) {
        ++(r ? done : refused);
        return r.has_value();
    }
};

// What a user may do, at random. Writes to each record it gets, from one end to the other.
void use(arena& a, std::mt19937& random, std::vector<arena_record>& held, tally& t) {
    const auto id = static_cast<std::uint32_t>(random() % 3);
    const auto keep = [&](result<arena_record>&& r) {
        if (!t.count(r)) return;
        std::ranges::fill(r->bytes(), std::byte{1});
        if (held.size() < 50) held.push_back(*std::move(r));
    };
    switch (random() % 12) {
        case 0:
            t.count(a.add_channel(id, random() % 2 ? role::producer : role::consumer));
            break;
        case 1:
            t.count(a.leave_channel(id));
            break;
        case 2:
            t.count(a.remove_channel(id));
            break;
        case 3:
            keep(a.try_recv(id));
            break;
        case 4:
            keep(a.recv(id, within(100us)));
            break;
        case 5:
            keep(a.allocate(1 + random() % 200));
            break;
        case 6:
            keep(a.allocate(1 + random() % 20'000));
            break;
        case 7:
            t.count(a.segment(id));
            break;
        case 8:
            if (const auto s = a.add_segment(
                    id, 100, [](auto) {}, within(1ms));
                t.count(s))
                std::ranges::fill(*s, std::byte{2});
            break;
        case 9:
            static_cast<void>(a.has_active_channels());
            break;
        default:
            if (held.empty()) break;
            if (random() % 2) t.count(a.try_send(id, held.back()));
            held.pop_back();
    }
}

TEST_CASE("shm arena hostile: a process that changes everything all the time") {
    const int rounds = interleave::explores_long() ? 500 : 5;
    tally t;
    for (int round = 0; round < rounds; ++round) {
        const std::string name = arena::unique_name();
        arena a = arena::create(name, {.size = 256 * 1024, .channels = 4, .keep = true});
        arena b = arena::open(name);
        const auto seed = static_cast<unsigned>(round);
        const pid_t enemy = in_child([&] {
            spoil(name, seed);
            return 0;
        });
        std::mt19937 random(seed);
        std::vector<arena_record> of_a, of_b;
        for (int i = 0; i < 1000; ++i) {
            use(a, random, of_a, t);
            use(b, random, of_b, t);
        }
        of_a.clear();
        of_b.clear();
        // Whoever comes to what is left is refused, or comes.
        const std::string refused = refusal_of([&] {
            arena c = arena::open(name);
            static_cast<void>(c.allocate(100));
        });
        t.refused += refused != "";
        ::kill(enemy, SIGKILL);
        exit_code(enemy);
        CHECK(arena::remove(name));
    }
    CHECK(t.done > 500);
    CHECK(t.refused > 500);
}

}  // namespace
}  // namespace wire::test
