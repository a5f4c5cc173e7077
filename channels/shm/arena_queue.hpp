// The two ends of a channel's queue, as the users who have them know it. No lock, and no fence that
// x86 would need an instruction for.
//
//     producer                                   consumer
//     1. the record's word: in flight            1. the record's word: the consumer's
//     2. its offset in the queue                 2. the consumer's count + 1
//     3. the producer's count + 1                3. tells the producer, if it sleeps
//     4. tells the consumer, if it sleeps
//
// Who dies before its step that counts has sent, or received, nothing: the record is nobody's then,
// or in flight. Who dies before it tells is heard of by whoever sleeps. See arena_recovery.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "arena_blocks.hpp"

namespace wire::shm::detail {

template <class Sync>
class basic_queue_end {
protected:
    using map = basic_arena_map<Sync>;
    using channel = basic_arena_channel<Sync>;
    using block = basic_block<Sync>;
    using end = typename channel::end;

    // [E'] acquire: what was done before that count. Pairs with [E].
    static std::uint64_t count(const end& e) noexcept {
        return e.at.load(std::memory_order_acquire);
    }
    void advance(end& e) noexcept {
        // [E] release: the record, its word and its place in the queue. Pairs with [E'].
        e.at.store(++at_, std::memory_order_release);
    }
    // Who has had the other end has it no longer, or nobody can come any more. Asked in this order,
    // for who comes takes the end before it has had it.
    static bool is_left(const channel& c, const end& e) noexcept {
        // [I'] acquire: that somebody had taken it before. Pairs with [I].
        const bool had = e.had.load(std::memory_order_acquire) != 0;
        // [I'] acquire: the same.
        if (!had && c.removed.load(std::memory_order_acquire) == 0) return false;
        // [U'] acquire: what that one has sent or received. Pairs with [U].
        return e.user.load(std::memory_order_acquire) == 0;
    }

    std::uint64_t at_ = 0;     // this end's count
    std::uint64_t other_ = 0;  // the other's, as it was last seen
};

template <class Sync>
class basic_producer_end : basic_queue_end<Sync> {
    using base = basic_queue_end<Sync>;
    using base::at_, base::other_;

public:
    void join(const typename base::channel& c) noexcept {
        at_ = base::count(c.producer);
        other_ = base::count(c.consumer);
    }
    [[nodiscard]] bool has_room(const typename base::channel& c) noexcept {
        if (at_ - other_ < queue_size) return true;
        other_ = base::count(c.consumer);
        return at_ - other_ < queue_size;
    }
    /// Sends that record, of `bytes` bytes. Returns 0, EAGAIN (it is full), EPIPE (and the consumer
    /// has left, or none can come).
    int push(const typename base::map& m, std::uint32_t number, typename base::block b,
             std::uint64_t bytes, bool fence) noexcept {
        typename base::channel& c = m.channel(number);
        if (!has_room(c)) return base::is_left(c, c.consumer) ? EPIPE : EAGAIN;
        b.set(block_word::in_channel(number), bytes);
        const auto offset = static_cast<std::uint64_t>(b.bytes() - m.heap());
        // relaxed: the count publishes it.
        m.queue(number)[at_ % queue_size].store(offset, std::memory_order_relaxed);
        base::advance(c.producer);
        c.consumer.bell.tell(fence);
        return 0;
    }
};

template <class Sync>
class basic_consumer_end : basic_queue_end<Sync> {
    using base = basic_queue_end<Sync>;
    using base::at_, base::other_;

public:
    using place = typename basic_arena_blocks<Sync>::place;

    void join(const typename base::channel& c) noexcept {
        at_ = base::count(c.consumer);
        other_ = base::count(c.producer);
    }
    [[nodiscard]] bool has_record(const typename base::channel& c) noexcept {
        if (at_ != other_) return true;
        other_ = base::count(c.producer);
        return at_ != other_;
    }
    /// Whether pop() returns anything but EAGAIN.
    [[nodiscard]] bool has_something(const typename base::channel& c) noexcept {
        return has_record(c) || base::is_left(c, c.producer);
    }
    /// The oldest record is the user's. Returns 0, EAGAIN (there is none), EPIPE (and the producer
    /// has left, or none can come), EBADMSG (there was none: the producer is damaged, or hostile).
    int pop(const typename base::map& m, const basic_arena_blocks<Sync>& blocks,
            std::uint32_t number, std::uint16_t user, bool fence, std::optional<place>& got,
            std::uint64_t& bytes) noexcept {
        typename base::channel& c = m.channel(number);
        if (!has_record(c)) {
            if (!base::is_left(c, c.producer)) return EAGAIN;
            if (!has_record(c)) return EPIPE;
        }
        if (other_ - at_ > queue_size) return skip_all(c);
        const std::uint64_t offset =
            m.queue(number)[at_ % queue_size].load(std::memory_order_relaxed);
        const int error = take(blocks, offset, number, user, got, bytes);
        base::advance(c.consumer);
        c.producer.bell.tell(fence);
        return error;
    }

private:
    static int take(const basic_arena_blocks<Sync>& blocks, std::uint64_t offset,
                    std::uint32_t number, std::uint16_t user, std::optional<place>& got,
                    std::uint64_t& bytes) noexcept {
        got = blocks.at_offset(offset);
        if (!got) return EBADMSG;
        const std::uint64_t w = got->here.word();
        bytes = block_word::bytes(w);
        if (block_word::holder(w) != block_word::in_channel(number) || bytes > got->room)
            return EBADMSG;
        got->here.set(user, bytes);
        return 0;
    }
    int skip_all(typename base::channel& c) noexcept {
        at_ = other_ - 1;
        base::advance(c.consumer);
        return EBADMSG;
    }
};

}  // namespace wire::shm::detail
