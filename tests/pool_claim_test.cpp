// Claims of a pool's slots.
#include <doctest/doctest.h>

#include <chrono>
#include <deque>
#include <list>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <wire/pool.hpp>
#include "support/dies.hpp"
#include "support/pools.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

using strings = pool<std::string>;

static_assert(!std::is_copy_constructible_v<strings::claim_to_put>);
static_assert(!std::is_move_assignable_v<strings::claim_to_put>);
static_assert(std::is_nothrow_move_constructible_v<strings::claim_to_put>);
static_assert(!std::is_copy_constructible_v<strings::claim_to_take>);
static_assert(!std::is_move_assignable_v<strings::claim_to_take>);
static_assert(std::is_nothrow_move_constructible_v<strings::claim_to_take>);

TEST_CASE("pool claim: a message is made and read in its slot") {
    strings p(2);
    const std::string* made = nullptr;
    {
        auto claim = p.claim_put();
        **claim = "hello";
        (*claim)->append(", world");
        made = &**claim;
        CHECK(p.try_take().code() == EAGAIN);
        claim->put();
    }
    auto claim = p.claim_take();
    CHECK(&**claim == made);
    CHECK(**claim == "hello, world");
    CHECK((*claim)->size() == 12);
    claim->take();
    CHECK(p.wait_until_empty(within(0s)));
}

TEST_CASE("pool claim: with k slots claimed exactly capacity - k puts succeed") {
    for (const std::size_t n : {1U, 3U, 64U}) {
        for (std::size_t k = 0; k <= n; ++k) {
            CAPTURE(n);
            CAPTURE(k);
            pool<int> p(n);
            std::list<pool<int>::claim_to_put> held;
            for (std::size_t i = 0; i < k; ++i) held.push_back(*p.try_claim_put());
            CHECK(fill(p) == n - k);
            CHECK(p.try_claim_put().code() == EAGAIN);
            CHECK(drain(p) == n - k);
        }
    }
}

TEST_CASE("pool claim: with k messages claimed the others can be taken, and as many put") {
    for (const std::size_t n : {1U, 3U, 64U}) {
        for (std::size_t k = 0; k <= n; ++k) {
            CAPTURE(n);
            CAPTURE(k);
            pool<int> p(n);
            CHECK(fill(p) == n);
            std::list<pool<int>::claim_to_take> held;
            for (std::size_t i = 0; i < k; ++i) held.push_back(*p.try_claim_take());
            CHECK(drain(p) == n - k);
            CHECK(p.try_claim_take().code() == EAGAIN);
            CHECK(fill(p) == n - k);
        }
    }
}

TEST_CASE("pool claim: what is held holds up nobody") {
    pool<int> p(4);
    CHECK(p.put(1000));
    auto to_take = p.claim_take();
    auto to_put = p.claim_put();
    **to_put = 2000;
    const auto laps = [&](int n) {
        for (int i = 0; i < n; ++i) {
            CHECK(p.put(i));
            CHECK(p.put(i));
            CHECK(p.try_put(i).code() == EAGAIN);
            CHECK(p.take().value_or(-1) == i);
            CHECK(p.take().value_or(-1) == i);
        }
    };
    laps(300);
    start(as::thread, [&] { laps(300); }).join();
    start(as::wire, [&] { laps(300); }).join();
    CHECK(**to_take == 1000);
    CHECK(**to_put == 2000);
    to_put->put();
    to_take->take();
    CHECK(p.take().value_or(-1) == 2000);
    CHECK(fill(p) == 4);
}

TEST_CASE("pool claim: a claim to put that is dropped gives its slot back") {
    strings p(1);
    {
        auto claim = p.claim_put();
        **claim = "draft";
        CHECK(p.try_put("x").code() == EAGAIN);
    }
    CHECK(p.try_take().code() == EAGAIN);
    std::string mine = "mine";
    CHECK(p.put_swap(mine));
    CHECK(mine == "draft");  // what was done to the element stays
    CHECK(p.take().value_or("") == "mine");
}

TEST_CASE("pool claim: a claim to take that is dropped gives the message back, behind the others") {
    pool<int> p(4);
    for (int i = 1; i <= 3; ++i) CHECK(p.put(i));
    {
        auto claim = p.claim_take();
        CHECK(**claim == 1);
    }
    CHECK(p.size() == 3);
    for (const int i : {2, 3, 1}) CHECK(p.take().value_or(-1) == i);
}

TEST_CASE("pool claim: what an exception leaves is given back") {
    pool<int> p(2);
    CHECK(p.put(5));
    const auto work = [&] {
        const auto reads = p.claim_take();
        const auto writes = p.claim_put();
        throw std::runtime_error("no");
    };
    CHECK_THROWS(work());
    CHECK(p.take().value_or(-1) == 5);
    CHECK(fill(p) == 2);
}

TEST_CASE("pool claim: a thread or wire that returns with a claim gives it back") {
    as_each([](as kind) {
        pool<int> p(1);
        start(kind, [&] { const auto forgotten = p.claim_put(); }).join();
        CHECK(p.try_put(1));
        start(kind, [&] { const auto forgotten = p.claim_take(); }).join();
        CHECK(p.try_take().value_or(-1) == 1);
        CHECK(p.try_put(2));
    });
}

TEST_CASE("pool claim: a claim moves, and one object holds it") {
    pool<int> p(1);
    {
        auto first = *p.claim_put();
        auto second = std::move(first);
        *second = 3;
        {
            const auto third = std::move(second);
            CHECK(p.try_put(0).code() == EAGAIN);
        }
        CHECK(p.try_put(0));  // given back once, by the third
        CHECK(p.try_take());
    }
    CHECK(fill(p) == 1);
    {
        auto first = *p.claim_take();
        auto second = std::move(first);
        second.take();
        CHECK(fill(p) == 1);
    }
    CHECK(drain(p) == 1);
}

