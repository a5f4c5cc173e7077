// A ring of which others are killed: what its consumer hears, and what the memory says.
#pragma once

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>

namespace wire::test {

inline std::span<const std::byte> bytes_of(std::string_view s) {
    return std::as_bytes(std::span(s.data(), s.size()));
}
inline std::string text_of(std::span<const std::byte> b) {
    return {reinterpret_cast<const char*>(b.data()), b.size()};
}

/// What a consumer heard, as text: a record itself, "dead PID" or "errno N".
using heard = std::vector<std::string>;

inline std::string hear(shm::ring& r, deadline until) {
    const auto got = r.peek(until);
    if (got.code() == EOWNERDEAD) return "dead " + std::to_string(r.last_departure().pid);
    if (!got) return "errno " + std::to_string(got.code());
    std::string text = text_of(got->bytes);
    r.release();
    return text;
}

inline std::string joined(const heard& all) {
    std::string text;
    for (const std::string& one : all) text += "[" + one + "]";
    return text;
}

/// The shared memory of a ring, for the test to look at.
class ring_memory {
public:
    explicit ring_memory(int fd) {
        if (shm::detail::attach_to(::dup(fd), false, ring_)) std::abort();
    }
    [[nodiscard]] shm::detail::ring_map::lane_type& lane(std::uint32_t n) const {
        return ring_.map.lane(n);
    }
    [[nodiscard]] shm::detail::ring_header& header() const { return ring_.map.header(); }
    [[nodiscard]] std::uint64_t head(std::uint32_t n) const { return lane(n).head.load(); }
    [[nodiscard]] std::uint64_t tail(std::uint32_t n) const { return lane(n).tail.load(); }
    [[nodiscard]] std::uint64_t lane_bytes() const { return ring_.map.geometry.lane_bytes; }
    /// Of the record of `space` bytes that follows `at`, or the filler behind it.
    [[nodiscard]] std::byte* next_record(std::uint32_t n, std::uint64_t at,
                                         std::uint64_t space) const {
        const shm::detail::basic_lane_bytes<shm::detail::system_sync> bytes(ring_.map.records(n),
                                                                            lane_bytes());
        const std::uint64_t rest = bytes.to_end(at);
        return bytes.place(rest < space ? at + rest : at) + shm::detail::record_word::size;
    }
    /// Returns when somebody sleeps on the bell, or is about to: who rings now must wake it.
    static bool wait_asleep(const shm::detail::basic_doorbell<shm::detail::system_sync>& bell) {
        const auto& state = reinterpret_cast<const std::atomic<std::uint32_t>&>(bell);
        const deadline until = within(std::chrono::seconds(10));
        while ((state.load() & 1) == 0) {
            if (shm::detail::system_sync::now_ns() > until.ns()) return false;
            std::this_thread::yield();
        }
        return true;
    }

private:
    shm::detail::attached_ring ring_;
};

/// A consumer that looks when it is asked what it has heard.
class calm_listener {
public:
    explicit calm_listener(shm::ring& r) : ring_(r) {}
    std::string next() { return hear(ring_, within(std::chrono::seconds(10))); }
    bool ready() { return true; }
    /// As one does before one sleeps.
    void look() { static_cast<void>(ring_.peek(within(std::chrono::seconds(0)))); }

private:
    shm::ring& ring_;
};

/// A consumer that sleeps, on a thread of its own.
class sleeping_listener {
public:
    explicit sleeping_listener(shm::ring& r)
        : memory_(r.descriptor()), ring_(r), thread_([this] { listen(); }) {}
    ~sleeping_listener() {
        ring_.close();
        memory_.header().records.ring();
    }

    std::string next() {
        std::unique_lock guard(lock_);
        if (!some_.wait_for(guard, std::chrono::seconds(10), [&] { return !heard_.empty(); }))
            return "nothing";
        std::string text = std::move(heard_.front());
        heard_.pop_front();
        return text;
    }
    /// Whether it sleeps. What it has heard was asked for.
    bool ready() { return ring_memory::wait_asleep(memory_.header().records); }
    void look() { std::this_thread::yield(); }

private:
    void listen() {
        const std::string closed = "errno " + std::to_string(EPIPE);
        for (std::string text; (text = hear(ring_, never)) != closed;) {
            const std::lock_guard guard(lock_);
            heard_.push_back(std::move(text));
            some_.notify_one();
        }
    }

    ring_memory memory_;
    shm::ring& ring_;
    std::mutex lock_;
    std::condition_variable some_;
    std::deque<std::string> heard_;
    std::jthread thread_;
};

}  // namespace wire::test
