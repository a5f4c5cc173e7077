// An arena of one page for the explorer, and users of it: the product's templates, with what the
// arena does around them.
#pragma once

#include <shm/arena_lock.hpp>
#include <shm/arena_queue.hpp>
#include <shm/arena_slabs.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <vector>

#include "arena_policy.hpp"

namespace interleave {

using arena_map = wire::shm::detail::basic_arena_map<arena_policy>;
using arena_channel = wire::shm::detail::basic_arena_channel<arena_policy>;
using arena_bell = wire::shm::detail::basic_doorbell<arena_policy>;
using arena_block = wire::shm::detail::basic_block<arena_policy>;
using arena_blocks = wire::shm::detail::basic_arena_blocks<arena_policy>;
using arena_pages = wire::shm::detail::basic_arena_pages<arena_policy>;
using arena_recovery = wire::shm::detail::basic_arena_recovery<arena_policy>;
using wire::shm::detail::block_word;
using wire::shm::detail::page_word;
using wire::shm::detail::queue_size;
using wire::shm::detail::size_classes;

constexpr const char* in_order = "records arrive in order, each once";
constexpr const char* sound = "the channel is sound for its consumer";
constexpr std::uint16_t block_bytes = 64;  // of records
constexpr std::uint8_t block_class = 8;    // of which eight make a page
static_assert(size_classes::sizes[block_class] == 512);
constexpr std::uint16_t somebody_else = 999;  // who has what the scenario does not use

/// The whole segment, in memory that all executions share. Its heap is a slab of user 1.
class small_arena {
public:
    explicit small_arena(std::uint32_t blocks, std::uint32_t pages = 1)
        : map{memory_.data(), {pages, channels}}, blocks_(blocks) {
        arena_policy::run = {};
        memory_.fill(std::byte{});
        current_ = this;
        arena_policy::word_at = &word_at;
        arena_policy::number_of = &number_of;
    }
    small_arena(const small_arena&) = delete;
    small_arena& operator=(const small_arena&) = delete;

    /// From the scenario's frame: user 1 has a slab, of which it has only so many blocks.
    void cut_slab() const {
        for (std::uint32_t n = blocks_; n < 8; ++n) block(n).set(somebody_else, 1);
        arena_pages(map).make(0, page_word::slab, 1, block_class, 1);
    }
    /// From the scenario's frame: these users are in, and that channel is.
    void open(std::uint32_t users, std::uint32_t channel) const {
        for (std::uint32_t u = 1; u <= users; ++u) map.user(u).store(u, std::memory_order_relaxed);
        map.channel(channel).id.store(channel + 1, std::memory_order_relaxed);
    }
    [[nodiscard]] arena_block block(std::uint32_t n) const {
        return arena_block(map.heap() + n * std::size_t{512});
    }
    [[nodiscard]] std::uint32_t blocks() const { return blocks_; }
    [[nodiscard]] std::uint16_t holder(std::uint32_t n) const { return block(n).holder(); }

    static constexpr std::uint32_t channels = 2;
    const arena_map map;
    mutable sync::word freed{0};  // so often something became free

private:
    static arena_word word_at(const void* at) {
        const arena_map& m = current_->map;
        const auto offset = static_cast<std::uint64_t>(static_cast<const std::byte*>(at) - m.base);
        check(offset < memory_.size(), "nobody leaves the arena");
        if (offset >= arena_map::queues_at(m.geometry)) return arena_word::place;
        if (offset >= arena_map::heap_at(m.geometry))
            return number_of(at) < current_->blocks_ ? arena_word::block : arena_word::unused_block;
        if (offset >= arena_map::page_words_at(m.geometry)) return arena_word::page;
        if (offset >= arena_map::channels_at) return word_of_channel(at);
        if (offset >= arena_map::segments_at) return arena_word::with_lock;
        if (offset >= arena_map::users_at) return arena_word::user;
        return word_of_header(at);
    }
    static arena_word word_of_header(const void* at) {
        auto& h = current_->map.header();
        if (at == &h.lock) return arena_word::lock;
        if (at == &h.waiting) return arena_word::waiting;
        return at == &h.unlocked ? arena_word::unlocked : arena_word::with_lock;
    }
    static arena_word word_of_channel(const void* at) {
        for (std::uint32_t n = 0; n < channels; ++n) {
            arena_channel& c = current_->map.channel(n);
            if (at == &c.id) return arena_word::id;
            if (at == &c.producer.at) return arena_word::sent;
            if (at == &c.consumer.at) return arena_word::received;
            for (arena_channel::end* const e : {&c.producer, &c.consumer}) {
                if (at == &e->user) return arena_word::end_user;
                if (at == &e->had) return arena_word::had;
                if (at == &e->bell) return arena_word::state;
                if (at == &e->bell.bell()) return arena_word::bell;
            }
        }
        return arena_word::with_lock;
    }
    static std::size_t number_of(const void* at) {
        const arena_map& m = current_->map;
        const auto* const byte = static_cast<const std::byte*>(at);
        if (byte < m.heap() + m.heap_bytes())
            return static_cast<std::size_t>(byte - m.heap()) / 512;
        const auto place =
            static_cast<std::size_t>(byte - reinterpret_cast<const std::byte*>(m.queue(0))) / 8;
        return place / queue_size * 16 + place % 16;
    }

