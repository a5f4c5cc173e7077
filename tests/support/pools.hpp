// What the tests of pools share: users of a pool, as plain threads or as wires of a thread.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include <wire/pool.hpp>
#include <wire/runtime.hpp>

namespace wire::test {

enum class as { thread, wire };

/// Runs `fn()` as a wire of a runtime of its own, on this thread.
template <class F>
void run_as_wire(F fn) {
    // Assertions of the test framework need deeper stacks than wires usually have.
    runtime rt({.stack = {.size = 256 * 1024}});
    rt.go([&fn] { fn(); });
    CHECK(rt.run());
}

/// Runs `fn()` on this thread: as it is, or in a wire.
template <class F>
void run(as kind, F fn) {
    if (kind == as::thread)
        fn();
    else
        run_as_wire(std::move(fn));
}

/// Runs `fn()` on a new thread: as it is, or in a wire.
template <class F>
[[nodiscard]] std::jthread start(as kind, F fn) {
    return std::jthread([kind, fn = std::move(fn)]() mutable { run(kind, std::move(fn)); });
}

template <class F>
void as_each(F f) {
    for (const as kind : {as::thread, as::wire}) {
        CAPTURE(static_cast<int>(kind));
        f(kind);
    }
}

// Return when so many have found the pool full, or empty, and gone to sleep. What is done then
// either wakes them, or they see it when they look for the last time.
template <class Pool>
void until_putters_sleep(Pool& p, std::uint64_t n) {
    while (p.statistics().put_sleeps < n) std::this_thread::yield();
}
template <class Pool>
void until_takers_sleep(Pool& p, std::uint64_t n) {
    while (p.statistics().take_sleeps < n) std::this_thread::yield();
}

/// Puts until there is no room. Returns how many it has put.
template <class T>
std::size_t fill(pool<T>& p) {
    std::size_t n = 0;
    while (p.try_put(T{})) ++n;
    return n;
}
/// Takes until there is nothing. Returns how many it has taken.
template <class T>
std::size_t drain(pool<T>& p) {
    std::size_t n = 0;
    while (p.try_take()) ++n;
    return n;
}

}  // namespace wire::test
