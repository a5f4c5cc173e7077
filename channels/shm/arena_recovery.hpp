// Clearing away what a user has left: one who leaves, or whose process has died at any instruction.
// With the arena's lock; the others go on meanwhile.
//
// A word that says "the user's": the record is free, unless a queue still has it for that user, who
// was about to receive it: then it is in flight again. A word that says "in flight" in a channel
// whose producer the user is: the record is free, unless the queue has it, or its consumer takes it
// at this moment.
//
// The user's slabs go on without an owner until their last record is free.
//
// Whoever does this may die, too. The user is forgotten last, and all that is done before can be
// done again.
#pragma once

#include <atomic>
#include <cstdint>

#include "arena_blocks.hpp"

namespace wire::shm::detail {

template <class Sync>
class basic_arena_recovery {
    using map = basic_arena_map<Sync>;
    using block = basic_block<Sync>;
    using channel = basic_arena_channel<Sync>;
    using end = typename channel::end;

public:
    explicit basic_arena_recovery(const map& m) noexcept : map_(m), blocks_(m) {}

    void bury(std::uint16_t user) noexcept {
        blocks_.pages().for_each([&](std::uint32_t first, std::uint64_t w) {
            blocks_.for_each_in(first, w, [&](block b) { settle(b, user); });
            disown(first, user);
        });
        give_back_empty();
        for (std::uint32_t n = 0; n < map_.geometry.channels; ++n) leave(n, user);
        for (std::uint32_t n = 0; n < segments_max; ++n) abandon(map_.segment(n), user);
        // [K] release: after all that, for whoever takes the lock over. Pairs with [Q'].
        map_.user(user).store(0, std::memory_order_release);
    }
    /// Slabs without an owner, and runs, that hold no record.
    void give_back_empty() noexcept {
        blocks_.pages().for_each([&](std::uint32_t first, std::uint64_t w) {
            if (page_word::kind_of(w) != page_word::segment &&
                page_word::user_of(w) == block_word::nobody && is_empty(first, w))
                blocks_.pages().give_back(first);
        });
    }
    [[nodiscard]] bool is_empty(std::uint32_t first, std::uint64_t w) const noexcept {
        bool none = true;
        blocks_.for_each_in(first, w, [&](block b) { none &= b.holder() == block_word::nobody; });
        return none;
    }

    /// The user has no end of that channel any more, which is forgotten if it is over.
    void leave(std::uint32_t n, std::uint16_t user) noexcept {
        channel& c = map_.channel(n);
        if (c.id.load(std::memory_order_relaxed) == 0) return;
        for (end* const e : {&c.producer, &c.consumer}) {
            if ((e->user.load(std::memory_order_relaxed) & ~arriving) != user) continue;
            // [U] release: what it has sent or received. Pairs with [U'].
            e->user.store(0, std::memory_order_release);
            c.producer.bell.ring();
            c.consumer.bell.ring();
        }
        forget_if_over(n);
    }
    /// A channel that nobody uses and that was removed, or has nothing to deliver, makes room for
    /// another.
    void forget_if_over(std::uint32_t n) noexcept {
        channel& c = map_.channel(n);
        if (c.id.load(std::memory_order_relaxed) == 0 ||
            c.producer.user.load(std::memory_order_relaxed) != 0 ||
            c.consumer.user.load(std::memory_order_relaxed) != 0)
            return;
        const std::uint64_t sent = c.producer.at.load(std::memory_order_relaxed);
        std::uint64_t at = c.consumer.at.load(std::memory_order_relaxed);
        if (at != sent && c.removed.load(std::memory_order_relaxed) == 0) return;
        if (sent - at <= queue_size)
            for (; at != sent; ++at)
                drop(map_.queue(n)[at % queue_size].load(std::memory_order_relaxed), n);
        c.consumer.at.store(sent, std::memory_order_relaxed);
        // [K] release: after all that. Pairs with [Q'].
        c.id.store(0, std::memory_order_release);
    }

private:
    void settle(const block& b, std::uint16_t user) noexcept {
        const std::uint64_t w = b.word();
        const std::uint16_t holder = block_word::holder(w);
        if (holder == user) {
            b.change(w, queue_with(b, user));
        } else if ((holder & block_word::in_flight) != 0) {
            const std::uint32_t n = holder & ~std::uint32_t{block_word::in_flight};
            if (n < map_.geometry.channels && has(map_.channel(n).producer, user) && !holds(n, b))
                b.change(w, block_word::nobody);
        }
    }
    static bool has(const end& e, std::uint16_t user) noexcept {
        return e.user.load(std::memory_order_relaxed) == user;
    }
    // The channel that has it for its consumer `user`, who has died with it in its hands.
    [[nodiscard]] std::uint16_t queue_with(const block& b, std::uint16_t user) const noexcept {
        for (std::uint32_t n = 0; n < map_.geometry.channels; ++n)
            if (has(map_.channel(n).consumer, user) && holds(n, b))
                return block_word::in_channel(n);
        return block_word::nobody;
    }
    [[nodiscard]] bool holds(std::uint32_t n, const block& b) const noexcept {
        const channel& c = map_.channel(n);
        const std::uint64_t offset = blocks_.offset_of(b);
        // [E'] acquire: the places in the queue. Pairs with [E].
        const std::uint64_t sent = c.producer.at.load(std::memory_order_acquire);
        std::uint64_t at = c.consumer.at.load(std::memory_order_acquire);  // [E'] the same
        if (sent - at > queue_size) return false;
        for (; at != sent; ++at)
            if (map_.queue(n)[at % queue_size].load(std::memory_order_relaxed) == offset)
                return true;
        return false;
    }
    // Nobody has the ends of the channel. Who was here before may have freed it already, and then
    // it may be another's.
    void drop(std::uint64_t offset, std::uint32_t n) noexcept {
        const auto at = blocks_.at_offset(offset);
        if (!at) return;
        const std::uint64_t w = at->here.word();
        if (block_word::holder(w) != block_word::in_channel(n)) return;
        if (at->is_run) blocks_.pages().give_back(at->first_page);
        at->here.change(w, block_word::nobody);
    }
    void disown(std::uint32_t first, std::uint16_t user) noexcept {
        const std::uint64_t w = blocks_.pages().get(first);
        if (page_word::user_of(w) != user) return;
        blocks_.pages().set(first, page_word::make(page_word::kind_of(w), block_word::nobody,
                                                   page_word::class_of(w), page_word::pages_of(w)));
    }
    void abandon(typename map::segment_type& s, std::uint16_t user) noexcept {
        if (s.id.load(std::memory_order_relaxed) != 0 &&
            s.state.load(std::memory_order_relaxed) == user)
            s.state.store(block_word::nobody, std::memory_order_relaxed);
    }

    map map_;
    basic_arena_blocks<Sync> blocks_;
};

}  // namespace wire::shm::detail
