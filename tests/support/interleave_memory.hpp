// The choices of an execution, and the memory in which its threads meet. See interleave.hpp.
//
// Values    TSO as on x86: a store goes into its thread's FIFO buffer, which the thread itself reads
//           first; an entry reaches memory at any later time. Only moments that somebody can tell
//           apart are tried: an entry stays in the buffer until its thread passes a barrier, until
//           another thread touches the same place (surface(): one choice per touch), or until a
//           thread that spins can go on only if something changes.
//
// Clocks    Vector clocks run beside the values and grow only along acquire and release. They change
//           no execution; tracked<> finds with them what nothing but TSO holds together.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace interleave {

/// The answers to all choices of one execution.
using schedule = std::vector<int>;

namespace detail {

constexpr std::size_t threads_max = 5;

/// Walks the tree of choices, depth first. The answers given so far are the path; the next
/// execution repeats it up to the last choice that has an answer left, and gives that.
class search {
public:
    explicit search(const schedule& start) {
        for (const int answer : start) path_.push_back({answer, 0});
    }

    std::size_t choose(std::size_t n) {
        if (n <= 1) return 0;
        if (position_ == path_.size()) path_.push_back({0, static_cast<int>(n)});
        choice& c = path_[position_++];
        if (c.of == 0) c.of = static_cast<int>(n);
        same_tree_ = same_tree_ && c.of == static_cast<int>(n) && c.answer < c.of;
        return same_tree_ ? static_cast<std::size_t>(c.answer) : 0;
    }

    void restart() { position_ = 0; }

    /// Turns to the next execution; false if there is none.
    bool advance() {
        for (; !path_.empty(); path_.pop_back())
            if (++path_.back().answer < path_.back().of) return true;
        return false;
    }

    /// False once the execution has met other choices than the one it repeats.
    [[nodiscard]] bool same_tree() const { return same_tree_ && position_ == path_.size(); }

    [[nodiscard]] schedule answers() const {
        schedule s;
        for (const choice& c : path_) s.push_back(c.answer);
        while (!s.empty() && s.back() == 0) s.pop_back();  // what is missing is answered by 0
        return s;
    }

private:
    struct choice {
        int answer;
        int of;  // 0: given by a schedule, not met yet
    };
    std::vector<choice> path_;
    std::size_t position_ = 0;
    bool same_tree_ = true;
};

/// Memory of at most eight bytes, whose value is treated as a number.
struct cell {
    void* at;
    std::size_t size;

    [[nodiscard]] std::uint64_t get() const {
        std::uint64_t bits = 0;
        std::memcpy(&bits, at, size);
        return bits;
    }
    void set(std::uint64_t bits) const { std::memcpy(at, &bits, size); }
};

/// What happened, line by line; kept only when a failed execution is repeated.
class trace {
public:
    void keep() { kept_ = true; }
    [[nodiscard]] const std::string& text() const { return text_; }

    [[gnu::format(printf, 3, 4)]] void line(std::size_t thread, const char* format, ...) {
        if (!kept_) return;
        char what[200];
        va_list args;
        va_start(args, format);
        std::vsnprintf(what, sizeof what, format, args);
        va_end(args);
        text_ += "  T" + std::to_string(thread) + "  " + what + "\n";
    }

    void access(std::size_t thread, const char* verb, cell at, std::uint64_t bits) {
        if (kept_) line(thread, "%-9s a%zu  %#llx", verb, number(at.at), 0ULL + bits);
    }

private:
    // Places are numbered in the order in which they are first touched.
    std::size_t number(const void* at) {
        const auto found = std::find(places_.begin(), places_.end(), at);
        const auto n = static_cast<std::size_t>(found - places_.begin());
        if (found == places_.end()) places_.push_back(at);
        return n;
    }

    bool kept_ = false;
    std::string text_;
    std::vector<const void*> places_;
};

using clock = std::array<std::uint32_t, threads_max + 1>;

inline void join(clock& into, const clock& from) {
    for (std::size_t i = 0; i < into.size(); ++i) into[i] = std::max(into[i], from[i]);
}
inline bool covers(const clock& later, const clock& earlier) {
    for (std::size_t i = 0; i < later.size(); ++i)
        if (later[i] < earlier[i]) return false;
    return true;
}

inline bool acquires(std::memory_order o) {
    return o != std::memory_order_relaxed && o != std::memory_order_release;
}
inline bool releases(std::memory_order o) {
    return o != std::memory_order_relaxed && o != std::memory_order_acquire;
}

class tso_memory {
public:
    tso_memory(search& s, trace& t) : search_(s), trace_(t) {}

    void reset() {
        views_ = {};
        for (std::size_t i = 0; i < views_.size(); ++i) views_[i].now[i] = 1;
        releases_.clear();
        changes_ = 0;
    }

    // Thread 0 is the scenario's own frame: what it did comes before all others, then after them.
    void fork() {
        for (view& v : views_) join(v.now, views_[0].now);
        tick(0);
    }
    void merge() {
        drain_all();
        for (view& v : views_) join(views_[0].now, v.now);
    }

