// A ring of one or two small lanes for the explorer, and its ends: the product's templates, with
// the loops around them that producer and ring have.
#pragma once

#include <shm/sweep.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <new>
#include <optional>
#include <span>

#include "gate.hpp"
#include "ring_sync.hpp"

namespace interleave {

using ring_map = wire::shm::detail::basic_ring_map<ring_sync>;
using ring_lane = wire::shm::detail::basic_lane<ring_sync>;
using ring_bell = wire::shm::detail::basic_doorbell<ring_sync>;
using lane_writer = wire::shm::detail::basic_lane_writer<ring_sync>;
using lane_reader = wire::shm::detail::basic_lane_reader<ring_sync>;
using lane_bytes = wire::shm::detail::basic_lane_bytes<ring_sync>;
using lane_sweep = wire::shm::detail::basic_sweep<ring_sync>;

/// Header and lanes, in memory that all executions share.
class small_ring {
public:
    explicit small_ring(std::uint32_t lanes = 1, std::uint64_t bytes_of_lane = 32,
                        bool membarrier = true)
        : map{memory_.data(), {lanes, bytes_of_lane}}, cells_(map.records(0)) {
        ring_sync::begin(membarrier);
        new (&map.header()) ring_map::header_type;
        for (std::uint32_t n = 0; n < lanes; ++n) new (&map.lane(n)) ring_lane;
        std::fill_n(map.records(0), record_cells::bytes_max, std::byte{});
        current_ = this;
        ring_sync::word_at = &word_at;
    }
    ~small_ring() {
        for (std::uint32_t n = 0; n < map.geometry.lanes; ++n) std::destroy_at(&map.lane(n));
        std::destroy_at(&map.header());
    }
    small_ring(const small_ring&) = delete;
    small_ring& operator=(const small_ring&) = delete;

    [[nodiscard]] ring_bell& records() const { return map.header().records; }
    [[nodiscard]] lane_bytes bytes_of(std::uint32_t lane) const {
        return {map.records(lane), map.geometry.lane_bytes};
    }

    const ring_map map;

private:
    static ring_word word_at(const void* at) {
        const ring_map& m = current_->map;
        if (const ring_word w = word_of(m.header().records, at); w != ring_word::other) return w;
        if (at == &m.header().attached) return ring_word::attached;
        for (std::uint32_t n = 0; n < m.geometry.lanes; ++n) {
            ring_lane& l = m.lane(n);
            if (at == &l.owner) return ring_word::owner;
            if (at == &l.head) return ring_word::head;
            if (at == &l.tail) return ring_word::tail;
            if (const ring_word w = word_of(l.room, at); w != ring_word::other) return w;
        }
        return ring_word::other;
    }
    static ring_word word_of(ring_bell& b, const void* at) {
        if (at == &b) return ring_word::state;
        return at == &b.bell() ? ring_word::bell : ring_word::other;
    }

    static constexpr std::size_t size =
        ring_map::total_bytes({.lanes = 2, .lane_bytes = record_cells::bytes_max / 2});
    alignas(wire::shm::detail::page) static inline std::array<std::byte, size> memory_{};
    static inline const small_ring* current_ = nullptr;
    record_cells cells_;
};

inline void fill(std::span<std::byte> bytes, int value) {
    for (std::size_t i = 0; i < bytes.size(); i += 8) record_cells::change(bytes.data() + i);
    std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(value));
}
inline int value_of(std::span<const std::byte> bytes) {
    for (std::size_t i = 0; i < bytes.size(); i += 8) record_cells::read(bytes.data() + i);
    const std::byte first = bytes.front();
    check(std::all_of(bytes.begin(), bytes.end(), [&](std::byte b) { return b == first; }),
          "a record arrives whole");
    return static_cast<int>(first);
}

/// Sleeps on `bell` unless `look()` finds something then. As the loops of producer and ring.
template <class Look>
int look_or_sleep(ring_bell& bell, std::int64_t until, int& prepared, Look look) {
    ++prepared;
    const bool heavy = ring_sync::can_make_heavy_fences();
    const std::uint32_t rung = bell.prepare(heavy);
    int error = spoils(ring_defect::slept_without_second_look) ? EAGAIN : look();
    if (error == EAGAIN) ring_sync::futex_wait(bell.bell(), rung, until);
    bell.reset(heavy);
    return error;
}