    static constexpr std::size_t size = arena_map::total_bytes({.pages = 4, .channels = channels});
    alignas(wire::shm::detail::page) static inline std::array<std::byte, size> memory_{};
    static inline const small_arena* current_ = nullptr;
    const std::uint32_t blocks_;
};

/// A user, who is the thread and the process of that number. As arena_state.
class arena_user {
    using end = arena_channel::end;

public:
    arena_user(const small_arena& a, std::uint16_t me)
        : arena_(a), blocks_(a.map), slabs_(a.map, me), me_(me) {}

    // From the scenario's frame.
    void own_slab() {
        slabs_.reserve(block_class);
        slabs_.add(block_class, 0);
    }
    void produce(std::uint32_t channel = 0) { take_end(own(channel, true)), join(channel); }
    void consume(std::uint32_t channel = 0) { take_end(own(channel, false)), join(channel); }

    /// As arena_state::take_end().
    void come_as_consumer(std::uint32_t channel = 0) {
        come_to(own(channel, false), own(channel, true), channel);
    }
    void come_as_producer(std::uint32_t channel = 0) {
        come_to(own(channel, true), own(channel, false), channel);
    }
    void join(std::uint32_t channel) {
        fence_ = !arena_policy::has_joined(me_);
        producer_.join(arena_.map.channel(channel));
        consumer_.join(arena_.map.channel(channel));
    }

    /// A record that says `value`. None: all blocks are in use.
    std::optional<arena_block> try_allocate(std::uint64_t value) {
        const auto b = slabs_.take(block_class, block_bytes, SIZE_MAX);
        if (b) write(*b, value);
        return b;
    }
    /// Sleeps until there is a block.
    arena_block allocate(std::uint64_t value) {
        for (;;) {
            const std::uint32_t before = arena_.freed.load(std::memory_order_relaxed);
            if (const auto b = try_allocate(value)) return *b;
            sync::futex_wait(arena_.freed, before);
        }
    }
    void free(arena_block b) {
        b.set(block_word::nobody, 0);
        call_allocator();
    }

    /// Stands for the allocator's patience, and orders nothing.
    void call_allocator() const {
        arena_.freed.fetch_add(1, std::memory_order_relaxed);
        sync::futex_wake(arena_.freed, 1);
    }

    int try_send(arena_block b, std::uint32_t channel = 0) {
        return producer_.push(arena_.map, channel, b, block_bytes, fence_);
    }
    int send(arena_block b, std::uint32_t channel = 0) {
        return wait_at(own(channel, true).bell, [&] { return try_send(b, channel); });
    }
    void must_send(std::uint64_t value) {
        check(send(allocate(value)) == 0, "the channel has a consumer");
    }
    int try_receive(std::optional<arena_block>& got, std::uint32_t channel = 0) {
        std::optional<arena_blocks::place> at;
        std::uint64_t bytes = 0;
        const int error = consumer_.pop(arena_.map, blocks_, channel, me_, fence_, at, bytes);
        check(error != EBADMSG, sound);
        if (error == 0) got = at->here;
        return error;
    }
    int receive(std::optional<arena_block>& got, std::uint32_t channel = 0) {
        return wait_at(own(channel, false).bell, [&] { return try_receive(got, channel); });
    }
    void must_receive(std::uint64_t value) {
        std::optional<arena_block> got;
        check(receive(got) == 0, "the channel has a producer");
        check(read(*got) == value, in_order);
        free(*got);
    }
    /// Until the producer has left. Returns how many have come, the first of which says `first`.
    std::uint64_t receive_all(std::uint64_t first, bool frees) {
        for (std::uint64_t n = 0;; ++n) {
            std::optional<arena_block> got;
            const int error = receive(got);
            if (error == EPIPE) return n;
            check(read(*got) == first + n, in_order);
            if (frees) free(*got);
        }
    }

