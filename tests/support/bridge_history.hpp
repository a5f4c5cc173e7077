// Histories of a bridge: two users give and two take, as plain threads or as wires; what each of
// their few calls came to, and when it began and ended, by tickets that all draw from one counter.
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <wire/deadline.hpp>
#include <wire/runtime.hpp>
#include "bounded_fifo.hpp"

namespace wire::test {

using interleave::queue_call;
using history = std::vector<queue_call>;

struct order {
    queue_call::kind what;
    enum patience { tries, waits_a_moment, waits } how;
    std::uint16_t pause;  // before the call: spins, or microseconds of patience in it
};

constexpr std::size_t users = 4;  // of a bridge; the first half of them give
using program = std::array<std::vector<order>, users>;

/// Draws programs: of up to four calls a user that never wait for long, one of them perhaps a
/// close; or, as nobody can be left alone with them, of calls that wait for ever, as many gives as
/// takes.
class random_programs {
public:
    explicit random_programs(std::uint64_t seed) : random_(static_cast<unsigned>(seed)) {}

    program next(bool patient) {
        program p;
        for (std::size_t u = 0; u < users; ++u) {
            const auto what = u < users / 2 ? queue_call::give : queue_call::take;
            for (auto n = patient ? 3 : 2 + below(3); n > 0; --n)
                p[u].push_back({what, patience(patient), pause()});
        }
        if (below(2) == 0) add_close(p[below(users)]);
        return p;
    }

private:
    unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
    order::patience patience(bool patient) {
        if (patient) return order::waits;
        return below(3) == 0 ? order::waits_a_moment : order::tries;
    }
    std::uint16_t pause() { return static_cast<std::uint16_t>(below(2) == 0 ? 0 : below(300)); }
    void add_close(std::vector<order>& calls) {
        const auto at = static_cast<std::ptrdiff_t>(below(static_cast<unsigned>(calls.size()) + 1));
        calls.insert(calls.begin() + at, {queue_call::close, order::tries, pause()});
    }

    std::mt19937 random_;
};

/// A bridge, a program for its users, and what they see.
template <class Bridge>
class recorded {
public:
    recorded(std::unique_ptr<Bridge> b, program p) : bridge_(std::move(b)), program_(std::move(p)) {
        for (std::size_t u = 0; u < users; ++u) seen_[u].reserve(program_[u].size());
    }

    /// Does what user `u` is to do.
    void perform(std::size_t u, bool in_wire) {
        for (const order& o : program_[u]) {
            for (volatile unsigned i = o.pause; i > 0;) i = i - 1;
            if (in_wire && o.pause % 2) yield();
            seen_[u].push_back(call(o, static_cast<int>(u * 10 + seen_[u].size())));
        }
    }

    /// Afterwards: everything is taken, and as much given as there is room for, so that a value or
    /// room that was lost is missed by a call of the history.
    history finish() {
        history all;
        for (const history& s : seen_) all.insert(all.end(), s.begin(), s.end());
        repeat(queue_call::take, all);
        repeat(queue_call::give, all);
        return all;
    }

    /// How many calls had an error that is none of theirs.
    [[nodiscard]] int faults() const { return faults_.load(); }

private:
    static constexpr std::size_t calls_max = 31;  // that bounded_fifo can number

    // Until it fails.
    void repeat(queue_call::kind what, history& all) {
        do {
            const int value = 90 + static_cast<int>(all.size());
            all.push_back(call({what, order::tries, 0}, value));
        } while (all.back().error == 0 && all.size() < calls_max);
    }

    queue_call call(const order& o, int value) {
        queue_call c{o.what, o.what == queue_call::give ? value : 0, 0, ticket(), 0};
        const int code = outcome(o, c.value);
        c.ended = ticket();
        if (!may_come_of(o, code)) ++faults_;
        // A call that did not wait for long enough found it full, or empty, at some time.
        c.error = code == ETIMEDOUT ? EAGAIN : code;
        return c;
    }
    static bool may_come_of(const order& o, int code) {
        if (code == EAGAIN) return o.how == order::tries;
        if (code == ETIMEDOUT) return o.how == order::waits_a_moment;
        return code == 0 || code == EPIPE;
    }
    int outcome(const order& o, int& value) {
        if (o.what == queue_call::close) return bridge_->close(), 0;
        const deadline until =
            o.how == order::waits ? never : within(std::chrono::microseconds(o.pause));
        const bool tries = o.how == order::tries;
        if (o.what == queue_call::give)
            return (tries ? bridge_->try_send(value) : bridge_->send(value, until)).code();
        const auto got = tries ? bridge_->try_recv() : bridge_->recv(until);
        if (got) value = *got;
        return got.code();
    }
    int ticket() {
        // [T] seq_cst: a call's loads and stores are made between its two. Pairs with itself: what
        // ended before another began has the smaller number, and its stores have arrived.
        return tickets_.fetch_add(1, std::memory_order_seq_cst);
    }

    const std::unique_ptr<Bridge> bridge_;
    const program program_;
    std::atomic<int> tickets_{1};
    std::atomic<int> faults_{0};
    std::array<history, users> seen_;  // each written by its user
};

/// One thread, and the users that it is: a plain one is a single user, else they are its wires.
struct lodging {
    bool wires;
    std::vector<std::size_t> of;
};

/// Lets the users of every bridge meet there, one bridge after the other.
template <class Bridge>
class meetings {
public:
    meetings(std::vector<std::unique_ptr<recorded<Bridge>>>& all,
             const std::vector<lodging>& lodgings)
        : all_(all) {
        std::vector<std::jthread> threads;
        for (const lodging& l : lodgings) threads.emplace_back([this, &l] { be(l); });
    }
    [[nodiscard]] bool ran() const { return failures_ == 0; }

private:
    void be(const lodging& l) {
        if (!l.wires) return attend_all(l.of.front(), false);
        runtime rt;
        for (const std::size_t u : l.of) rt.go([this, u] { attend_all(u, true); });
        if (!rt.run()) ++failures_;
    }
    void attend_all(std::size_t u, bool in_wire) {
        std::size_t arrivals = 0;
        for (auto& r : all_) {
            arrivals += users;
            // relaxed: each writes what is its own.
            arrived_.fetch_add(1, std::memory_order_relaxed);
            while (arrived_.load(std::memory_order_relaxed) < arrivals) {
                if (in_wire) yield();
                std::this_thread::yield();
            }
            r->perform(u, in_wire);
        }
    }

    std::vector<std::unique_ptr<recorded<Bridge>>>& all_;
    std::atomic<std::size_t> arrived_{0};
    std::atomic<int> failures_{0};
};

/// How many calls were under way when another began.
inline int overlaps(const history& h) {
    int n = 0;
    for (const queue_call& a : h)
        for (const queue_call& b : h) n += a.begun < b.begun && b.begun < a.ended;
    return n;
}

inline std::string text(const history& h) {
    std::ostringstream out;
    for (const queue_call& c : h) {
        constexpr std::array<const char*, 3> names{"give", "take", "close"};
        out << c.begun << '-' << c.ended << ' ' << names.at(c.what) << ' ' << c.value;
        if (c.error) out << (c.error == EPIPE ? " EPIPE" : " EAGAIN");
        out << "; ";
    }
    return out.str();
}

}  // namespace wire::test
