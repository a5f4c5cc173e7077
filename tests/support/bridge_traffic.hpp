// Traffic over a bridge: crowds of plain threads and of wires that give and take numbered values,
// some of them in a hurry, cancelled, or surprised by a close; and a look at the books afterwards.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <wire/bridge.hpp>
#include <wire/cancel.hpp>
#include <wire/runtime.hpp>

namespace wire::test {

/// A thread: plain, with one giver or one taker, or one whose runtime has so many wires.
struct host {
    bool wires;
    int givers;
    int takers;
};

struct traffic_plan {
    std::vector<host> hosts = {};
    std::size_t capacity = 1;
    waiting way = waiting::adaptive;
    int each = 1000;          // values of a giver
    bool in_a_hurry = false;  // short deadlines and try_ forms among the calls
    bool cancels = false;     // wires, all the time
    bool closes_early = false;
    unsigned seed = 1;
};

class bridge_traffic {
    struct item {
        std::size_t giver;
        int number;
    };
    using value = std::unique_ptr<item>;
    using received = std::vector<std::vector<int>>;  // by giver

public:
    explicit bridge_traffic(traffic_plan plan)
        : plan_(std::move(plan)), bridge_(plan_.capacity, plan_.way) {
        std::size_t givers = 0, takers = 0;
        for (const host& h : plan_.hosts) {
            givers += static_cast<std::size_t>(h.givers);
            takers += static_cast<std::size_t>(h.takers);
        }
        sent_.resize(givers);
        givers_left_ = static_cast<int>(givers);
        taken_.resize(takers, received(givers));
    }

    /// Runs it to its end, and returns whether the books are right.
    bool run() {
        {
            std::vector<std::jthread> threads;
            std::size_t giver = 0, taker = 0;
            for (const host& h : plan_.hosts) {
                threads.emplace_back([this, &h, giver, taker] { be_host(h, giver, taker); });
                giver += static_cast<std::size_t>(h.givers);
                taker += static_cast<std::size_t>(h.takers);
            }
            if (plan_.closes_early) close_some_time();
        }
        return faults_ == 0 && bridge_.size() == 0 && books_are_right();
    }

private:
    struct role {
        std::minstd_rand random;
        bool in_wire;
        cancel_scope* scope = nullptr;  // of the call that is under way
        bool over = false;
    };

    void be_host(const host& h, std::size_t giver, std::size_t taker) {
        const auto seed = plan_.seed * 100 + static_cast<unsigned>(giver * 10 + taker) + 1;
        if (h.wires) return be_runtime(h, giver, taker, seed);
        role r{std::minstd_rand(seed), false};
        if (h.givers > 0)
            give(giver, r);
        else
            take(taker, r);
    }

    void be_runtime(const host& h, std::size_t giver, std::size_t taker, unsigned seed) {
        std::vector<role> roles;
        for (int i = 0; i < h.givers + h.takers; ++i)
            roles.push_back({std::minstd_rand(seed + static_cast<unsigned>(i)), true});
        runtime rt;
        auto next = roles.begin();
        for (int i = 0; i < h.givers; ++i)
            rt.go([this, id = giver++, &r = *next++] { give(id, r); });
        for (int i = 0; i < h.takers; ++i)
            rt.go([this, id = taker++, &r = *next++] { take(id, r); });
        if (plan_.cancels) rt.go([&] { cancel(roles); });
        if (!rt.run()) ++faults_;
    }

    void cancel(std::vector<role>& roles) {
        std::size_t turn = 0;
        while (!std::ranges::all_of(roles, &role::over)) {
            if (cancel_scope* const scope = roles[turn++ % roles.size()].scope) scope->cancel();
            static_cast<void>(sleep(within(std::chrono::microseconds(turn * 7 % 60))));
        }
    }

    void give(std::size_t id, role& r) {
        for (int i = 0; i < plan_.each; ++i) {
            value v = std::make_unique<item>(id, i);
            const int code = insist(r, [&](auto how) { return send(v, how); });
            // A value whose send fails is still there.
            if ((code == 0) != (v == nullptr)) ++faults_;
            if (code != 0) break;
            ++sent_[id];
        }
        r.over = true;
        if (--givers_left_ == 0) bridge_.close();
    }

    void take(std::size_t id, role& r) {
        value v;
        while (insist(r, [&](auto how) { return recv(v, how); }) == 0)
            taken_[id][v->giver].push_back(v->number);
        r.over = true;
    }

    // How a call is made: nullptr: as a try.
    using patience = const deadline*;

    int send(value& v, patience p) {
        return p ? bridge_.send(std::move(v), *p).code() : bridge_.try_send(std::move(v)).code();
    }
    int recv(value& v, patience p) {
        auto got = p ? bridge_.recv(*p) : bridge_.try_recv();
        if (got) v = std::move(*got);
        return got.code();
    }

    // Calls until it succeeds, or fails with EPIPE.
    template <class Call>
    int insist(role& r, Call call) {
        for (;;) {
            const int code = once(r, call);
            if (code == 0 || code == EPIPE) return code;
            if (code == EAGAIN) r.in_wire ? yield() : std::this_thread::yield();
            if (code == ECANCELED && !plan_.cancels) ++faults_;
        }
    }

    template <class Call>
    int once(role& r, Call call) {
        const unsigned long drawn = plan_.in_a_hurry ? r.random() % 4 : 3;
        if (drawn == 0) return call(nullptr);
        deadline until;
        if (drawn == 1) until = within(std::chrono::microseconds(r.random() % 50));
        if (!plan_.cancels || !r.in_wire) return call(&until);
        cancel_scope scope;
        r.scope = &scope;
        const int code = call(&until);
        r.scope = nullptr;
        return code;
    }

    void close_some_time() {
        std::minstd_rand random(plan_.seed);
        const auto pause = std::chrono::microseconds(random() % 3000);
        if (pause.count() % 2) std::this_thread::sleep_for(pause);
        for (volatile auto i = random() % 2000; i > 0;) i = i - 1;
        bridge_.close();
    }

    // What each giver has sent was received once; in order, by each taker.
    bool books_are_right() {
        for (std::size_t g = 0; g < sent_.size(); ++g) {
            std::vector<int> all;
            for (const received& by : taken_) {
                if (!std::ranges::is_sorted(by[g])) return false;
                all.insert(all.end(), by[g].begin(), by[g].end());
            }
            std::ranges::sort(all);
            std::vector<int> wanted(static_cast<std::size_t>(sent_[g]));
            std::iota(wanted.begin(), wanted.end(), 0);
            if (all != wanted) return false;
            if (!plan_.closes_early && sent_[g] != plan_.each) return false;
        }
        return true;
    }

    const traffic_plan plan_;
    bridge<value> bridge_;
    std::atomic<int> givers_left_;
    std::atomic<int> faults_{0};
    // Each written by one giver, or taker.
    std::vector<int> sent_;
    std::vector<received> taken_;
};

}  // namespace wire::test
