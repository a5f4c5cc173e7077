// What a runtime shares with other threads. It lives as long as the runtime or a remote does.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include <wire/poller.hpp>
#include "generation.hpp"
#include "inbox.hpp"
#include "pulse.hpp"
#include "sync.hpp"

namespace wire::detail {

struct fiber;
class scheduler;

/// A wire's entry in its runtime's table. Its address is stable, and outlives the wire.
struct wire_slot : basic_request<real_sync> {
    wire_slot() noexcept;
    fiber* wire = nullptr;  // nullptr: the slot is free
    wire_slot* next_free = nullptr;
};

/// All slots, in chunks that double in size and never move. Owner only.
class wire_table {
public:
    /// Makes sure that n slots exist. Throws std::bad_alloc.
    void reserve(std::size_t n);
    wire_slot& take() noexcept {
        wire_slot& s = *free_;
        free_ = s.next_free;
        return s;
    }
    void give_back(wire_slot& s) noexcept {
        s.wire = nullptr;
        s.next_free = free_;
        free_ = &s;
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// The wire in the slot number `i`, which is below size(); nullptr if none.
    [[nodiscard]] fiber* at(std::size_t i) const noexcept {
        std::size_t c = 0;
        for (; i >= chunk_first << c; ++c) i -= chunk_first << c;
        return chunks_[c][i].wire;
    }

    /// Calls `f` with every wire that exists.
    template <class F>
    void for_each(F f) const {
        for (std::size_t c = 0; c < chunks_used_; ++c)
            for (std::size_t i = 0; i < chunk_first << c; ++i)
                if (fiber* const wire = chunks_[c][i].wire) f(*wire);
    }

private:
    static constexpr std::size_t chunk_first = 64;
    std::array<std::unique_ptr<wire_slot[]>, 40> chunks_;
    std::size_t chunks_used_ = 0;
    std::size_t size_ = 0;
    wire_slot* free_ = nullptr;
};

struct shared_state {
    /// Puts `node` into the inbox and wakes the runtime if it sleeps. False: the runtime is gone
    /// and the node stays the caller's. Any thread; asserts that it is not in a forked child.
    bool post(inbox_node& node) noexcept;
    /// Makes the runtime look around, once, and do `also`. False if it is gone. Any thread, also in
    /// a signal handler.
    bool nudge(request also = request::wake) noexcept;
    /// Makes run() return. False if the runtime is gone. Any thread.
    bool ask_to_stop() noexcept;
    /// Whether run() is to return, once. Owner only.
    bool take_stop() noexcept { return stop_.take(); }
    /// Whether this is not a forked child's copy. Any thread.
    [[nodiscard]] bool is_of_this_process() const noexcept {
        // relaxed: it is set once, before anybody forks who would care.
        const generation g = bound_in.load(std::memory_order_relaxed);
        return g == this_generation || g == 0;
    }
    void add_reference() noexcept;
    void drop_reference() noexcept;

    basic_inbox<real_sync> inbox;
    wire_table wires;
    // Whom post() notifies. Written by the owner while awake and settled; the inbox publishes it.
    poller* sleeps_in = nullptr;

    std::atomic<std::uint32_t> remotes{0};

    // Which thread the runtime belongs to: the place of its current_front. relaxed: compared
    // only, and equal only on the thread that has written it.
    std::atomic<const void*> owner{nullptr};

    // The process whose thread that is; 0: none yet. Written with `owner`.
    std::atomic<generation> bound_in{0};

    struct pulse pulse;

    struct nudge_node : basic_request<real_sync> {
        nudge_node() noexcept;
    } nudger;

private:
    basic_stop<real_sync> stop_;
    // The runtime and every remote hold one.
    std::atomic<std::uint32_t> references_{1};
};

}  // namespace wire::detail
