// What the consumer of a ring looks at, and in which order: lanes that have an owner or records.
//
// A turn of a lane ends after `turn_max` records, or when it has none. Lanes that are attached join
// at the next rescan, which the consumer makes when the header says that somebody has attached, and
// before it sleeps: the header's count is a hint, the lanes' owner words are the truth.
#pragma once

#include <cerrno>
#include <climits>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <wire/shm/detail/lane.hpp>

namespace wire::shm::detail {

template <class Sync>
class basic_sweep {
public:
    using reader = basic_lane_reader<Sync>;

    static constexpr unsigned turn_max = 16;

    /// A lane in use.
    struct entry {
        std::uint32_t number;
        std::uint64_t owner;  // as it was seen last; 0: it has left
        reader from;
        bool dead = false;  // its owner has died, which has not been told yet
    };

    explicit basic_sweep(const basic_ring_map<Sync>& map) : map_(map) {
        in_use_.reserve(map.geometry.lanes);
        is_in_use_.resize(map.geometry.lanes);
    }

    /// The next record. Returns 0, EAGAIN, EBADMSG or EOWNERDEAD; `at` is the lane's entry then.
    int next(std::span<const std::byte>& bytes, entry*& at) noexcept {
        return next_here(bytes, at) ? 0 : next_anywhere(bytes, at);
    }
    /// The same, if it is known to be there and in the lane whose turn it is. To be tried before
    /// next_anywhere().
    [[gnu::always_inline]] bool next_here(std::span<const std::byte>& bytes, entry*& at) noexcept {
        if (!here_ || taken_ >= taken_max_ || is_behind()) return false;
        at = here_;
        return here_->from.peek_seen(bytes);
    }
    int next_anywhere(std::span<const std::byte>& bytes, entry*& at) noexcept {
        const int error = look(bytes, at);
        here_ = error == 0 ? at : nullptr;
        taken_max_ = alone() ? UINT_MAX : turn_max;
        return error;
    }
    /// The record that next() has found is done with.
    [[gnu::always_inline]] void release() noexcept {
        entry& e = in_use_[turn_];
        e.from.release();
        e.from.shared().room.tell(fence_);
        ++taken_;
    }
    /// The lane of a dead owner is free again.
    void bury(entry& e) noexcept {
        std::uint64_t owner = e.owner;
        // [O''] release: it was drained. Pairs with [O'].
        e.from.shared().owner.compare_exchange_strong(owner, 0, std::memory_order_release,
                                                      std::memory_order_relaxed);
        drop(e);
    }

    /// Whether somebody has attached since the last rescan().
    [[nodiscard]] bool is_behind() const noexcept {
        return attached_seen_ != map_.header().attached.load(std::memory_order_relaxed);
    }
    /// Finds lanes that have come into use.
    void rescan() noexcept {
        // [A'] acquire: the owner words of those that are counted. Pairs with [A].
        attached_seen_ = map_.header().attached.load(std::memory_order_acquire);
        for (std::uint32_t n = 0; n < map_.geometry.lanes; ++n) {
            if (is_in_use_[n]) continue;
            basic_lane<Sync>& lane = map_.lane(n);
            const std::uint64_t owner = lane.owner.load(std::memory_order_relaxed);
            const bool has_records = lane.head.load(std::memory_order_relaxed) !=
                                     lane.tail.load(std::memory_order_relaxed);
            if (owner == 0 && !has_records) continue;
            here_ = nullptr;
            // Its turn is over, but for the record that may have been found.
            if (alone() && taken_ >= turn_max) taken_ = turn_max - 1;
            in_use_.push_back(
                {n, owner,
                 reader(lane, basic_lane_bytes<Sync>(map_.records(n), map_.geometry.lane_bytes))});
            is_in_use_[n] = true;
        }
    }
    [[nodiscard]] std::span<entry> in_use() noexcept { return in_use_; }
    void set_fence(bool on) noexcept { fence_ = on; }

private:
    int look(std::span<const std::byte>& bytes, entry*& at) noexcept {
        if (is_behind()) rescan();
        // Each lane once, and one with a full turn again, however many fall out of use meanwhile.
        const bool is_full_turn = taken_ >= turn_max;
        for (std::size_t left = in_use_.size() + is_full_turn; left > 0 && !in_use_.empty();
             --left) {
            if (turn_ >= in_use_.size()) turn_ = 0;
            at = &in_use_[turn_];
            const int error = taken_ < turn_max || alone() ? at->from.peek(bytes) : EAGAIN;
            if (error == 0) return 0;
            if (error == EBADMSG) {
                ++taken_;
                return EBADMSG;
            }
            // With a full turn it is not known to be empty.
            if (taken_ < turn_max && at->dead) return EOWNERDEAD;
            end_turn();
        }
        return EAGAIN;
    }
    [[nodiscard]] bool alone() const noexcept { return in_use_.size() == 1; }
    // The next lane's turn. One that is empty and has no owner is no longer in use.
    void end_turn() noexcept {
        entry& e = in_use_[turn_];
        const bool was_empty = taken_ < turn_max || alone();
        taken_ = 0;
        // [D] acquire: what an owner who has left had committed. Pairs with [O].
        e.owner = e.from.shared().owner.load(std::memory_order_acquire);
        if (was_empty && e.owner == 0 && e.from.is_drained())
            drop(e);
        else
            ++turn_;
    }
    // The others keep their order, and so their turns.
    void drop(entry& e) noexcept {
        here_ = nullptr;
        is_in_use_[e.number] = false;
        in_use_.erase(in_use_.begin() + (&e - in_use_.data()));
        taken_ = 0;
    }

    basic_ring_map<Sync> map_;
    std::vector<entry> in_use_;
    std::vector<bool> is_in_use_;
    std::uint64_t attached_seen_ = 0;
    std::size_t turn_ = 0;
    unsigned taken_ = 0;
    // Whose turn it is, and until when, if the last look has found a record there, and no lane has
    // come into use or fallen out of it since.
    entry* here_ = nullptr;
    unsigned taken_max_ = turn_max;
    bool fence_ = false;
};

}  // namespace wire::shm::detail
