// Traffic through a ring within one process: producers, threads and wires, each of which draws what
// it calls next; and a consumer that looks at each record, whether it is the next one of its
// producer and whole.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>
#include <wire/shm/sender.hpp>
#include "ring_memory.hpp"

namespace wire::test {

/// What a record begins with. The rest of it is bytes of `count`.
struct record_head {
    std::uint32_t producer;
    std::uint32_t count;
};
inline constexpr std::size_t record_longest = 300;

inline void fill_record(std::span<std::byte> bytes, record_head h) {
    std::memcpy(bytes.data(), &h, sizeof h);
    std::memset(bytes.data() + sizeof h, static_cast<int>(h.count % 251), bytes.size() - sizeof h);
}
/// Returns whether it is one that fill_record() has filled.
inline bool read_record(std::span<const std::byte> bytes, record_head& h) {
    if (bytes.size() < sizeof h) return false;
    std::memcpy(&h, bytes.data(), sizeof h);
    for (const std::byte b : bytes.subspan(sizeof h))
        if (b != static_cast<std::byte>(h.count % 251)) return false;
    return true;
}

/// A plain thread's end, and a wire's: with the same calls, which return an errno.
class plain_end {
public:
    int attach(std::span<std::byte> memory) { return end_.attach_memory(memory).error; }
    int claim(std::size_t n, std::span<std::byte>& to, deadline until) {
        return end_.claim(n, to, until);
    }
    int try_claim(std::size_t n, std::span<std::byte>& to) { return end_.try_claim(n, to); }
    void prepare(std::size_t n) { end_.prepare(n); }
    void publish() { end_.publish(); }
    void abort() { end_.abort(); }

private:
    shm::producer end_;
};
class wire_end {
public:
    int attach(std::span<std::byte> memory) {
        try {
            end_.emplace(shm::sender::attach_memory(memory));
            return 0;
        } catch (const std::system_error& e) {
            return e.code().value();
        }
    }
    int claim(std::size_t n, std::span<std::byte>& to, deadline until) {
        return unpack(end_->claim(n, until), to);
    }
    int try_claim(std::size_t n, std::span<std::byte>& to) {
        return unpack(end_->try_claim(n), to);
    }
    void prepare(std::size_t n) { end_->prepare(n); }
    void publish() { end_->publish(); }
    void abort() { end_->abort(); }

private:
    static int unpack(const result<std::span<std::byte>>& got, std::span<std::byte>& to) {
        if (got) to = *got;
        return got.code();
    }
    std::optional<shm::sender> end_;
};

/// How many records each producer has committed, and how many of them have come.
class ring_account {
public:
    explicit ring_account(std::size_t producers) : sent_(producers), came_(producers) {}

    /// Producer `who` has ended.
    void sent(std::uint32_t who, std::uint32_t records) { sent_[who] = records; }
    /// Returns whether it is whole, and the next of its producer.
    bool came(std::span<const std::byte> bytes) {
        record_head h{};
        const bool good = read_record(bytes, h) && h.producer < came_.size() &&
                          h.count == came_[h.producer].load(std::memory_order_relaxed);
        if (good) came_[h.producer].fetch_add(1, std::memory_order_relaxed);
        return good;
    }
    void one_has_ended() { ended_.fetch_add(1); }
    [[nodiscard]] bool all_have_ended() const { return ended_.load() == sent_.size(); }
    void expect_all() const {
        for (std::size_t i = 0; i < sent_.size(); ++i) {
            CAPTURE(i);
            CHECK(came_[i].load() == sent_[i].load());
        }
    }

private:
    std::vector<std::atomic<std::uint32_t>> sent_;
    std::vector<std::atomic<std::uint32_t>> came_;
    std::atomic<std::size_t> ended_{0};
};

/// One producer's share. Another call than claim() is drawn for each record.
template <class End>
class ring_sending {
public:
    ring_sending(ring_account& account, std::uint32_t who, std::uint64_t seed)
        : account_(account), who_(who), random_(static_cast<unsigned>(seed * 1000 + who)) {}

