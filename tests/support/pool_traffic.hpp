// Traffic through a pool: producers and consumers, threads and wires, each of which draws what it
// calls next; and the account of it: every message is there exactly once.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <wire/pool.hpp>
#include <wire/runtime.hpp>

namespace wire::test {

/// A message is the number of its producer and its own. 0 is none.
using message = std::uint64_t;

constexpr message make_message(std::size_t producer, std::uint32_t n) {
    return (std::uint64_t{producer} + 1) << 32 | n;
}

/// How often each message came.
class account {
public:
    account(std::size_t producers, std::uint32_t each) : each_(each), came_(producers * each) {}

    void came(message m) {
        const std::size_t producer = static_cast<std::size_t>(m >> 32) - 1;
        const std::size_t at = producer * each_ + static_cast<std::uint32_t>(m);
        if (at < came_.size())
            came_[at].fetch_add(1, std::memory_order_relaxed);
        else
            strange_.fetch_add(1, std::memory_order_relaxed);
        total_.fetch_add(1, std::memory_order_relaxed);
    }
    /// When all have come.
    void expect_all_once() const {
        int lost = 0, twice = 0;
        for (const auto& n : came_) {
            lost += n == 0;
            twice += n > 1;
        }
        CHECK(lost == 0);
        CHECK(twice == 0);
        CHECK(strange_ == 0);
    }
    [[nodiscard]] std::uint64_t total() const { return total_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t expected() const { return came_.size(); }
    [[nodiscard]] std::uint32_t each() const { return each_; }

private:
    const std::uint32_t each_;
    std::vector<std::atomic<std::uint32_t>> came_;
    // relaxed: counters, read when all threads have ended, or as a hint.
    std::atomic<std::uint64_t> total_{0};
    std::atomic<std::uint32_t> strange_{0};
};

/// What one user draws from.
class user {
public:
    user(pool<message>& p, account& a, std::uint64_t seed)
        : pool_(p), account_(a), random_(static_cast<unsigned>(seed * 7919 + 1)) {}

protected:
    unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
    deadline some_time() { return below(4) == 0 ? never : within(microseconds(below(80))); }
    // Failures after which one tries again.
    static bool expect_harmless(int code) {
        CHECK((code == EAGAIN || code == ETIMEDOUT || code == EPIPE || code == ECANCELED));
        return false;
    }

    using microseconds = std::chrono::microseconds;
    pool<message>& pool_;
    account& account_;
    std::minstd_rand random_;
};

/// Puts each of its messages, again until it is accepted.
class producer : user {
public:
    producer(pool<message>& p, account& a, std::size_t number, std::uint64_t seed)
        : user(p, a, seed), number_(number) {}

    [[nodiscard]] bool done() const { return next_ == account_.each(); }
    /// Tries to put some. Returns the code of a failure.
    int step() {
        const int code = one_of_all();
        if (code) expect_harmless(code);
        return code;
    }
    void run() {
        while (!done())
            if (step() == EAGAIN) std::this_thread::yield();
    }

private:
    int one_of_all() {
        message m = make_message(number_, next_);
        switch (below(9)) {
            case 0:
                return sent(pool_.try_put(std::move(m)).code());
            case 1:
                return sent(pool_.put_swap(m, some_time()).code());
            case 2:
                return sent(pool_.put(m, some_time()).code());
            case 3:
                return batch([&](auto row) { return pool_.put_some(row, some_time()); });
            case 4:
                return claim(pool_.try_claim_put());
            case 5:
                return claim(pool_.claim_put(some_time()));
            case 6:
                return sent(pool_.try_put_swap(m).code());
            case 7:
                return batch([&](auto row) { return pool_.try_put_some(row); });
            default:
                return sent(pool_.put(std::move(m), some_time()).code());
        }
    }
    int sent(int code) {
        if (code == 0) ++next_;
        return code;
    }
    template <class Put>
    int batch(Put put) {
        std::array<message, 5> row;
        std::uint32_t n = 0;
        for (; n < row.size() && next_ + n < account_.each(); ++n)
            row[n] = make_message(number_, next_ + n);
        const auto sent = put(std::span(row).first(n));
        if (sent) next_ += static_cast<std::uint32_t>(*sent);
        return sent.code();
    }
    int claim(result<pool<message>::claim_to_put> c) {
        if (!c) return c.code();
        **c = make_message(number_, next_);
        if (below(4) == 0) std::this_thread::yield();
        if (below(4) == 0) return 0;  // dropped
        c->put();
        return sent(0);
    }