    std::uint64_t load(std::size_t me, cell from, std::memory_order order) {
        if (const buffered* own = newest(views_[me], from.at)) {
            const bool maybe_overwritten = others_buffer(me, from.at);
            if (!maybe_overwritten || search_.choose(2) == 0) {
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
        std::optional<clock> released;
        if (releases(order)) released = tick(me);
        views_[me].buffer.push_back({to, bits, released});
        if (order == std::memory_order_seq_cst || me == 0) drain(me);  // xchg
    }

    /// Read-modify-write: `next` makes the new value from the old, or nullopt if the operation fails.
    /// Returns the old one. On x86 it is a full barrier in both cases.
    template <class F>
    std::uint64_t update(std::size_t me, cell at, std::memory_order success,
                         std::memory_order failure, F next) {
        drain(me);
        surface(me, at);
        const std::uint64_t old = at.get();
        const std::optional<std::uint64_t> bits = next(old);
        if (acquires(bits ? success : failure)) acquire(me, at.at);
        if (bits) {
            if (releases(success)) join(released(at.at), tick(me));
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
        for (view& v : views_) join(views_[me].now, v.now);
        for (view& v : views_) join(v.now, views_[me].now);
    }

    /// The object at `at` ends: what is on its way there arrives, what is known of it is forgotten.
    void forget(cell at) {
        for (std::size_t t = 0; t < views_.size(); ++t)
            while (newest(views_[t], at.at)) drain_one(t);
        std::erase_if(releases_, [&](const release& r) { return r.at == at.at; });
    }

    /// How often memory was changed by other threads than `t`.
    [[nodiscard]] std::uint64_t changes_for(std::size_t t) const {
        return changes_ - views_[t].changes;
    }
    [[nodiscard]] bool others_buffer(std::size_t t) const {
        for (std::size_t i = 0; i < views_.size(); ++i)
            if (i != t && !views_[i].buffer.empty()) return true;
        return false;
    }
    [[nodiscard]] bool others_buffer(std::size_t t, const void* at) const {
        for (std::size_t i = 0; i < views_.size(); ++i)
            if (i != t && newest(views_[i], at)) return true;
        return false;
    }
    /// Makes at least one store of another thread than `t` reach memory. There must be one.
    void bring_a_change(std::size_t t) {
        std::vector<std::size_t> sources;
        for (std::size_t i = 0; i < views_.size(); ++i)
            if (i != t && !views_[i].buffer.empty()) sources.push_back(i);
        const std::size_t from = sources[search_.choose(sources.size())];
        for (std::size_t n = 1 + search_.choose(views_[from].buffer.size()); n > 0; --n)
            drain_one(from);
    }
    void drop_buffers() {
        for (view& v : views_) v.buffer.clear();
    }

    [[nodiscard]] const clock& now(std::size_t t) const { return views_[t].now; }

private:
    struct buffered {
        cell to;
        std::uint64_t bits;
        std::optional<clock> released;
    };
    struct view {  // a thread's
        std::vector<buffered> buffer;
        clock now{};
        std::uint64_t changes = 0;  // that it made
        bool draining = false;      // the front of its buffer is on its way
    };
    struct release {
        const void* at;
        clock learnt;  // by who acquires it
    };

    static const buffered* newest(const view& v, const void* at) {
        for (std::size_t i = v.buffer.size(); i-- > 0;)
            if (v.buffer[i].to.at == at) return &v.buffer[i];
        return nullptr;
    }

    // Somebody touches `at`: the stores of others to it may have arrived by now, or not.
    void surface(std::size_t toucher, cell at) {
        for (std::size_t t = 0; t < views_.size(); ++t) {
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
        const buffered b = v.buffer.front();
        // Stores of others to the same place may come first; those of a thread that itself waits
        // for this one to arrive may not.
        v.draining = true;
        surface(t, b.to);
        v.draining = false;
        v.buffer.erase(v.buffer.begin());
        if (b.released || find(b.to.at)) released(b.to.at) = b.released.value_or(clock{});
        write(t, b.to, b.bits);
        trace_.access(t, "  arrives", b.to, b.bits);
        return b.to.at;
    }

    void drain(std::size_t t) {
        while (!views_[t].buffer.empty()) drain_one(t);
    }
    void drain_all() {
        for (std::size_t t = 0; t < views_.size(); ++t) drain(t);
    }

    void write(std::size_t by, cell to, std::uint64_t bits) {
        if (to.get() == bits) return;
        ++changes_;
        ++views_[by].changes;
        to.set(bits);
    }

    // The clock as it is published; what the thread does from now on is later.
    clock tick(std::size_t me) {
        const clock published = views_[me].now;
        ++views_[me].now[me];
        return published;
    }
    clock* find(const void* at) {
        for (release& r : releases_)
            if (r.at == at) return &r.learnt;
        return nullptr;
    }
    clock& released(const void* at) {
        if (clock* known = find(at)) return *known;
        return releases_.emplace_back(release{at, clock{}}).learnt;
    }
    void acquire(std::size_t me, const void* at) {
        if (const clock* known = find(at)) join(views_[me].now, *known);
    }

    search& search_;
    trace& trace_;
    std::array<view, threads_max + 1> views_;
    std::vector<release> releases_;
    std::uint64_t changes_ = 0;
};

}  // namespace detail
}  // namespace interleave
