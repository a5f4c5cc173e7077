// Whether a runtime's wires run, and since when the same turn of theirs lasts: for the thread that
// watches for stalls (io/stall_watch.cpp).
//
// A turn is one call of scheduler::run_ready(). Many wires may run in it; but as each switch looks
// at the inbox, whoever puts something there knows that a turn which lasts on has not switched
// since. So nothing is counted at a switch.
#pragma once

#include <atomic>
#include <cstdint>

#include "sync.hpp"

namespace wire::detail {

/// What the watching thread does, of which a process has one.
enum class watcher : std::uint32_t {
    looks,   // now and then; or there is none
    sleeps,  // until a turn begins
    called   // it has been woken
};

/// A `watcher`; the futex on which it sleeps. relaxed throughout: it orders nothing, and what has
/// come too late is seen at the next look.
inline constinit real_sync::word watcher_does{static_cast<std::uint32_t>(watcher::looks)};

/// Makes the watching thread look. Any thread, also in a signal handler.
[[gnu::cold]] inline void call_watcher() noexcept {
    watcher_does.store(static_cast<std::uint32_t>(watcher::called), std::memory_order_relaxed);
    real_sync::futex_wake(watcher_does, 1);
}

struct pulse {
    /// Odd while a turn lasts. Written by the owner. relaxed: it publishes nothing.
    std::atomic<std::uint64_t> beats{0};
    /// What watches the runtime. The owner's, for the signal handler on its thread; another thread
    /// has no use for it.
    void* watched = nullptr;

    void begin() noexcept {
        step();
        if (watcher_does.load(std::memory_order_relaxed) ==
            static_cast<std::uint32_t>(watcher::sleeps)) [[unlikely]]
            call_watcher();
    }
    void end() noexcept { step(); }

private:
    void step() noexcept {
        beats.store(beats.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
};

}  // namespace wire::detail
