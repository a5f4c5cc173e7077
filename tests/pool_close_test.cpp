// A pool's end: close(), reopen(), wait_until_empty().
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <vector>

#include <wire/pool.hpp>
#include "support/pools.hpp"
#include "support/sleep_watch.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

using call = int (*)(pool<int>&, deadline);

constexpr call put_calls[] = {
    [](pool<int>& p, deadline until) { return p.put(1, until).code(); },
    [](pool<int>& p, deadline until) {
        int value = 1;
        return p.put_swap(value, until).code();
    },
    [](pool<int>& p, deadline until) {
        std::array values{1, 2};
        return p.put_some(values, until).code();
    },
    [](pool<int>& p, deadline until) { return p.claim_put(until).code(); },
};
constexpr call take_calls[] = {
    [](pool<int>& p, deadline until) { return p.take(until).code(); },
    [](pool<int>& p, deadline until) {
        int value = 1;
        return p.take_swap(value, until).code();
    },
    [](pool<int>& p, deadline until) {
        std::array<int, 2> into{};
        return p.take_some(into, until).code();
    },
    [](pool<int>& p, deadline until) { return p.claim_take(until).code(); },
};

std::vector<int> codes_of_try_puts(pool<int>& p) {
    int value = 1;
    return {p.try_put(1).code(), p.try_put_swap(value).code(),
            p.try_put_some(std::span(&value, 1)).code(), p.try_claim_put().code()};
}
std::vector<int> codes_of_try_takes(pool<int>& p) {
    int value = 1;
    return {p.try_take().code(), p.try_take_swap(value).code(),
            p.try_take_some(std::span(&value, 1)).code(), p.try_claim_take().code()};
}

const std::vector<int> all_closed(4, EPIPE);
const std::vector<int> all_again(4, EAGAIN);

}  // namespace

TEST_CASE("pool close: every take from a closed empty pool fails with EPIPE") {
    pool<int> p(2);
    p.close();
    CHECK(p.closed());
    for (const call c : take_calls) CHECK(c(p, never) == EPIPE);
    CHECK(codes_of_try_takes(p) == all_closed);
}

TEST_CASE("pool close: every put into a closed pool fails with EPIPE, be it full or not") {
    for (const int inside : {0, 1, 2}) {
        pool<int> p(2);
        for (int i = 0; i < inside; ++i) CHECK(p.put(i));
        p.close();
        for (const call c : put_calls) CHECK(c(p, never) == EPIPE);
        CHECK(codes_of_try_puts(p) == all_closed);
        CHECK(p.size() == static_cast<std::size_t>(inside));
    }
}

TEST_CASE("pool close: what is inside is taken before takes fail, in its order") {
    pool<int> p(3);
    for (int i = 1; i <= 3; ++i) CHECK(p.put(i));
    p.close();
    for (int i = 1; i <= 3; ++i) CHECK(p.take().value_or(-1) == i);
    CHECK(p.take().code() == EPIPE);
}

TEST_CASE("pool close: again has no effect") {
    pool<int> p(1);
    CHECK(p.put(1));
    p.close();
    p.close();
    CHECK(p.take());
    CHECK(p.take().code() == EPIPE);
    p.close();
    p.reopen();
    CHECK_FALSE(p.closed());
    p.reopen();
    CHECK(p.put(1));
    CHECK(p.take());
    CHECK(p.try_take().code() == EAGAIN);
    CHECK(p.wait_until_empty());
}

TEST_CASE("pool close: reopened, it works as before") {
    pool<int> p(2);
    for (int lap = 0; lap < 10; ++lap) {
        CHECK(p.put(lap));
        p.close();
        CHECK(p.put(0).code() == EPIPE);
        p.reopen();
        CHECK(p.put(-lap));
        CHECK(p.try_put(0).code() == EAGAIN);
        CHECK(p.take().value_or(99) == lap);
        CHECK(p.take().value_or(99) == -lap);
        CHECK(p.try_take().code() == EAGAIN);
    }
}

TEST_CASE("pool close: it wakes every putter that waits, and what was inside stays") {
    as_each([](as kind) {
        pool<int> p(1);
        CHECK(p.put(7));
        {
            std::vector<std::jthread> blocked;
            for (const call c : put_calls)
                blocked.push_back(start(kind, [&p, c] { CHECK(c(p, never) == EPIPE); }));
            until_putters_sleep(p, 4);
            p.close();
        }
        CHECK(p.take().value_or(-1) == 7);
        CHECK(p.take().code() == EPIPE);
        p.reopen();
        CHECK(fill(p) == 1);
    });
}

TEST_CASE("pool close: it wakes every taker that waits") {
    as_each([](as kind) {
        pool<int> p(1);
        {
            std::vector<std::jthread> blocked;
            for (const call c : take_calls)
                blocked.push_back(start(kind, [&p, c] { CHECK(c(p, never) == EPIPE); }));
            until_takers_sleep(p, 4);
            p.close();
        }
        p.reopen();
        CHECK(p.put(1));
        CHECK(p.take().value_or(-1) == 1);
    });
}

TEST_CASE("pool close: many wires of one runtime that wait are all woken") {
    pool<int> p(1);
    int closed = 0;
    auto other = start(as::thread, [&] {
        until_takers_sleep(p, 50);
        p.close();
    });
    runtime rt({.stack = {.size = 256 * 1024}});
    for (int i = 0; i < 50; ++i) rt.go([&] { closed += p.take().code() == EPIPE; });
    CHECK(rt.run());
    CHECK(closed == 50);
}

