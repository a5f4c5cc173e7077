// The seal on the stacks of wires that have ended: who writes there is found.
#include "seal.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <thread>

#include <wire/spawn.hpp>
#include <wire/wire_pool.hpp>
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/io.hpp"

namespace wire::test {
namespace {

constexpr const char* sentence = "the stack of a wire that has ended was written to";

bool seals_stacks() {
    stack_cache cache({});
    const stack s = cache.acquire();
    return wire::detail::seal(s, s.top) != nullptr;
}

#define LEAVE_OUT_WITHOUT_SEALS() \
    WIRE_LEAVE_OUT_IF(!seals_stacks(), "seals need debug information, and no tool beside")

// A wire with such a buffer has ended, and its runtime has slept; returns where the buffer was.
template <std::size_t Size, class Start>
volatile std::byte* buffer_of_ended_wire(Start start) {
    std::uintptr_t where = 0;
    start([&] {
        std::array<volatile std::byte, Size> buffer;
        buffer[0] = std::byte{1};
        where = reinterpret_cast<std::uintptr_t>(buffer.data());
    });
    let_others_run();
    return reinterpret_cast<volatile std::byte*>(where);
}

template <class F>
void spawned(F f) {
    CHECK(spawn(f).join());
}

TEST_CASE("seal: a write to an ended wire's buffer ends the program when the next wire starts") {
    LEAVE_OUT_WITHOUT_SEALS();
    const auto write_late = [](auto write) {
        return dies(
            [&] {
                on_wires([&] {
                    write();
                    spawned([] {});
                });
            },
            sentence);
    };
    const auto start = [](auto f) { spawned(f); };
    CHECK(write_late([&] { *buffer_of_ended_wire<64>(start) = std::byte{2}; }));
    CHECK(write_late([&] { *buffer_of_ended_wire<16 * 1024>(start) = std::byte{2}; }));
    CHECK(write_late([&] { buffer_of_ended_wire<16 * 1024>(start)[10'000] = std::byte{2}; }));
    CHECK(write_late([&] {
        volatile std::byte* const at = buffer_of_ended_wire<4096>(start);
        std::jthread([at] { *at = std::byte{2}; }).join();
    }));
}

TEST_CASE("seal: also one to a wire of a pool, in the caller's memory") {
    LEAVE_OUT_WITHOUT_SEALS();
    CHECK(dies(
        [] {
            on_wires([] {
                alignas(64) static std::array<std::byte, 4 * 256 * 1024> memory;
                wire_pool pool(4, {.stack = {.size = 256 * 1024, .memory = memory}});
                const auto start = [&](auto f) { CHECK(pool.spawn(soon(), f)->join()); };
                *buffer_of_ended_wire<1024>(start) = std::byte{2};
                start([] {});
            });
        },
        sentence));
}

TEST_CASE("seal: stacks are used again, and again, with nothing found") {
    on_wires([] {
        for (int i = 0; i < 20; ++i) {
            for (int j = 0; j < 100; ++j)
                go([&, i] {
                    std::array<volatile std::byte, 3000> buffer;
                    buffer[static_cast<std::size_t>(i * 100)] = std::byte{1};
                    yield();
                });
            let_others_run();
        }
    });
}

TEST_CASE("seal: high_water() stays as it was") {
    LEAVE_OUT_WITHOUT_SEALS();
    stack_cache cache({});
    const stack s = cache.acquire();
    for (const std::size_t depth : {8u, 4096u, 10'000u, 60'000u, 60'000u}) {
        *(s.top - depth) = std::byte{1};
        std::byte* const from = wire::detail::seal(s, s.top);
        CHECK(from == s.top - depth);
        CHECK(high_water(s) == depth);
        wire::detail::check_seal(from, s.top);
    }
}

TEST_CASE("seal: a stack that was never used is not touched") {
    LEAVE_OUT_WITHOUT_SEALS();
    stack_cache cache({});
    const stack s = cache.acquire();
    CHECK(wire::detail::seal(s, s.top) == s.top);
    CHECK(high_water(s) == 0);
}

}  // namespace
}  // namespace wire::test
