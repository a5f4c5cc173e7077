// A lane: records of bytes from one producer to the consumer, in memory that both share.
//
//     ... released | committed, to be received | claimed | free ...
//                  ^ tail                      ^ head
//
// Positions count bytes and never wrap; a position's place is its remainder by the lane's size. A
// record is a word of eight bytes, its length and what it is, and its bytes, rounded up to eight.
// No record wraps: where the rest of the lane is too short, a filler takes it. Each record takes at
// most half of the lane, so there is room for it and its filler once all before it is released.
//
// A record exists once `head` is behind it. So a producer that is killed at any instruction leaves
// committed records and nothing else; whoever owns the lane next goes on at `head`.
//
// Neither side trusts the other. Each keeps its own position in private memory and checks what it
// reads of the other's; a word of a record is read once. What is wrong is EBADMSG. The consumer
// passes over all that it sees then, since nothing tells where the next record would begin; but for
// the records of an owner who came later: `begins` is where those begin.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <wire/config.hpp>
#include <wire/detail/prefetch.hpp>
#include "identity.hpp"
#include "layout.hpp"
#include "require.hpp"

namespace wire::shm::detail {

using wire::detail::access;

/// So far ahead of what they write or read both sides fetch lines: those are with the other's core.
/// A lane is at least four times as long.
inline constexpr std::uint64_t fetched_ahead = 16 * cache_line;
static_assert(lane_bytes_min >= 4 * fetched_ahead);

/// Whether an end checks what the other may write. A policy that `trusts_peers` is only for the
/// test that shows what comes of it.
template <class Sync>
inline constexpr bool checks_bounds = !requires {
    Sync::trusts_peers;
};

/// The first eight bytes of a record.
struct record_word {
    static constexpr std::uint64_t size = 8;
    static constexpr std::uint64_t filler = std::uint64_t{1} << 63;