    void leave(std::uint32_t channel = 0) {
        const locked guard(*this);
        arena_recovery(arena_.map).leave(channel, me_);
    }
    /// As one who has waited and hears of the end of `who`.
    void bury(std::uint16_t who) {
        const locked guard(*this);
        if (arena_.map.user(who).load(std::memory_order_relaxed) != 0) bury_with_lock(who);
    }
    /// While it sleeps it hears of the end of `who`, and buries that one.
    void watches(std::uint16_t who) { watched_ = who; }

    /// While it is there this user has the arena's lock.
    class locked {
    public:
        explicit locked(arena_user& u) : lock_(u.arena_.map.header(), u.me_) {
            taken_over_ = lock_.lock();
            if (taken_over_ && !spoils(arena_defect::not_repaired)) u.put_in_order();
        }
        ~locked() { lock_.unlock(); }
        locked(const locked&) = delete;
        locked& operator=(const locked&) = delete;
        [[nodiscard]] bool taken_over() const { return taken_over_; }

    private:
        wire::shm::detail::basic_arena_lock<arena_policy> lock_;
        bool taken_over_ = false;
    };

    void write(arena_block b, std::uint64_t value) const {
        arena_policy::run.bytes[number(b)].change();
        arena_policy::run.values[number(b)] = value;
    }
    [[nodiscard]] std::uint64_t read(arena_block b) const {
        arena_policy::run.bytes[number(b)].read();
        return arena_policy::run.values[number(b)];
    }
    int prepared = 0;  // sleeps

private:
    [[nodiscard]] std::size_t number(arena_block b) const {
        return static_cast<std::size_t>(b.bytes() - arena_.map.heap()) / 512;
    }
    [[nodiscard]] end& own(std::uint32_t channel, bool produces) const {
        arena_channel& c = arena_.map.channel(channel);
        return produces ? c.producer : c.consumer;
    }
    void take_end(end& mine) const {
        mine.bell.reset(arena_policy::can_make_heavy_fences());
        mine.had.store(1, std::memory_order_relaxed);
        mine.user.store(me_, std::memory_order_release);
    }
    void come_to(end& mine, end& other, std::uint32_t channel) {
        const locked guard(*this);
        check(mine.user.load(std::memory_order_relaxed) == 0, "an end that was left is free");
        mine.bell.reset(arena_policy::can_make_heavy_fences());
        mine.user.store(me_ | wire::shm::detail::arriving, std::memory_order_relaxed);
        other.bell.ring();
        mine.had.store(1, std::memory_order_release);
        mine.user.store(me_, std::memory_order_release);
        join(channel);
    }
    template <class F>
    int wait_at(arena_bell& bell, F attempt) {
        const bool heavy = arena_policy::can_make_heavy_fences();
        for (;;) {
            int error = attempt();
            if (error != EAGAIN) return error;
            ++prepared;
            const std::uint32_t rung = bell.prepare(heavy);
            if (watched_ != 0 && arena_policy::watch(watched_))
                bury(std::exchange(watched_, std::uint16_t{0}));
            error = spoils(arena_defect::slept_without_second_look) ? EAGAIN : attempt();
            if (error == EAGAIN) arena_policy::futex_wait(bell.bell(), rung, arena_policy::never);
            bell.reset(heavy);
            if (error != EAGAIN) return error;
        }
    }
    void bury_with_lock(std::uint16_t who) {
        arena_policy::run.buries |= 1U << me_;
        if (spoils(arena_defect::forgotten_first))
            arena_.map.user(who).store(0, std::memory_order_release);
        arena_recovery(arena_.map).bury(who);
        arena_policy::run.buries &= ~(1U << me_);
        call_allocator();
    }
    // As arena_state::locked.
    void put_in_order() {
        arena_pages(arena_.map).repair();
        for (std::uint16_t u = 1; u <= detail::threads_max; ++u)
            if (arena_.map.user(u).load(std::memory_order_relaxed) != 0 &&
                arena_policy::has_ended(u))
                bury_with_lock(u);
        for (std::uint32_t n = 0; n < small_arena::channels; ++n)
            arena_recovery(arena_.map).forget_if_over(n);
        arena_recovery(arena_.map).give_back_empty();
    }

    const small_arena& arena_;
    const arena_blocks blocks_;
    wire::shm::detail::basic_slab_set<arena_policy> slabs_;
    wire::shm::detail::basic_producer_end<arena_policy> producer_;
    wire::shm::detail::basic_consumer_end<arena_policy> consumer_;
    const std::uint16_t me_;
    std::uint16_t watched_ = 0;
    bool fence_ = false;
};

}  // namespace interleave
