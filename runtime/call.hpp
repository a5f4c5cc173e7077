// A call: a thread, or a wire, lets a wire of another runtime work and waits for what comes of it.
//
// One node, on the heap, goes to and fro. It has two owners, caller and callee, with a reference
// each; whoever comes last frees it, so neither ever looks at what is gone.
//
//     caller                                   callee, on its runtime's thread
//     makes the node, posts `request` ───────► opened: starts a wire, which runs the callable
//     waits: a thread on the word,             the outcome is written into the node
//       a wire in park()                       finish()
//       ▲                                        │ the word; or posts `reply` to the caller's inbox
//       └────────────────────────────────────────┘
//     takes the outcome, drops its reference   drops its reference; the reply takes it along
//
// A caller that stops waiting says so: give_up(). Of that and finish() one comes first:
//
//     finish() first    the outcome is there, and the caller takes it after all
//     give_up() first   nobody wants the outcome. The caller posts `abort`, which takes its
//                       reference along and cancels the wire there. A call that has not begun by
//                       then never does.
//
// If the callee's runtime ends first, a request that was not opened, and a wire that has not ended,
// finish with EPIPE; so a caller never waits for a runtime that is gone.
#pragma once

#include <atomic>
#include <cstdint>

namespace wire::detail {

/// What the two sides of a call agree on.
template <class Sync>
class basic_call {
public:
    /// The outcome is written. Returns whether the caller waits for it, who then must be told; if
    /// not, nobody will look at it. Callee only, once.
    bool finish() noexcept {
        // [K] release: the outcome is visible to the caller. Pairs with [K'] and [J].
        return (state_.fetch_or(finished, std::memory_order_release) & given_up) == 0;
    }
    /// Whether nobody waits for it any more. Callee only.
    [[nodiscard]] bool is_given_up() const noexcept {
        // relaxed: a hint that saves work; finish() decides.
        return (state_.load(std::memory_order_relaxed) & given_up) != 0;
    }
    /// Lets await() return. Callee only, after finish().
    void notify() noexcept { Sync::futex_wake(state_, 1); }

    /// Whether the outcome is there. Caller only.
    [[nodiscard]] bool is_finished() const noexcept {
        // [K'] acquire: the outcome. Pairs with [K].
        return (state_.load(std::memory_order_acquire) & finished) != 0;
    }
    /// The caller waits no more. False: too late, the outcome is there. Caller only, once.
    bool give_up() noexcept {
        // [J] acquire: the outcome, if it is there. Pairs with [K].
        return (state_.fetch_or(given_up, std::memory_order_acquire) & finished) == 0;
    }
    /// Blocks the thread until notify(); false if `until` passes first. Caller only.
    template <class Deadline>
    bool await(Deadline until, bool (*has_passed)(Deadline)) noexcept {
        while (!is_finished()) {
            if (has_passed(until)) return false;
            Sync::futex_wait(state_, 0, until);
        }
        return true;
    }

    /// One of the two owners is done with the node. Returns whether it was the last: it frees it.
    [[nodiscard]] bool drop() noexcept {
        // [H] acq_rel: all that was done with the node happens before its end. Pairs with itself.
        return references_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    }

private:
    static constexpr std::uint32_t finished = 1, given_up = 2;
    typename Sync::word state_{0};
    typename Sync::template atomic<std::uint32_t> references_{2};
};

}  // namespace wire::detail
