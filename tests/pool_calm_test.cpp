// What pools and bridges cost while nobody has to sleep: no system call, and no cache line that
// both sides write.
#include <doctest/doctest.h>

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <set>
#include <thread>

#include <wire/bridge.hpp>
#include <wire/pool.hpp>
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/no_system_calls.hpp"

using namespace wire;
using namespace wire::test;
using wire::detail::exchange_access;

// ---- No system call

namespace {

constexpr int pairs = 10'000;

// As often as makes the thread the owner of the locks' bias, and more.
constexpr int warm_up = 1000;

#define LEAVE_OUT_WHERE_TOOLS_MAKE_SYSTEM_CALLS()                   \
    WIRE_LEAVE_OUT_IF(under_asan || under_tsan || under_valgrind(), \
                      "the tool makes system calls of its own")

void begin_to_demand_it() {
    must(deny_system_calls(), "seccomp");
}
[[noreturn]] void end(bool fine) {
    ::_exit(fine ? 0 : 4);
}

// Runs `round()` on one thread, first without the rule and then with it.
template <class F>
death calmly(F round) {
    return run_in_child([&] {
        bool fine = true;
        for (int i = 0; i < warm_up; ++i) fine = round() && fine;
        begin_to_demand_it();
        for (int i = 0; i < pairs; ++i) fine = round() && fine;
        end(fine);
    });
}

void expect_calm(const death& d) {
    CHECK(d.signal == 0);
    CHECK(d.code == 0);
}

// Two threads that take turns, without a system call.
class turns {
public:
    void await(int turn) const {
        while (now_.load(std::memory_order_acquire) != turn) {
        }
    }
    void next() { now_.fetch_add(1, std::memory_order_release); }

private:
    std::atomic<int> now_{0};
};

// One thread gives batches that another takes, each when the other is done.
template <class Give, class Take>
death calmly_between_threads(Give give, Take take) {
    constexpr int batch = 500, batches = pairs / batch, before = 2, never_so_far = -1;
    return run_in_child([&] {
        turns t;
        bool fine = true;
        std::atomic<bool> taken_all{false};
        const auto play = [&](auto step, int first, bool& all) {
            for (int b = 0; b < before + batches; ++b) {
                if (b == before) begin_to_demand_it();
                t.await(2 * b + first);
                for (int i = 0; i < batch; ++i) all = step(i) && all;
                t.next();
            }
        };
        std::thread taker([&] {
            bool all = true;
            play(take, 1, all);
            taken_all.store(all, std::memory_order_release);
            t.next();
            t.await(never_so_far);
        });
        play(give, 0, fine);
        t.await(2 * (before + batches) + 1);
        end(fine && taken_all.load(std::memory_order_acquire));
    });
}

}  // namespace

TEST_CASE("pool calm: the rule finds a system call") {
    LEAVE_OUT_WHERE_TOOLS_MAKE_SYSTEM_CALLS();
    int n = 0;
    CHECK(calmly([&] { return ++n != warm_up + 1 || ::getppid() >= 0; }).signal == SIGSYS);
    expect_calm(calmly([] { return true; }));
    CHECK(calmly([] { return false; }).code == 4);
}

TEST_CASE("pool calm: no system call on one thread") {
    LEAVE_OUT_WHERE_TOOLS_MAKE_SYSTEM_CALLS();
    for (const waiting how : {waiting::adaptive, waiting::spin, waiting::park}) {
        pool<int> p(4, {.wait = how});
        expect_calm(calmly([&] { return p.put(1) && p.take().value_or(0) == 1; }));
        expect_calm(calmly([&] {
            int a = 1, b = 0;
            return p.put_swap(a) && p.take_swap(b) && b == 1;
        }));
        expect_calm(calmly([&] {
            std::array<int, 3> row{1, 2, 3};
            return p.put_some(row).value_or(0U) == 3 && p.take_some(row).value_or(0U) == 3;
        }));
        expect_calm(calmly([&] {
            p.claim_put()->put();
            p.claim_take()->take();
            return p.try_take().code() == EAGAIN;
        }));
        bridge<int> b(4, how);
        expect_calm(calmly([&] { return b.send(1) && b.recv().value_or(0) == 1; }));
    }
}

