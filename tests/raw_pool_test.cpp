// raw_pool: what is different from pool<T>.
#include <wire/raw_pool.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include <wire/spawn.hpp>
#include "support/count_malloc.hpp"
#include "support/dies.hpp"
#include "support/io.hpp"
#include "support/on_wire.hpp"
#include "support/trace.hpp"

namespace wire::test {
namespace {

using bytes = std::span<std::byte>;

template <class T>
bytes bytes_of(T& value) {
    return std::as_writable_bytes(std::span(&value, 1));
}

struct record {
    char text[11];
    std::uint8_t number;
};

record numbered(int n) {
    record r{};
    r.number = static_cast<std::uint8_t>(n);
    return r;
}

}  // namespace

TEST_CASE("raw pool: elements are copied in and out, in the order of one producer") {
    raw_pool p(3, sizeof(record));
    CHECK(p.element_size() == 12);
    CHECK(p.capacity() == 3);
    for (int lap = 0; lap < 4; ++lap) {
        for (int i = 0; i < 3; ++i) {
            record r = numbered(i);
            CHECK(p.put(bytes_of(r)));
        }
        record more = numbered(9), got{};
        CHECK(p.try_put(bytes_of(more)).code() == EAGAIN);
        for (int i = 0; i < 3; ++i) {
            CHECK(p.take(bytes_of(got)));
            CHECK(got.number == i);
        }
        CHECK(p.try_take(bytes_of(got)).code() == EAGAIN);
        CHECK(got.number == 2);
    }
}

TEST_CASE("raw pool: swaps leave in the caller's hands what the slot held") {
    raw_pool p(1, sizeof(int));
    p.for_each([](bytes element, std::size_t i) {
        const int n = 100 + static_cast<int>(i);
        std::memcpy(element.data(), &n, sizeof(n));
    });
    int mine = 1;
    CHECK(p.put_swap(bytes_of(mine)));
    CHECK(mine == 100);
    CHECK(p.try_put_swap(bytes_of(mine)).code() == EAGAIN);
    CHECK(p.take_swap(bytes_of(mine)));
    CHECK(mine == 1);
    CHECK(p.try_take_swap(bytes_of(mine)).code() == EAGAIN);
    CHECK(p.try_put_swap(bytes_of(mine)));
    CHECK(mine == 100);
}

TEST_CASE("raw pool: claims show the bytes of the slot, and drop as a pool's do") {
    raw_pool p(1, 3);
    {
        auto claim = p.claim_put().value();
        CHECK((*claim).size() == 3);
        CHECK((*claim)[2] == std::byte{0});
        (*claim)[2] = std::byte{7};
        CHECK(p.try_claim_put().code() == EAGAIN);
    }
    auto again = p.try_claim_put().value();
    again.put();
    {
        const auto seen = p.try_claim_take().value();
        CHECK((*seen)[2] == std::byte{7});
    }
    auto taken = p.claim_take().value();
    taken.take();
    CHECK(p.try_claim_take().code() == EAGAIN);
}

TEST_CASE("raw pool: an element is aligned as its size allows, in any memory") {
    for (const std::size_t size : {1u, 2u, 3u, 4u, 12u, 16u, 24u, 64u, 100u, 128u}) {
        CAPTURE(size);
        const std::size_t aligned = std::min(size & ~(size - 1), std::size_t{64});
        std::vector<std::byte> storage(raw_pool::storage_size(5, size) + 1);
        const bytes odd = bytes(storage).subspan(1);
        raw_pool lent(odd, size), own(5, size);
        CHECK(lent.capacity() >= 5);
        for (raw_pool* p : {&lent, &own})
            p->for_each([&](bytes element, std::size_t) {
                CHECK(element.size() == size);
                CHECK(reinterpret_cast<std::uintptr_t>(element.data()) % aligned == 0);
                CHECK(element[size - 1] == std::byte{0});
            });
    }
}

TEST_CASE("raw pool: what is not of the element's size breaks the contract") {
    raw_pool p(1, 8);
    std::array<std::byte, 7> seven{};
    CHECK(dies([&] { static_cast<void>(p.put(seven)); }, "not of the element's size"));
    CHECK(dies([&] { static_cast<void>(p.take(seven)); }, "not of the element's size"));
    CHECK(dies([&] { static_cast<void>(p.put_swap(seven)); }, "not of the element's size"));
    CHECK(dies([] { raw_pool(1, 0); }, "at least one byte"));
    CHECK(dies([] { raw_pool(0, 1); }, "at least 1"));
    CHECK(dies([&] { raw_pool(std::span(seven), 8); }, "no room for one element"));
    std::array<std::byte, 256> storage{};
    for (const std::size_t size : {std::size_t{0} - 1, std::size_t{0} - 8})
        CHECK(dies([&] { raw_pool(std::span(storage), size); }, "no room for one element"));
}

TEST_CASE("raw pool: closed, reopened, emptied, counted") {
    raw_pool p(2, 4);
    int n = 5;
    CHECK(p.put(bytes_of(n)));
    p.close();
    CHECK(p.put(bytes_of(n)).code() == EPIPE);
    CHECK(p.take(bytes_of(n)));
    CHECK(p.take(bytes_of(n)).code() == EPIPE);
    CHECK(p.wait_until_empty());
    p.reopen();
    CHECK(p.put(bytes_of(n)));
    CHECK(p.statistics().puts == 2);
    CHECK(p.statistics().takes == 1);
    CHECK(p.size() == 1);
}

TEST_CASE("raw pool: several elements at a time") {
    raw_pool p(3, sizeof(int));
    std::array<int, 4> in{1, 2, 3, 4}, out{};
    CHECK(p.put_some(std::as_bytes(std::span(in))).value() == 3);
    CHECK(p.try_put_some(std::as_bytes(std::span(in))).code() == EAGAIN);
    CHECK(p.take_some(std::as_writable_bytes(std::span(out).first(2))).value() == 2);
    CHECK(p.try_put_some(std::as_bytes(std::span(in).last(1))).value() == 1);
    CHECK(p.try_take_some(std::as_writable_bytes(std::span(out).last(2))).value() == 2);
    CHECK(out == in);
    CHECK(p.try_take_some(std::as_writable_bytes(std::span(out))).code() == EAGAIN);
    CHECK(p.put_some({}).value() == 0);
    CHECK(dies([&] { static_cast<void>(p.put_some(std::as_bytes(std::span(in)).first(3))); },
               "a span that is not a number of whole elements"));
}

TEST_CASE("raw pool: a deadline that passes ends each wait, and nothing is copied") {
    raw_pool full(1, sizeof(int)), empty(1, sizeof(int));
    int mine = 1, kept = 7;
    CHECK(full.put(bytes_of(mine)));
    const auto expect_timeouts = [&](std::chrono::milliseconds wait) {
        CHECK(full.put(bytes_of(kept), within(wait)).code() == ETIMEDOUT);
        CHECK(full.put_swap(bytes_of(kept), within(wait)).code() == ETIMEDOUT);
        CHECK(full.claim_put(within(wait)).code() == ETIMEDOUT);
        CHECK(full.wait_until_empty(within(wait)).code() == ETIMEDOUT);
        CHECK(empty.take(bytes_of(kept), within(wait)).code() == ETIMEDOUT);
        CHECK(empty.take_swap(bytes_of(kept), within(wait)).code() == ETIMEDOUT);
        CHECK(empty.claim_take(within(wait)).code() == ETIMEDOUT);
    };
    expect_timeouts(0ms);
    expect_timeouts(1ms);
    on_wire([&](sim& s) {
        expect_timeouts(10ms);
        CHECK(s.ms() == 70);
    });
    CHECK(kept == 7);
    CHECK(full.size() == 1);
    CHECK(empty.size() == 0);
}

TEST_CASE("raw pool: each wait of a wire that is cancelled ends, and nothing is copied") {
    raw_pool full(1, sizeof(int)), empty(1, sizeof(int));
    int mine = 1, kept = 7;
    CHECK(full.put(bytes_of(mine)));
    const std::function<int()> waits[] = {
        [&] { return full.put(bytes_of(kept)).code(); },
        [&] { return full.put_swap(bytes_of(kept)).code(); },
        [&] { return full.claim_put().code(); },
        [&] { return full.wait_until_empty().code(); },
        [&] { return empty.take(bytes_of(kept)).code(); },
        [&] { return empty.take_swap(bytes_of(kept)).code(); },
        [&] { return empty.claim_take().code(); },
    };
    on_wire([&] {
        for (const auto& wait : waits) {
            auto early = spawn(wait), asleep = spawn(wait);
            early.cancel();
            // Time passes when all wait.
            CHECK(sleep(within(1ms)));
            asleep.cancel();
            CHECK(early.join().value_or(0) == ECANCELED);
            CHECK(asleep.join().value_or(0) == ECANCELED);
        }
    });
    CHECK(kept == 7);
    CHECK(full.size() == 1);
    CHECK(empty.size() == 0);
}

TEST_CASE("raw pool: claims wait for a slot or a message, and what frees one wakes them") {
    raw_pool p(1, sizeof(int), {.wait = waiting::park});
    trace log;
    on_wire([&] {
        auto held = p.claim_put().value();
        auto putter = spawn([&] {
            auto claim = p.claim_put().value();
            (*claim)[0] = std::byte{4};
            log("put");
            claim.put();
        });
        CHECK(sleep(within(1ms)));
        log("drop");
        held.drop();
        CHECK(putter.join());
        p.claim_take().value().take();

        auto taker = spawn([&] {
            auto claim = p.claim_take().value();
            log("take", static_cast<int>((*claim)[0]));
            claim.take();
        });
        CHECK(sleep(within(1ms)));
        int five = 5;
        log("put", five);
        CHECK(p.put(bytes_of(five)));
        CHECK(taker.join());
        CHECK(p.statistics().put_sleeps == 1);
        CHECK(p.statistics().take_sleeps == 1);
    });
    CHECK(log == trace{"drop", "put", "put5", "take5"});
}

TEST_CASE("raw pool: nothing is allocated after the start") {
    if (!counts_allocations()) return;
    raw_pool p(4, 16);
    std::array<std::byte, 16> element{};
    const auto rounds = [&] {
        for (int i = 0; i < 100; ++i) {
            CHECK(p.put(element));
            CHECK(p.take_swap(element));
        }
    };
    rounds();
    const allocation_count count;
    rounds();
    CHECK(count.value() == 0);
}

TEST_CASE("raw pool: between a thread and a wire") {
    constexpr int messages = 20'000;
    raw_pool p(7, sizeof(int));
    std::thread giver([&] {
        for (int i = 0; i < messages; ++i) CHECK(p.put(bytes_of(i)));
        p.close();
    });
    on_wires([&] {
        int got = 0, expected = 0;
        while (p.take(bytes_of(got))) CHECK(got == expected++);
        CHECK(expected == messages);
    });
    giver.join();
}

}  // namespace wire::test
