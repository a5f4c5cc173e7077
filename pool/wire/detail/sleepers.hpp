// Those that wait for something that other threads bring: an event count.
//
// The one that waits and the one that brings each store something, then look at what the other
// stores. Nobody is overlooked:
//
//     sleeper                                 bringer
//     1. takes its place: count_ grows        1. brings it
//     2. heavy fence                          2. light fence
//     3. looks whether it is there; if not:   3. count_ > 0: signals the place that has waited
//        sleeps until it is signalled            longest
//
// The heavy fence makes every thread pass a barrier, so that the bringer, who does this for each
// message, needs only a compiler's. Where there is no such fence count_ is never 0, and the list's
// lock is one. A signal says: look again. It is lost only on one who does not
// look; such a one passes it on. Nobody who brings something makes a system call, or writes, while
// nobody waits.
//
// The places are in their sleepers' frames. Each is in the list (queued) until somebody signals it
// or its sleeper leaves; the list's lock decides which comes first.
//
// Source of the idea: D. Vyukov's and folly's event counts; here the count is of places.
#pragma once

#include <atomic>
#include <cstdint>

#include <wire/config.hpp>
#include <wire/detail/list.hpp>

namespace wire::detail {

template <class Sync>
class basic_sleepers : immovable {
public:
    using place = typename Sync::place;

    basic_sleepers() noexcept {
        if (!Sync::has_heavy_fence()) set_count(1);
    }

    /// `here` waits from now on. Its sleeper must look again before it sleeps.
    void enter(place& here) noexcept { enter(here, &list<place>::push_back); }
    /// The same for one that was signalled, but found nothing any more: it is the next.
    void enter_first(place& here) noexcept { enter(here, &list<place>::push_front); }

    /// `here` no longer waits. Returns false if it has been signalled.
    bool leave(place& here) noexcept {
        lock();
        const bool queued = here.linked();
        if (queued) take_out(here);
        unlock();
        return queued;
    }

    /// Something was brought: signals one that waits, if any does.
    [[gnu::always_inline]] void notify_one() noexcept {
        Sync::light_fence();
        if (count() != 0) [[unlikely]]
            signal_first();
    }

    /// Several things were brought.
    void notify_some(std::uint32_t n) noexcept {
        Sync::light_fence();
        while (n > 0 && count() != 0 && signal_first()) --n;
    }

    void notify_all() noexcept {
        Sync::light_fence();
        if (count() == 0) return;
        // Those that come later look for themselves. Counted with the lock, which is the fence
        // where there is no heavy one.
        lock();
        std::uint32_t n = count();
        unlock();
        for (; n > 0 && signal_first(); --n) {
        }
    }

    /// How often somebody has taken a place here.
    [[nodiscard]] std::uint64_t entered() noexcept {
        lock();
        const std::uint64_t n = entered_;
        unlock();
        return n;
    }

    /// How many wait. A hint, but to who has just made a fence.
    [[nodiscard]] std::uint32_t count() const noexcept {
        // relaxed: the fences order it.
        return count_.load(std::memory_order_relaxed);
    }

private:
    void enter(place& here, void (list<place>::*push)(place&) noexcept) noexcept {
        lock();
        (places_.*push)(here);
        here.reset();
        ++entered_;
        set_count(count() + 1);
        unlock();
        Sync::heavy_fence();
    }

    [[gnu::cold, gnu::noinline]] bool signal_first() noexcept {
        for (;;) {
            lock();
            if (places_.empty()) {
                unlock();
                return false;
            }
            place& first = places_.front();
            take_out(first);
            // Once the lock is free the place may be gone; its bell may be rung all the same.
            const auto bell = first.signal();
            unlock();
            if (bell.ring()) return true;
        }
    }

    void take_out(place& p) noexcept {
        p.unlink();
        set_count(count() - 1);
    }
    void set_count(std::uint32_t n) noexcept { count_.store(n, std::memory_order_relaxed); }

    void lock() noexcept {
        // relaxed: a hint. [L] acquire: the list. Pairs with [U].
        for (unsigned round = 0; lock_.load(std::memory_order_relaxed) != 0 ||
                                 lock_.exchange(1, std::memory_order_acquire) != 0;
             ++round)
            Sync::relax(round);
    }
    void unlock() noexcept {
        // [U] release: the list. Pairs with [L].
        lock_.store(0, std::memory_order_release);
    }

    typename Sync::template atomic<std::uint32_t> count_{0};
    typename Sync::template atomic<std::uint32_t> lock_{0};
    // With the lock.
    list<place> places_;
    std::uint64_t entered_ = 0;
};

}  // namespace wire::detail