TEST_CASE("pool claim: a claim that has ended is refused") {
    constexpr auto sentence = "the claim of a slot is used after its end";
    pool<int> p(2);
    auto put = *p.claim_put();
    put.put();
    CHECK(dies([&] { put.put(); }, sentence));
    CHECK(dies([&] { put.drop(); }, sentence));
    auto take = *p.claim_take();
    take.take();
    CHECK(dies([&] { take.take(); }, sentence));

    auto from = *p.claim_put();
    const auto to = std::move(from);
    CHECK(dies([&] { from.put(); }, sentence));
}

TEST_CASE("pool claim: a claim may end on another thread than it began") {
    as_each([](as kind) {
        pool<int> p(1);
        auto put = *p.claim_put();
        start(kind, [&p, mine = std::move(put)]() mutable {
            *mine = 8;
            mine.put();
            CHECK(p.try_put(0).code() == EAGAIN);
        }).join();
        auto take = *p.claim_take();
        CHECK(*take == 8);
        start(kind, [mine = std::move(take)]() mutable { mine.take(); }).join();
        CHECK(fill(p) == 1);
    });
}

TEST_CASE("pool claim: claims wait for a slot or a message, and what frees one wakes them") {
    as_each([](as kind) {
        pool<int> p(1);
        auto held = *p.claim_put();
        auto putter = start(kind, [&] {
            auto claim = p.claim_put();
            CHECK(claim);
            if (!claim) return;
            **claim = 4;
            claim->put();
        });
        until_putters_sleep(p, 1);
        held.drop();  // dropped
        putter.join();
        CHECK(p.take().value_or(-1) == 4);

        auto taker = start(kind, [&] {
            auto claim = p.claim_take();
            CHECK(claim);
            if (!claim) return;
            CHECK(**claim == 5);
            claim->take();
        });
        until_takers_sleep(p, 1);
        CHECK(p.put(5));
        taker.join();
    });
}

TEST_CASE("pool claim: a message that is given back wakes a taker") {
    as_each([](as kind) {
        pool<int> p(2);
        CHECK(p.put(6));
        auto held = *p.claim_take();
        auto taker = start(kind, [&] { CHECK(p.take().value_or(-1) == 6); });
        until_takers_sleep(p, 1);
        held.drop();
        taker.join();
        CHECK(p.wait_until_empty(within(0s)));
    });
}

namespace {

// Every call that ends or begins a claim, in a random order, beside a model of what the pool holds.
class claims_at_random {
public:
    claims_at_random(std::size_t capacity, unsigned seed) : pool_(capacity), random_(seed) {}

    void step() {
        switch (random_() % 8) {
            case 0:
                return put();
            case 1:
                return take();
            case 2:
                return claim_put();
            case 3:
                return claim_take();
            case 4:
                return end(puts_, [&](auto& claim) {
                    full_.push_back(*claim);
                    claim.put();
                });
            case 5:
                return end(puts_, [](auto&) {});
            case 6:
                return end(takes_, [](auto& claim) { claim.take(); });
            default:
                return end(takes_, [&](auto& claim) { full_.push_back(*claim); });
        }
    }

    void expect_counts() {
        CHECK(pool_.size() == full_.size() + takes_.size());
        const bool empty = full_.empty() && takes_.empty() && puts_.empty();
        CHECK(pool_.wait_until_empty(within(0s)).has_value() == empty);
    }

private:
    [[nodiscard]] std::size_t in_use() const { return full_.size() + puts_.size() + takes_.size(); }
    void put() {
        const bool room = in_use() < pool_.capacity();
        CHECK(pool_.try_put(++next_).has_value() == room);
        if (room) full_.push_back(next_);
    }
    void take() {
        const int expected = full_.empty() ? -1 : full_.front();
        CHECK(pool_.try_take().value_or(-1) == expected);
        if (!full_.empty()) full_.pop_front();
    }
    void claim_put() {
        const bool room = in_use() < pool_.capacity();
        auto claim = pool_.try_claim_put();
        CHECK(claim.has_value() == room);
        if (!claim) return;
        **claim = ++next_;
        puts_.push_back(std::move(*claim));
    }
    void claim_take() {
        auto claim = pool_.try_claim_take();
        CHECK(claim.has_value() == !full_.empty());
        if (!claim) return;
        CHECK(**claim == full_.front());
        full_.pop_front();
        takes_.push_back(std::move(*claim));
    }
    template <class Claims, class F>
    void end(Claims& claims, F how) {
        if (claims.empty()) return;
        auto chosen = claims.begin();
        std::advance(chosen, random_() % claims.size());
        how(*chosen);
        claims.erase(chosen);
    }

    pool<int> pool_;
    std::minstd_rand random_;
    int next_ = 0;
    std::deque<int> full_;
    std::list<pool<int>::claim_to_put> puts_;
    std::list<pool<int>::claim_to_take> takes_;
};

}  // namespace

TEST_CASE("pool claim: claims that begin and end in any order keep every message and its turn") {
    for (const std::size_t capacity : {1U, 2U, 3U, 7U, 64U}) {
        for (unsigned seed = 1; seed <= 10; ++seed) {
            CAPTURE(capacity);
            CAPTURE(seed);
            claims_at_random run(capacity, seed);
            for (int i = 0; i < 300; ++i) {
                run.step();
                run.expect_counts();
            }
        }
    }
}
