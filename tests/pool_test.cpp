// pool<T>: calls that never wait, as one thread sees them. Its elements: pool_element_test.cpp;
// claims: pool_claim_test.cpp; waiting and the end: pool_wait_test.cpp, pool_close_test.cpp; many
// threads: pool_threads_test.cpp, pool_stress_test.cpp.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <wire/pool.hpp>
#include "support/box.hpp"
#include "support/dies.hpp"
#include "support/on_wire.hpp"
#include "support/pools.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

TEST_CASE("pool: what one producer puts is taken in that order") {
    pool<std::string> p(3);
    for (int lap = 0; lap < 5; ++lap) {
        for (const char* s : {"a", "b", "c"}) CHECK(p.put(s));
        for (const char* s : {"a", "b", "c"}) CHECK(p.take().value_or("none") == s);
    }
}

TEST_CASE("pool: its capacity is exact, lap after lap") {
    for (const int n : {1, 3, 64}) {
        CAPTURE(n);
        pool<int> p(static_cast<std::size_t>(n));
        CHECK(p.capacity() == static_cast<std::size_t>(n));
        for (int lap = 0; lap < 3; ++lap) {
            for (int i = 0; i < n; ++i) CHECK(p.try_put(i));
            CHECK(p.try_put(n).code() == EAGAIN);
            CHECK(p.size() == p.capacity());
            for (int i = 0; i < n; ++i) CHECK(p.try_take().value_or(-1) == i);
            CHECK(p.try_take().code() == EAGAIN);
            CHECK(p.size() == 0);
        }
    }
}

TEST_CASE("pool: a capacity of none is refused") {
    CHECK(dies([] { pool<int>(0); }, "a capacity is at least 1"));
}

TEST_CASE("pool: room for one is room for the next, wherever the rings are") {
    for (const std::size_t n : {1U, 2U, 3U, 7U}) {
        pool<int> p(n);
        for (int i = 0; i < 100; ++i) {
            const std::size_t inside = static_cast<std::size_t>(i) % n;
            while (p.size() > inside) CHECK(p.try_take());
            while (p.size() < inside) CHECK(p.try_put(i));
            CHECK(fill(p) == n - inside);
            CHECK(p.size() == n);
        }
    }
}

TEST_CASE("pool: a put that fails leaves its value where it is") {
    pool<box> p(1);
    box b = boxed(7);
    CHECK(p.put(boxed(1)));
    CHECK(p.try_put(std::move(b)).code() == EAGAIN);
    CHECK(p.put(std::move(b), within(0s)).code() == ETIMEDOUT);
    CHECK(p.try_put_swap(b).code() == EAGAIN);
    CHECK(p.try_put_some(std::span(&b, 1)).code() == EAGAIN);
    p.close();
    CHECK(p.put(std::move(b)).code() == EPIPE);
    CHECK(p.try_put(std::move(b)).code() == EPIPE);
    CHECK(p.put_swap(b).code() == EPIPE);
    CHECK(p.put_some(std::span(&b, 1)).code() == EPIPE);
    REQUIRE(b);
    CHECK(*b == 7);
}

TEST_CASE("pool: a take that fails leaves its value where it is") {
    pool<box> p(1);
    box b = boxed(7);
    CHECK(p.try_take_swap(b).code() == EAGAIN);
    CHECK(p.take_swap(b, within(0s)).code() == ETIMEDOUT);
    CHECK(p.try_take_some(std::span(&b, 1)).code() == EAGAIN);
    p.close();
    CHECK(p.take_swap(b).code() == EPIPE);
    REQUIRE(b);
    CHECK(*b == 7);
}

TEST_CASE("pool: what can be copied may be put as a copy") {
    pool<std::string> p(2);
    const std::string mine = "mine";
    CHECK(p.put(mine));
    CHECK(p.try_put(mine));
    CHECK(p.try_put(mine).code() == EAGAIN);
    CHECK(mine == "mine");
    CHECK(p.take().value_or("") == "mine");
    CHECK(p.try_take().value_or("") == "mine");
}

