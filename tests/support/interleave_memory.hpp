// The memory in which the threads of an execution meet. See interleave.hpp.
//
// Values: TSO as on x86. A store goes into its thread's FIFO buffer, which the thread itself reads
// first; an entry reaches memory at any later time. Only moments that somebody can tell apart are
// tried: an entry stays in the buffer until its thread passes a barrier, until another thread
// touches the same place (surface(): one choice per touch), or until a thread that spins could not
// go on otherwise.
//
// Clocks: vector clocks run beside the values and grow only along acquire and release. They change
// no execution; tracked<> finds with them what nothing but TSO holds together.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "interleave_search.hpp"

namespace interleave::detail {

constexpr std::size_t threads_max = 5;

/// A vector clock: for each thread, how far what it did is known.
struct clock {
    std::uint32_t of[threads_max + 1] = {};

    void join(const clock& other) {
        for (std::size_t i = 0; i <= threads_max; ++i)
            if (of[i] < other.of[i]) of[i] = other.of[i];
    }
    [[nodiscard]] bool covers(const clock& earlier) const {
        for (std::size_t i = 0; i <= threads_max; ++i)
            if (of[i] < earlier.of[i]) return false;
        return true;
    }
};

inline bool acquires(std::memory_order o) {
    return o != std::memory_order_relaxed && o != std::memory_order_release;
}
inline bool releases(std::memory_order o) {
    return o != std::memory_order_relaxed && o != std::memory_order_acquire;
}

/// Every thread is known by its number; 0 is the scenario's own frame.
class tso_memory {
public:
    tso_memory(search& s, trace& t) : search_(s), trace_(t) {}

    void reset() {
        for (std::size_t i = 0; i <= threads_max; ++i) {
            views_[i].now = {};
            views_[i].now.of[i] = 1;
            views_[i].changes = 0;
        }
        places_.clear();
        learnt_.clear();
        changes_ = 0;
    }

    /// The threads begin: what the frame did comes before.
    void fork() {
        for (view& v : views_) v.now.join(views_[0].now);
        tick(0);
    }
    /// The threads have ended: what they did comes before what the frame does.
    void merge() {
        drain_all();
        for (const view& v : views_) views_[0].now.join(v.now);
    }

    std::uint64_t load(std::size_t me, cell from, std::memory_order order) {
        if (const buffered* own = newest(views_[me], from.at)) {
            // Or it has arrived and been overwritten by a store that others still buffer.
            if (!others_buffer(me, from.at) || search_.choose(2) == 0) {
                trace_.access(me, "load own", from, own->bits);
                return own->bits;
            }
            while (newest(views_[me], from.at)) drain_one(me);
        }
        surface(me, from);
        if (acquires(order)) acquire(me, from.at);
        trace_.access(me, "load", from, from.get());
        return from.get();
    }

    void store(std::size_t me, cell to, std::uint64_t bits, std::memory_order order) {
        trace_.access(me, "store", to, bits);
        view& v = views_[me];
        const bool at_once = order == std::memory_order_seq_cst || me == 0;  // xchg
        if (at_once) drain(me);
        buffered& b = v.buffer.emplace_back();
        b.to = to;
        b.bits = bits;
        b.releases = releases(order);
        b.released = v.now;
        ++buffered_;
        if (releases(order)) tick(me);
        if (at_once) drain_one(me);
    }

    /// Read-modify-write: `next` makes the new value from the old, or nullopt if the operation
    /// fails. Returns the old one. On x86 it is a full barrier in both cases.
    template <class F>
    std::uint64_t update(std::size_t me, cell at, std::memory_order success,
                         std::memory_order failure, F next) {
        drain(me);
        surface(me, at);
        const std::uint64_t old = at.get();
        const std::optional<std::uint64_t> bits = next(old);
        if (acquires(bits ? success : failure)) acquire(me, at.at);
        if (bits) {
            if (releases(success)) {
                released(at.at).join(views_[me].now);
                tick(me);
            }
            write(me, at, *bits);
            trace_.access(me, "change to", at, *bits);
        } else {
            trace_.access(me, "leave", at, old);
        }
        return old;
    }

    void barrier(std::size_t me) { drain(me); }

    /// membarrier(2): every thread passes a barrier, somewhere within.
    void heavy_fence(std::size_t me) {
        trace_.line(me, "heavy fence");
        drain_all();
        for (const view& v : views_) views_[me].now.join(v.now);
        for (view& v : views_) v.now.join(views_[me].now);
        for (std::size_t t = 0; t <= threads_max; ++t) tick(t);
    }

    /// The object at `at` ends: what is on its way there arrives, what is known of it is forgotten.
    void forget(cell at) {
        for (std::size_t t = 0; buffered_ > 0 && t <= threads_max; ++t)
            while (newest(views_[t], at.at)) drain_one(t);
        const std::size_t i = index_of(at.at);
        if (i == places_.size()) return;
        places_[i] = places_.back();
        places_.pop_back();
        learnt_[i] = learnt_.back();
        learnt_.pop_back();
    }