TEST_CASE("pool close: while a claim to put is held takers wait, and get the late message") {
    as_each([](as kind) {
        pool<int> p(3);
        auto claim = *p.claim_put();
        p.close();
        CHECK(codes_of_try_takes(p) == all_again);
        std::atomic<int> got{0}, closed{0};
        std::vector<std::jthread> takers;
        for (int i = 0; i < 3; ++i) {
            takers.push_back(start(kind, [&] {
                const auto v = p.take();
                v ? ++got : ++closed;
                CHECK((v ? *v == 9 : v.code() == EPIPE));
            }));
        }
        until_takers_sleep(p, 3);
        *claim = 9;
        claim.put();
        takers.clear();
        CHECK(got == 1);
        CHECK(closed == 2);
        CHECK(p.claim_put().code() == EPIPE);
    });
}

TEST_CASE("pool close: a claim to put that is dropped tells the takers that nothing comes") {
    as_each([](as kind) {
        pool<int> p(2);
        auto claim = *p.claim_put();
        p.close();
        std::vector<std::jthread> takers;
        for (const call c : take_calls)
            takers.push_back(start(kind, [&p, c] { CHECK(c(p, never) == EPIPE); }));
        until_takers_sleep(p, 4);
        claim.drop();
    });
}

TEST_CASE("pool close: while a claim to take is held takers wait for its end") {
    as_each([](as kind) {
        pool<int> p(2);
        CHECK(p.put(4));
        auto claim = *p.claim_take();
        p.close();
        CHECK(codes_of_try_takes(p) == all_again);
        std::vector<std::jthread> takers;
        for (const call c : take_calls)
            takers.push_back(start(kind, [&p, c] { CHECK(c(p, never) == EPIPE); }));
        until_takers_sleep(p, 4);
        claim.take();
        takers.clear();
        CHECK(codes_of_try_takes(p) == all_closed);
    });
}

TEST_CASE("pool close: a claim to take that is dropped brings its message back to those who wait") {
    as_each([](as kind) {
        pool<int> p(2);
        CHECK(p.put(4));
        auto claim = *p.claim_take();
        p.close();
        std::atomic<int> got{0};
        std::vector<std::jthread> takers;
        for (int i = 0; i < 3; ++i)
            takers.push_back(start(kind, [&] { got += p.take().value_or(0); }));
        until_takers_sleep(p, 3);
        claim.drop();
        takers.clear();
        CHECK(got == 4);
    });
}

TEST_CASE("pool close: who waits for room while it is closed and reopened is told or served") {
    as_each([](as kind) {
        pool<int> p(1);
        CHECK(p.put(1));
        auto putter = start(kind, [&] {
            const int code = p.put(2).code();
            CHECK((code == 0 || code == EPIPE));
        });
        until_putters_sleep(p, 1);
        p.close();
        p.reopen();
        CHECK(p.take().value_or(-1) == 1);
        putter.join();
        const auto second = p.try_take();
        CHECK((second ? *second == 2 : second.code() == EAGAIN));
    });
}

TEST_CASE("pool empty: an empty pool needs no wait, closed or not") {
    as_each([](as kind) {
        run(kind, [] {
            pool<int> p(2);
            CHECK(p.wait_until_empty(within(0s)));
            CHECK(p.wait_until_empty());
            p.close();
            CHECK(p.wait_until_empty());
        });
    });
}

TEST_CASE("pool empty: messages and claims of both kinds are waited for, with a deadline") {
    as_each([](as kind) {
        run(kind, [] {
            pool<int> p(2);
            const auto code = [&] { return p.wait_until_empty(within(1ms)).code(); };
            auto to_put = *p.claim_put();
            CHECK(code() == ETIMEDOUT);
            to_put.put();
            CHECK(code() == ETIMEDOUT);
            auto to_take = *p.claim_take();
            CHECK(code() == ETIMEDOUT);
            p.close();
            CHECK(code() == ETIMEDOUT);
            to_take.take();
            CHECK(code() == 0);
        });
    });
}

TEST_CASE("pool empty: whatever frees the last slot wakes all that wait") {
    // By a take, a batch, and each end of a claim.
    const std::function<void(pool<int>&)> ends[] = {
        [](pool<int>& p) { CHECK(p.take()); },
        [](pool<int>& p) {
            std::array<int, 4> into{};
            CHECK(p.take_some(into));
        },
        [](pool<int>& p) { p.claim_take()->take(); },
        [](pool<int>& p) {
            auto claim = *p.claim_put();
            CHECK(p.take());
            claim.drop();
        },
    };
    as_each([&](as kind) {
        for (const auto& end : ends) {
            pool<int> p(3, {.wait = waiting::park});
            CHECK(p.put(1));
            const sleep_watch asleep;
            std::vector<std::jthread> waiters;
            for (int i = 0; i < 3; ++i)
                waiters.push_back(start(kind, [&] { CHECK(p.wait_until_empty()); }));
            asleep.until(3);
            end(p);
        }
    });
}

TEST_CASE("pool empty: putters and those who wait until it is empty miss no wake-up") {
    // A taker frees the only slot: that may be for a putter, or the end.
    as_each([](as kind) {
        constexpr int rounds = 200, putters = 2;
        pool<int> p(1, {.wait = waiting::park});
        for (int r = 0; r < rounds; ++r) {
            CHECK(p.put(0));
            std::vector<std::jthread> all;
            for (int i = 1; i <= putters; ++i)
                all.push_back(start(kind, [&p, i] { CHECK(p.put(i)); }));
            for (int i = 0; i < 2; ++i)
                all.push_back(start(kind, [&p] { CHECK(p.wait_until_empty()); }));
            int sum = 0;
            for (int i = 0; i <= putters; ++i) sum += p.take().value_or(-9);
            CHECK(sum == 3);
        }
    });
}