    /// Sends `records`, or until a call fails with EPIPE or ECANCELED. `idle` is called when there
    /// is no room.
    template <class Idle>
    void run(std::span<std::byte> memory, std::uint32_t records, Idle idle) {
        int error = 0;
        while ((error = end_.attach(memory)) == EUSERS) idle();
        CHECK((error == 0 || error == EPIPE));
        while (error == 0 && committed_ < records) {
            error = step();
            if (error == EAGAIN || error == ETIMEDOUT) error = 0, idle();
        }
        CHECK((error == 0 || error == EPIPE || error == ECANCELED));
        account_.sent(who_, committed_);
        account_.one_has_ended();
    }

private:
    static constexpr std::uint32_t batch = 5;

    int step() {
        switch (random_() % 5) {
            case 0:
                return put(end_.try_claim(length(), room_));
            case 1:
                return put(end_.claim(length(), room_, within(std::chrono::microseconds(50))));
            case 2:
                return think_again();
            case 3:
                return put_some();
            default:
                return put(end_.claim(length(), room_, never));
        }
    }
    std::size_t length() {
        return sizeof(record_head) + random_() % (record_longest - sizeof(record_head));
    }
    int put(int error) {
        if (error) return error;
        prepare();
        publish();
        return 0;
    }
    int think_again() {
        if (const int error = end_.try_claim(length(), room_)) return error;
        fill_record(room_, {~who_, 0});
        end_.abort();
        return 0;
    }
    // All at once.
    int put_some() {
        int error = 0;
        for (std::uint32_t i = 0; i < batch && error == 0; ++i) {
            error = end_.try_claim(length(), room_);
            if (error == 0) prepare();
        }
        publish();
        return error;
    }
    void prepare() {
        const std::size_t n = room_.size() - random_() % (room_.size() - sizeof(record_head) + 1);
        fill_record(room_.first(n), {who_, committed_ + prepared_});
        end_.prepare(n);
        ++prepared_;
    }
    void publish() {
        end_.publish();
        committed_ += std::exchange(prepared_, 0);
    }

    ring_account& account_;
    const std::uint32_t who_;
    std::minstd_rand random_;
    End end_;
    std::span<std::byte> room_;
    std::uint32_t committed_ = 0, prepared_ = 0;
};

/// The consumer.
class ring_receiving {
public:
    ring_receiving(shm::ring& r, ring_account& account, std::uint64_t seed)
        : ring_(r), account_(account), random_(static_cast<unsigned>(seed)) {}

    /// Receives until all producers have ended and nothing is left; closes the ring once `closes`
    /// records have come.
    template <class Idle>
    void run(Idle idle, std::uint64_t closes = UINT64_MAX) {
        for (;;) {
            const bool is_last = account_.all_have_ended();
            const int error = step(is_last);
            CHECK((error == 0 || error == EAGAIN || error == ETIMEDOUT || error == EPIPE));
            if (error != 0) {
                if (is_last) return;
                idle();
            } else if (++received_ == closes) {
                ring_.close();
            }
        }
    }

private:
    int step(bool is_last) {
        if (!is_last && random_() % 3 == 0) return copy();
        const auto got = is_last              ? ring_.try_peek()
                         : random_() % 2 == 0 ? ring_.peek(within(std::chrono::milliseconds(5)))
                                              : ring_.try_peek();
        if (!got) return got.code();
        CHECK(account_.came(got->bytes));
        ring_.release();
        return 0;
    }
    int copy() {
        std::byte into[record_longest];
        const auto n = ring_.recv(into, within(std::chrono::milliseconds(5)));
        if (n) CHECK(account_.came(std::span(into).first(*n)));
        return n.code();
    }

    shm::ring& ring_;
    ring_account& account_;
    std::minstd_rand random_;
    std::uint64_t received_ = 0;
};

}  // namespace wire::test