    /// What a record of so many bytes takes.
    static constexpr std::uint64_t space_for(std::uint64_t bytes) noexcept {
        return (bytes + size + 7) / 8 * 8;
    }
    static constexpr std::uint64_t longest(std::uint64_t lane_bytes) noexcept {
        return lane_bytes / 2 - size;
    }
};

/// The memory of a lane's records.
template <class Sync>
class basic_lane_bytes {
public:
    basic_lane_bytes(std::byte* begin, std::uint64_t size) noexcept : begin_(begin), size_(size) {}

    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] std::uint64_t to_end(std::uint64_t at) const noexcept {
        return size_ - (at & (size_ - 1));
    }
    [[nodiscard]] std::byte* place(std::uint64_t at) const noexcept {
        return begin_ + (at & (size_ - 1));
    }
    // relaxed: `head` orders it; atomic, since a hostile peer may write at the same time.
    void set_word(std::uint64_t at, std::uint64_t word) const noexcept {
        Sync::ref(place(at)).store(word, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t word(std::uint64_t at) const noexcept {
        return Sync::ref(place(at)).load(std::memory_order_relaxed);
    }

    /// Begins to fetch the line of a position.
    template <access For>
    void fetch(std::uint64_t at) const noexcept {
        wire::detail::prefetch<For>(place(at));
    }

private:
    std::byte* begin_;
    std::uint64_t size_;
};

/// The producer's end.
template <class Sync>
class basic_lane_writer {
    using lane = basic_lane<Sync>;
    using lane_bytes = basic_lane_bytes<Sync>;

public:
    /// Goes on where the lane's owner before has stopped.
    basic_lane_writer(lane& shared, lane_bytes records) noexcept
        : shared_(&shared), records_(records) {
        // relaxed: the owner word orders it. A multiple of eight, whatever a hostile one has left:
        // else a word would reach beyond the lane's end.
        head_ = prepared_ = shared.head.load(std::memory_order_relaxed) / 8 * 8;
        shared.begins.store(head_, std::memory_order_relaxed);
    }

    /// Room for a record of `n` bytes, at least one. Returns 0, EAGAIN (full), EMSGSIZE (no lane of
    /// this ring has room for so many), EINVAL (none) or EBADMSG. Again before it is prepared or
    /// committed: another instead.
    int claim(std::size_t n, std::span<std::byte>& bytes) noexcept {
        if (n == 0) return EINVAL;
        if (n > record_word::longest(records_.size())) return EMSGSIZE;
        const std::uint64_t space = record_word::space_for(n);
        const std::uint64_t rest = records_.to_end(prepared_);
        const std::uint64_t fill = rest < space ? rest : 0;
        if (const int error = find_room(fill + space)) [[unlikely]]
            return error;
        if (fill != 0) records_.set_word(prepared_, record_word::filler | fill);
        claimed_at_ = prepared_ + fill;
        claimed_ = n;
        bytes = {records_.place(claimed_at_) + record_word::size, n};
        return 0;
    }
    /// The claimed record, of which `n` bytes are used, will be committed with the next publish().
    void prepare(std::size_t n) noexcept {
        require(n - 1 < claimed_, "commit() of more than was claimed, or of nothing");
        records_.set_word(claimed_at_, n);
        prepared_ = claimed_at_ + record_word::space_for(n);
        // Only what is known to be free: the rest is being read.
        if (prepared_ + fetched_ahead - tail_ < records_.size())
            records_.template fetch<access::write>(prepared_ + fetched_ahead);
        claimed_ = 0;
    }
    /// Nothing has been claimed.
    void abort() noexcept { claimed_ = 0; }
    /// All that is prepared is committed.
    void publish() noexcept {
        head_ = prepared_;
        // [H] release: the records. Pairs with [T].
        shared_->head.store(head_, std::memory_order_release);
    }

private:
    int find_room(std::uint64_t bytes) noexcept {
        if (prepared_ + bytes - tail_ <= records_.size()) [[likely]]
            return 0;
        // [E'] acquire: the consumer has read what it released. Pairs with [E].
        const std::uint64_t tail = shared_->tail.load(std::memory_order_acquire);
        if (checks_bounds<Sync> && head_ - tail > records_.size()) return EBADMSG;
        tail_ = tail;
        return prepared_ + bytes - tail_ <= records_.size() ? 0 : EAGAIN;
    }

    lane* shared_;
    lane_bytes records_;
    std::uint64_t head_;
    std::uint64_t prepared_;  // of which this is not published yet
    std::uint64_t tail_ = 0;  // as it was last seen
    std::uint64_t claimed_at_ = 0;
    std::size_t claimed_ = 0;
};

/// The consumer's end.
template <class Sync>
class basic_lane_reader {
    using lane = basic_lane<Sync>;
    using lane_bytes = basic_lane_bytes<Sync>;

public:
    /// Goes on after what has been released.
    basic_lane_reader(lane& shared, lane_bytes records) noexcept
        : shared_(&shared), records_(records) {
        // [E''] acquire: as [T], for what the consumer before has seen. Pairs with [E].
        tail_ = seen_ = rounded(shared.tail.load(std::memory_order_acquire));
    }

    /// The oldest record that is not released. Returns 0, EAGAIN (none) or EBADMSG: what was there
    /// is damaged, and passed over. A record that was found stays as it was found, whatever becomes
    /// of its word.
    int peek(std::span<const std::byte>& bytes) noexcept {
        if (peek_seen(bytes)) return 0;
        if (length_ == 0)
            if (const int error = find()) return error;
        bytes = {records_.place(tail_) + record_word::size, length_};
        return 0;
    }
    /// The same, if the record is known to be there and is whole: without a look at the head.
    [[gnu::always_inline]] bool peek_seen(std::span<const std::byte>& bytes) noexcept {
        if (tail_ == seen_ || length_ != 0) return false;
        const std::uint64_t n = records_.word(tail_);
        if (!fits(n)) return false;  // or a filler
        found_at_ = tail_;
        length_ = n;
        bytes = {records_.place(tail_) + record_word::size, n};
        // Only what is known to be written.
        if (seen_ - tail_ > fetched_ahead)
            records_.template fetch<access::read>(tail_ + fetched_ahead);
        return true;
    }
    /// The record that peek() has found is done with.
    void release() noexcept {
        tail_ += record_word::space_for(std::exchange(length_, 0));
        publish();
    }
    /// Who has written what peek() has found, be it damaged; 0: one who has left since.
    [[nodiscard]] std::uint64_t writer() const noexcept {
        // [W'] acquire: where it begins. Pairs with [W].
        const std::uint64_t owner = shared_->owner.load(std::memory_order_acquire);
        if ((owner & identity::arriving) != 0) return identity::nobody;
        const std::uint64_t begins = shared_->begins.load(std::memory_order_relaxed);
        return static_cast<std::int64_t>(found_at_ - begins) >= 0 ? owner : identity::nobody;
    }
    /// Whether nothing is committed beyond what peek() has seen, when that was EAGAIN.
    [[nodiscard]] bool is_drained() const noexcept {
        // relaxed: what matters is ordered by the owner word, [D].
        return rounded(shared_->head.load(std::memory_order_relaxed)) == tail_;
    }
    [[nodiscard]] lane& shared() const noexcept { return *shared_; }

private:
    // Whatever a hostile producer writes, a word does not reach beyond the lane's end.
    static std::uint64_t rounded(std::uint64_t position) noexcept { return position / 8 * 8; }

    int find() noexcept {
        if (tail_ == seen_) [[unlikely]]
            if (const int error = look()) return error;
        std::uint64_t word = records_.word(tail_);
        if ((word & record_word::filler) != 0) [[unlikely]] {
            // The record for which there was no room follows: fillers alone would have no end.
            const std::uint64_t n = word & ~record_word::filler;
            if (n != records_.to_end(tail_) || n >= seen_ - tail_) return pass_over();
            tail_ += n;
            word = records_.word(tail_);
        }
        if (!fits(word)) [[unlikely]]
            return pass_over();
        found_at_ = tail_;
        length_ = word;
        return 0;
    }
    int look() noexcept {
        // [T] acquire: the records. Pairs with [H].
        const std::uint64_t head = rounded(shared_->head.load(std::memory_order_acquire));
        if (head == tail_) {
            fetch_next();
            return EAGAIN;
        }
        seen_ = head;
        return checks_bounds<Sync> && head - tail_ > records_.size() ? pass_over() : 0;
    }
    [[nodiscard]] bool fits(std::uint64_t n) const noexcept {
        if (!checks_bounds<Sync>) return (n & record_word::filler) == 0;
        if (n == 0 || n > record_word::longest(records_.size())) return false;
        const std::uint64_t space = record_word::space_for(n);
        return space <= records_.to_end(tail_) && space <= seen_ - tail_;
    }
    // The lines of the record that comes next. Its producer takes them away, and then the head's.
    // Asked for together they come together, while a look at the record after one at the head would
    // take as long again.
    void fetch_next() const noexcept {
        records_.template fetch<access::read>(tail_);
        records_.template fetch<access::read>(tail_ + cache_line);
    }
    // All up to what was seen, or to where the present owner begins: its records may be sound.
    [[gnu::cold, gnu::noinline]] int pass_over() noexcept {
        found_at_ = tail_;
        const std::uint64_t begins = rounded(shared_->begins.load(std::memory_order_relaxed));
        const std::uint64_t ahead = seen_ - tail_;
        const bool begins_ahead = ahead <= records_.size() && begins - tail_ - 1 < ahead;
        tail_ = begins_ahead ? begins : seen_;
        publish();
        return EBADMSG;
    }
    void publish() noexcept {
        // [E] release: it has been read. Pairs with [E'], [E''].
        shared_->tail.store(tail_, std::memory_order_release);
    }

    lane* shared_;
    lane_bytes records_;
    std::uint64_t tail_;
    std::uint64_t seen_;  // the head as it was last seen
    std::uint64_t found_at_ = 0;
    std::uint64_t length_ = 0;  // of the record that was found; 0: none
};

}  // namespace wire::shm::detail