/// The producer's end: as producer.
class lane_producer {
public:
    explicit lane_producer(const small_ring& r, std::uint32_t lane = 0) : ring_(r), number_(lane) {}

    /// `me`: the number of the thread that uses it.
    bool attach(std::uint64_t me) {
        if (!lane().take(me | wire::shm::detail::identity::arriving)) return false;
        fence_ = !ring_sync::has_joined(me);
        lane().room.reset(ring_sync::can_make_heavy_fences());
        writer_.emplace(lane(), ring_.bytes_of(number_));
        ring_.map.header().count_attachment();
        if (!spoils(ring_defect::attached_untold)) ring_.records().tell(fence_);
        lane().begin(me);
        return true;
    }
    void must_attach(std::uint64_t me) { check(attach(me), "the lane is free"); }
    void leave() { lane().leave(); }
    void tell_left() { ring_.records().tell(fence_); }

    int claim(std::size_t n, std::span<std::byte>& bytes, std::int64_t until = ring_sync::never) {
        int error = writer_->claim(n, bytes);
        if (error != EAGAIN) return error;
        publish();
        while ((error = writer_->claim(n, bytes)) == EAGAIN) {
            if (until != ring_sync::never && ring_sync::now_ns() >= until) return ETIMEDOUT;
            error = look_or_sleep(lane().room, until, prepared,
                                  [&] { return writer_->claim(n, bytes); });
            if (error != EAGAIN) return error;
        }
        return error;
    }
    /// It will be committed with the next publish().
    int prepare(std::size_t n, int value, std::int64_t until = ring_sync::never) {
        std::span<std::byte> bytes;
        if (const int error = claim(n, bytes, until)) return error;
        fill(bytes, value);
        writer_->prepare(n);
        return 0;
    }
    void publish() {
        writer_->publish();
        ring_.records().tell(fence_);
    }
    int send(std::size_t n, int value, std::int64_t until = ring_sync::never) {
        const int error = prepare(n, value, until);
        if (!error) publish();
        return error;
    }
    void must_send(std::size_t n, int value) {
        check(send(n, value) == 0, "the lane is sound for its producer");
    }

    [[nodiscard]] ring_lane& lane() const { return ring_.map.lane(number_); }
    int prepared = 0;  // sleeps

private:
    const small_ring& ring_;
    std::uint32_t number_;
    std::optional<lane_writer> writer_;
    bool fence_ = false;
};

/// The consumer of one lane.
class lane_consumer {
public:
    explicit lane_consumer(const small_ring& r) : ring_(r) {}

    void begin() {
        fence_ = !ring_sync::has_joined(detail::current->running());
        ring_.records().reset(ring_sync::can_make_heavy_fences());
        reader_.emplace(ring_.map.lane(0), ring_.bytes_of(0));
    }
    int peek(int& value, std::int64_t until = ring_sync::never) {
        for (;;) {
            int error = try_peek(value);
            if (error != EAGAIN) return error;
            if (until != ring_sync::never && ring_sync::now_ns() >= until) return ETIMEDOUT;
            error =
                look_or_sleep(ring_.records(), until, prepared, [&] { return try_peek(value); });
            if (error != EAGAIN) return error;
        }
    }
    void release_untold() { reader_->release(); }
    void release() {
        release_untold();
        ring_.map.lane(0).room.tell(fence_);
    }
    int receive(int& value, std::int64_t until = ring_sync::never) {
        const int error = peek(value, until);
        if (!error) release();
        return error;
    }
    void must_receive(int expected) {
        int value = 0;
        check(receive(value) == 0, "the lane is sound for the consumer");
        check(value == expected, "records arrive in order, each once");
    }

    int prepared = 0;

private:
    int try_peek(int& value) {
        std::span<const std::byte> bytes;
        const int error = reader_->peek(bytes);
        if (!error) value = value_of(bytes);
        return error;
    }

    const small_ring& ring_;
    std::optional<lane_reader> reader_;
    bool fence_ = false;
};

}  // namespace interleave
