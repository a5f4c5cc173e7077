// The calls of pools that may block: see blocking_calls.hpp.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <optional>

#include <wire/pool.hpp>
#include "subject.hpp"

namespace wire::test {

// What is delivered is a message.
template <class Take>
subject of_pool_taker(Take take) {
    auto p = std::make_shared<pool<int>>(1);
    return {[p, take](deadline until) { return take(*p, until); }, [p] { CHECK(p->try_put(1)); },
            [p] { return p->try_take().has_value(); }};
}

inline subject of_pool_take() {
    return of_pool_taker([](pool<int>& p, deadline until) { return p.take(until).code(); });
}
inline subject of_pool_take_swap() {
    return of_pool_taker([](pool<int>& p, deadline until) {
        int value = 0;
        return p.take_swap(value, until).code();
    });
}
inline subject of_pool_take_some() {
    return of_pool_taker([](pool<int>& p, deadline until) {
        int row[2];
        return p.take_some(row, until).code();
    });
}
inline subject of_pool_claim_take() {
    return of_pool_taker([](pool<int>& p, deadline until) {
        auto claim = p.claim_take(until);
        if (claim) claim->take();
        return claim.code();
    });
}

// What is delivered is room: the only slot, which is full otherwise.
template <class Put>
subject of_pool_putter(Put put) {
    auto p = std::make_shared<pool<int>>(1);
    CHECK(p->try_put(0));
    return {[p, put](deadline until) { return put(*p, until); }, [p] { CHECK(p->try_take()); },
            [p] { return p->try_put(0).has_value(); }};
}

inline subject of_pool_put() {
    return of_pool_putter([](pool<int>& p, deadline until) { return p.put(1, until).code(); });
}
inline subject of_pool_put_swap() {
    return of_pool_putter([](pool<int>& p, deadline until) {
        int value = 1;
        return p.put_swap(value, until).code();
    });
}
inline subject of_pool_put_some() {
    return of_pool_putter([](pool<int>& p, deadline until) {
        int row[2] = {1, 2};
        return p.put_some(row, until).code();
    });
}
inline subject of_pool_claim_put() {
    return of_pool_putter([](pool<int>& p, deadline until) {
        auto claim = p.claim_put(until);
        if (claim) claim->put();
        return claim.code();
    });
}

// What is delivered is that nothing is inside; who has seen that puts something again.
inline subject of_pool_wait_until_empty() {
    auto p = std::make_shared<pool<int>>(1);
    CHECK(p->try_put(0));
    const auto refill = [p] { return p->try_put(0).has_value(); };
    return {[p, refill](deadline until) {
                const int code = p->wait_until_empty(until).code();
                if (code == 0) CHECK(refill());
                return code;
            },
            [p] { CHECK(p->try_take()); }, refill};
}

}  // namespace wire::test