    /// How often memory was changed by other threads than `t`.
    [[nodiscard]] std::uint64_t changes_for(std::size_t t) const {
        return changes_ - views_[t].changes;
    }
    /// Whether stores of others than `t` are on their way.
    [[nodiscard]] bool others_buffer(std::size_t t) const {
        return buffered_ > views_[t].buffer.size();
    }
    /// Makes at least one of them arrive.
    void bring_a_change(std::size_t t) {
        std::vector<std::size_t> sources;
        for (std::size_t i = 0; i <= threads_max; ++i)
            if (i != t && !views_[i].buffer.empty()) sources.push_back(i);
        const std::size_t from = sources[search_.choose(sources.size())];
        for (std::size_t n = 1 + search_.choose(views_[from].buffer.size()); n > 0; --n)
            drain_one(from);
    }
    void drop_buffers() {
        for (view& v : views_) v.buffer.clear();
        buffered_ = 0;
    }

    [[nodiscard]] const clock& now(std::size_t t) const { return views_[t].now; }

private:
    struct buffered {
        cell to;
        std::uint64_t bits;
        bool releases;
        clock released;
    };
    struct view {  // a thread's
        std::vector<buffered> buffer;
        clock now{};
        std::uint64_t changes = 0;  // that it made
        bool draining = false;      // the front of its buffer is on its way
    };

    [[nodiscard]] bool others_buffer(std::size_t t, const void* at) const {
        for (std::size_t i = 0; i <= threads_max; ++i)
            if (i != t && newest(views_[i], at)) return true;
        return false;
    }

    static const buffered* newest(const view& v, const void* at) {
        for (std::size_t i = v.buffer.size(); i-- > 0;)
            if (v.buffer[i].to.at == at) return &v.buffer[i];
        return nullptr;
    }

    // Somebody touches `at`: the stores of others to it may have arrived by now, or not.
    void surface(std::size_t toucher, cell at) {
        if (!others_buffer(toucher)) return;
        for (std::size_t t = 0; t <= threads_max; ++t) {
            view& v = views_[t];
            if (t == toucher || v.draining || v.buffer.empty()) continue;
            const auto n = std::count_if(v.buffer.begin(), v.buffer.end(),
                                         [&](const buffered& b) { return b.to.at == at.at; });
            for (auto k = search_.choose(static_cast<std::size_t>(n) + 1); k > 0;)
                if (drain_one(t) == at.at) --k;
        }
    }

    const void* drain_one(std::size_t t) {
        view& v = views_[t];
        // Stores of others to the same place may come first; those of a thread that itself waits
        // for this one to arrive may not.
        v.draining = true;
        surface(t, v.buffer.front().to);
        v.draining = false;
        const buffered& b = v.buffer.front();
        if (b.releases)
            released(b.to.at) = b.released;
        else if (clock* const known = find(b.to.at))
            *known = {};
        write(t, b.to, b.bits);
        trace_.access(t, "  arrives", b.to, b.bits);
        const void* const at = b.to.at;
        v.buffer.erase(v.buffer.begin());
        --buffered_;
        return at;
    }

    void drain(std::size_t t) {
        while (!views_[t].buffer.empty()) drain_one(t);
    }
    void drain_all() {
        for (std::size_t t = 0; t <= threads_max; ++t) drain(t);
    }

    void write(std::size_t by, cell to, std::uint64_t bits) {
        if (to.get() == bits) return;
        ++changes_;
        ++views_[by].changes;
        to.set(bits);
    }

    // What the thread does from now on is later than what it has published.
    void tick(std::size_t me) { ++views_[me].now.of[me]; }
    clock* find(const void* at) {
        const std::size_t i = index_of(at);
        return i < places_.size() ? &learnt_[i] : nullptr;
    }
    [[nodiscard]] std::size_t index_of(const void* at) const {
        std::size_t i = 0;
        while (i < places_.size() && places_[i] != at) ++i;
        return i;
    }
    clock& released(const void* at) {
        if (clock* known = find(at)) return *known;
        places_.push_back(at);
        return learnt_.emplace_back();
    }
    void acquire(std::size_t me, const void* at) {
        if (const clock* known = find(at)) views_[me].now.join(*known);
    }

    search& search_;
    trace& trace_;
    view views_[threads_max + 1];
    std::size_t buffered_ = 0;         // in all buffers
    std::vector<const void*> places_;  // of releases; searched often, so they lie side by side
    std::vector<clock> learnt_;        // by who acquires the place of the same index
    std::uint64_t changes_ = 0;
};

}  // namespace interleave::detail