TEST_CASE("pool calm: no system call between threads, one of which never has to wait") {
    LEAVE_OUT_WHERE_TOOLS_MAKE_SYSTEM_CALLS();
    pool<int> p(1000);
    expect_calm(calmly_between_threads([&](int i) { return p.put(i).has_value(); },
                                       [&](int i) { return p.take().value_or(-1) == i; }));
    bridge<int> b(1000);
    expect_calm(calmly_between_threads([&](int i) { return b.send(i).has_value(); },
                                       [&](int i) { return b.recv().value_or(-1) == i; }));
}

// ---- No line that both write

namespace {

#define LEAVE_OUT_WHERE_PADDING_IS_NOT_READ() \
    WIRE_LEAVE_OUT_IF(under_valgrind(), "valgrind objects to looks at all bytes of an object")

using lines = std::set<std::size_t>;  // pairs of cache lines of a pool

class watched_pool {
public:
    watched_pool() {
        // What a first use changes, and a thread's first 256.
        for (int i = 0; i < warm_up; ++i) CHECK((p_.put(1) && p_.take()));
        for (int i = 0; i < 2; ++i) CHECK(p_.put(1));
    }
    auto& exchange() { return exchange_access::of(p_); }

    // Those in which something changes.
    lines changed_by_put() {
        return changed_by(
            [&](auto look) { CHECK(exchange().try_give([&](std::uint32_t) { look(); }) == 0); });
    }
    lines changed_by_take() {
        return changed_by(
            [&](auto look) { CHECK(exchange().try_take([&](std::uint32_t) { look(); }) == 0); });
    }
    lines changed_by_claim_to_put() {
        std::uint32_t slot = 0;
        const lines changed =
            changed_by([&](auto) { CHECK(exchange().try_claim_free(slot) == 0); });
        exchange().give_up_free(slot);
        return changed;
    }
    // That in which an object of the pool begins.
    [[nodiscard]] std::size_t line_of(const void* object) const {
        const auto distance =
            static_cast<const std::byte*>(object) - reinterpret_cast<const std::byte*>(&p_);
        return static_cast<std::size_t>(distance) / cache_line_pair;
    }

private:
    using bytes = std::array<std::byte, sizeof(pool<int>)>;

    // By `steps(look)`, which calls look() where something has changed that changes back.
    template <class F>
    lines changed_by(F steps) {
        const bytes before = now();
        lines changed;
        const auto look = [&] {
            const bytes after = now();
            for (std::size_t i = 0; i < after.size(); ++i)
                if (before[i] != after[i]) changed.insert(i / cache_line_pair);
        };
        steps(look);
        look();
        return changed;
    }
    [[nodiscard]] bytes now() const {
        bytes all;
        std::memcpy(all.data(), static_cast<const void*>(&p_), all.size());
        return all;
    }

    pool<int> p_{8};
};

bool disjoint(const lines& a, const lines& b) {
    for (const std::size_t line : a)
        if (b.contains(line)) return false;
    return true;
}
lines without(lines a, const lines& b) {
    for (const std::size_t line : b) a.erase(line);
    return a;
}

}  // namespace

TEST_CASE("pool calm: givers and takers write no cache line in common") {
    LEAVE_OUT_WHERE_PADDING_IS_NOT_READ();
    watched_pool p;
    const lines put = p.changed_by_put();
    const lines take = p.changed_by_take();
    CHECK_FALSE(put.empty());
    CHECK_FALSE(take.empty());
    CHECK(disjoint(put, take));
}

TEST_CASE("pool calm: what the other side looks at changes with what is there for it, only") {
    LEAVE_OUT_WHERE_PADDING_IS_NOT_READ();
    watched_pool p;
    const lines claim = p.changed_by_claim_to_put();
    const lines put = p.changed_by_put();
    CHECK(without(put, claim).size() == 1);
}

TEST_CASE("pool calm: where sleepers are noted changes while nobody sleeps in no way") {
    LEAVE_OUT_WHERE_PADDING_IS_NOT_READ();
    watched_pool p;
    lines noted;
    for (const void* const queue : {&p.exchange().messages(), &p.exchange().room()})
        noted.insert(p.line_of(queue));
    const lines put = p.changed_by_put();
    const lines take = p.changed_by_take();
    CHECK(disjoint(put, noted));
    CHECK(disjoint(take, noted));
}