TEST_CASE("pool: a copy that throws leaves the pool as it was") {
    struct fragile {
        fragile() = default;
        fragile(const fragile&) { throw std::runtime_error("no copy"); }
        fragile(fragile&&) noexcept = default;
        fragile& operator=(fragile&&) noexcept = default;
    };
    pool<fragile> p(2);
    const fragile mine;
    CHECK_THROWS_AS(static_cast<void>(p.put(mine)), std::runtime_error);
    CHECK_THROWS_AS(static_cast<void>(p.try_put(mine)), std::runtime_error);
    CHECK(p.size() == 0);
    CHECK(fill(p) == 2);
}

TEST_CASE("pool: a batch puts as many as there is room for, from the first") {
    pool<int> p(5);
    std::vector<int> values(8);
    std::iota(values.begin(), values.end(), 0);
    CHECK(p.put(100));
    CHECK(p.put_some(values).value_or(0) == 4);
    CHECK(p.try_put_some(values).code() == EAGAIN);
    CHECK(p.take().value_or(-1) == 100);
    for (int i = 0; i < 4; ++i) CHECK(p.take().value_or(-1) == i);
    CHECK(p.try_put_some(std::span(values).first(2)).value_or(0) == 2);
    CHECK(p.size() == 2);
}

TEST_CASE("pool: a batch takes as many as are there, as far as it has room") {
    pool<int> p(5);
    std::array<int, 3> into{};
    CHECK(p.try_take_some(into).code() == EAGAIN);
    for (int i = 1; i <= 5; ++i) CHECK(p.put(i));
    CHECK(p.take_some(into).value_or(0) == 3);
    CHECK(into == std::array{1, 2, 3});
    CHECK(p.try_take_some(into).value_or(0) == 2);
    CHECK(into == std::array{4, 5, 3});
    CHECK(p.take_some(into, within(0s)).code() == ETIMEDOUT);
}

TEST_CASE("pool: a batch of moves leaves what was not put") {
    pool<box> p(2);
    std::array<box, 3> values{boxed(0), boxed(1), boxed(2)};
    CHECK(p.put_some(values).value_or(0) == 2);
    CHECK_FALSE(values[0]);
    CHECK_FALSE(values[1]);
    REQUIRE(values[2]);
    CHECK(*values[2] == 2);
}

TEST_CASE("pool: an empty batch is nothing, at once, in every state of the pool") {
    pool<int> p(1);
    for (int state = 0; state < 4; ++state) {
        CAPTURE(state);
        CHECK(p.put_some({}).value_or(9) == 0);
        CHECK(p.try_put_some({}).value_or(9) == 0);
        CHECK(p.take_some({}).value_or(9) == 0);
        CHECK(p.try_take_some({}).value_or(9) == 0);
        if (state == 0) CHECK(p.put(1));
        if (state == 1) p.close();
        if (state == 2) CHECK(p.take());
    }
}

TEST_CASE("pool: a batch larger than the pool goes through in parts") {
    pool<int> p(3);
    std::vector<int> values(100), got;
    std::iota(values.begin(), values.end(), 0);
    std::span<int> left(values);
    while (!left.empty()) {
        left = left.subspan(p.put_some(left).value_or(0));
        std::array<int, 2> some{};
        const std::size_t n = p.take_some(some).value_or(0);
        got.insert(got.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(n));
    }
    while (auto one = p.try_take()) got.push_back(*one);
    CHECK(got == values);
}

TEST_CASE("pool: its statistics count messages, not tries and not dropped claims") {
    pool<int> p(3);
    const auto expect = [&](std::size_t inside, std::uint64_t puts, std::uint64_t takes) {
        const pool_statistics s = p.statistics();
        CHECK(s.capacity == 3);
        CHECK(s.inside == inside);
        CHECK(p.size() == inside);
        CHECK(s.puts == puts);
        CHECK(s.takes == takes);
        CHECK(s.put_sleeps == 0);
        CHECK(s.take_sleeps == 0);
    };
    expect(0, 0, 0);
    CHECK_FALSE(p.try_take());
    CHECK(fill(p) == 3);
    CHECK_FALSE(p.try_put(0));
    expect(3, 3, 0);
    { const auto dropped = p.try_claim_take(); }
    expect(3, 3, 0);
    {
        auto held = p.try_claim_take();
        expect(3, 3, 0);  // claimed, and still inside
        held->take();
        expect(2, 3, 1);
    }
    { const auto dropped = p.try_claim_put(); }
    expect(2, 3, 1);
    {
        auto held = p.try_claim_put();
        expect(2, 3, 1);
        held->put();
        expect(3, 4, 1);
    }
    CHECK(drain(p) == 3);
    expect(0, 4, 4);
}