    const std::size_t number_;
    std::uint32_t next_ = 0;
};

/// Takes what comes.
class consumer : user {
public:
    /// `drops` claims, at random; else it demands each producer's order.
    consumer(pool<message>& p, account& a, std::uint64_t seed, bool drops)
        : user(p, a, seed), drops_(drops) {}

    /// Tries to take some. Returns the code of a failure.
    int step() {
        const int code = one_of_all();
        if (code) expect_harmless(code);
        return code;
    }
    /// Until the pool is closed and empty.
    void run() {
        for (;;) {
            const int code = step();
            if (code == EPIPE) return;
            if (code == EAGAIN) std::this_thread::yield();
        }
    }

private:
    int one_of_all() {
        switch (below(8)) {
            case 0:
                return got(pool_.try_take());
            case 1:
                return swapped([&](message& m) { return pool_.take_swap(m, some_time()); });
            case 2:
                return batch([&](auto row) { return pool_.take_some(row, some_time()); });
            case 3:
                return claim(pool_.try_claim_take());
            case 4:
                return claim(pool_.claim_take(some_time()));
            case 5:
                return swapped([&](message& m) { return pool_.try_take_swap(m); });
            case 6:
                return batch([&](auto row) { return pool_.try_take_some(row); });
            default:
                return got(pool_.take(some_time()));
        }
    }
    int got(const result<message>& m) {
        if (m) came(*m);
        return m.code();
    }
    template <class Take>
    int swapped(Take take) {
        message m = 0;
        const int code = take(m).code();
        if (code == 0) came(m);
        return code;
    }
    template <class Take>
    int batch(Take take) {
        std::array<message, 7> row;
        const auto n = take(std::span(row));
        for (std::size_t i = 0; i < n.value_or(0U); ++i) came(row[i]);
        return n.code();
    }
    int claim(result<pool<message>::claim_to_take> c) {
        if (!c) return c.code();
        if (below(4) == 0) std::this_thread::yield();
        if (drops_ && below(3) == 0) return 0;
        came(**c);  // before its slot is free
        c->take();
        return 0;
    }
    void came(message m) {
        account_.came(m);
        if (drops_) return;
        const std::size_t from = static_cast<std::size_t>(m >> 32);
        if (last_.size() <= from) last_.resize(from + 1);
        CHECK(last_[from] < m);
        last_[from] = m;
    }

    const bool drops_;
    std::vector<message> last_;  // of each producer
};

/// Users as plain threads and as wires, of threads of their own or all of one: by `how`.
class crowd {
public:
    enum class kind { threads, wires, mixed, one_runtime };

    explicit crowd(kind how) : how_(how) {}
    ~crowd() { join(); }
    crowd(const crowd&) = delete;
    crowd& operator=(const crowd&) = delete;

    template <class F>
    void add(F fn) {
        const bool alone = how_ == kind::wires || (how_ == kind::mixed && count_++ % 2 == 0);
        if (how_ == kind::one_runtime)
            together_.emplace_back(std::move(fn));
        else if (alone)
            threads_.emplace_back([fn = std::move(fn)]() mutable { as_wires(std::span(&fn, 1)); });
        else
            threads_.emplace_back(std::move(fn));
    }
    /// Those of one runtime begin only now.
    void join() {
        if (!together_.empty()) as_wires(std::span(together_));
        together_.clear();
        threads_.clear();
    }

private:
    template <class F>
    static void as_wires(std::span<F> all) {
        runtime rt({.stack = {.size = 256 * 1024}});
        for (F& fn : all) rt.go([&fn] { fn(); });
        CHECK(rt.run());
    }

    const kind how_;
    int count_ = 0;
    std::vector<std::jthread> threads_;
    std::vector<std::function<void()>> together_;
};

/// Nothing is inside, and no slot has been lost.
inline void expect_unharmed(pool<message>& p) {
    CHECK(p.wait_until_empty(within(std::chrono::seconds(0))));
    const pool_statistics s = p.statistics();
    CHECK(s.inside == 0);
    CHECK(s.puts == s.takes);
    p.reopen();
    for (std::size_t i = 0; i < p.capacity(); ++i) CHECK(p.try_put(message{0}));
    CHECK(p.try_put(message{0}).code() == EAGAIN);
    for (std::size_t i = 0; i < p.capacity(); ++i) CHECK(p.try_take());
    CHECK(p.try_take().code() == EAGAIN);
}

}  // namespace wire::test