TEST_CASE("pool: its statistics count who slept, and on which side") {
    on_wire([] {  // where no time passes before it sleeps
        pool<int> p(1, {.wait = waiting::park});
        CHECK(p.take(within(1ms)).code() == ETIMEDOUT);
        CHECK(p.statistics().take_sleeps == 1);
        CHECK(p.statistics().put_sleeps == 0);
        CHECK(p.put(1));
        CHECK(p.put(1, within(1ms)).code() == ETIMEDOUT);
        CHECK(p.put(1, within(1ms)).code() == ETIMEDOUT);
        CHECK(p.statistics().take_sleeps == 1);
        CHECK(p.statistics().put_sleeps == 2);
    });
}

TEST_CASE("pool: for_each visits every slot once, by its index") {
    pool<std::string> p(4);
    std::vector<std::size_t> indices;
    p.for_each([&](std::string& s, std::size_t i) {
        CHECK(s.empty());
        s = std::to_string(i);
        indices.push_back(i);
    });
    CHECK(indices == std::vector<std::size_t>{0, 1, 2, 3});
    std::string all;
    p.for_each([&](const std::string& s, std::size_t) { all += s; });
    CHECK(all == "0123");
}

TEST_CASE("pool: for_each gives buffers, which then circulate") {
    // What readers of files do: every slot has a buffer, and both sides bring theirs.
    pool<std::vector<char>> p(2);
    p.for_each([](std::vector<char>& b, std::size_t) { b.reserve(1000); });
    std::vector<char> mine, theirs;
    mine.reserve(1000);
    theirs.reserve(1000);
    for (int i = 0; i < 20; ++i) {
        mine.assign(1, static_cast<char>('a' + i));
        CHECK(p.put_swap(mine));
        CHECK(mine.capacity() >= 1000);
        CHECK(p.take_swap(theirs));
        CHECK(theirs.capacity() >= 1000);
        CHECK(theirs == std::vector<char>(1, static_cast<char>('a' + i)));
    }
}

TEST_CASE("pool: for_each may be used after use, and refuses a pool in use") {
    constexpr auto sentence = "for_each() of a pool with messages or claims inside";
    pool<int> p(2);
    const auto nothing = [](int&, std::size_t) {};
    CHECK(fill(p) == 2);
    CHECK(dies([&] { p.for_each(nothing); }, sentence));
    CHECK(p.take());
    {
        const auto held = p.try_claim_take();
        CHECK(dies([&] { p.for_each(nothing); }, sentence));
    }
    CHECK(p.take());
    {
        const auto held = p.try_claim_put();
        CHECK(dies([&] { p.for_each(nothing); }, sentence));
    }
    p.for_each(nothing);
    p.close();
    p.for_each(nothing);
}

TEST_CASE("pool: hints change nothing but the time, also when they are wrong") {
    for (const std::size_t hint : {0U, 1U, 2U}) {
        CAPTURE(hint);
        pool<int> p(4, {.producers = hint, .consumers = hint});
        std::vector<std::jthread> threads;
        std::atomic<int> sum{0};
        for (int t = 0; t < 3; ++t) {
            threads.push_back(start(as::thread, [&] {
                for (int i = 1; i <= 500; ++i) CHECK(p.put(i));
            }));
            threads.push_back(start(as::thread, [&] {
                for (int i = 0; i < 500; ++i) sum += p.take().value_or(0);
            }));
        }
        threads.clear();
        CHECK(sum == 3 * 500 * 501 / 2);
        CHECK(p.wait_until_empty(within(0s)));
    }
}
