// Kills a producer of a ring after each instruction of a call, and asks those who live on.
//
// The ring is the same all the time, so that anything that is lost with each child would soon be
// felt.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <functional>

#include "io.hpp"
#include "ring_survivors.hpp"
#include "single_step.hpp"

namespace wire::test {

using shm::producer;
using shm::ring;

inline constexpr std::size_t record_bytes = 40;
inline constexpr std::uint64_t record_space = shm::detail::record_word::space_for(record_bytes);

/// Five words that tell who has written them, which record it is and which of its words.
inline std::uint64_t word_of(pid_t who, int record, std::size_t i) {
    return static_cast<std::uint64_t>(who) << 16 | static_cast<unsigned>(record) << 8 | i;
}
inline std::string record_of(pid_t who, int record) {
    std::array<std::uint64_t, record_bytes / 8> words{};
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = word_of(who, record, i);
    return text_of(std::as_bytes(std::span(words)));
}
/// One word at a time, as a program would that builds it in place.
inline void fill(std::span<std::byte> room, int record) {
    const pid_t me = ::getpid();
    auto* const words = reinterpret_cast<volatile std::uint64_t*>(room.data());
    for (std::size_t i = 0; i < record_bytes / 8; ++i) words[i] = word_of(me, record, i);
}
inline bool claim_and_fill(producer& p, int record) {
    std::span<std::byte> room;
    if (p.try_claim(record_bytes, room) != 0) return false;
    fill(room, record);
    return true;
}

/// What was seen of a child before it was killed.
struct marks {
    int rounds = 0;
    int untouched = 0;     // neither a lane nor a word of its record
    int arriving = 0;      // it was about to have a lane
    int owned = 0;         // it had one
    int half_written = 0;  // some words of its record, not all, and it was not committed
    int written = 0;       // all of them, and it was not committed
    int committed = 0;
};

/// The ring, with lane 0 of a producer that survives, and lane 1 of the child; or only that.
class survivors {
public:
    explicit survivors(bool with_other) : childs_(with_other ? 1 : 0) {
        if (with_other) CHECK(other_.attach_fd(::dup(ring_.descriptor())).error == 0);
    }

    ring& the_ring() { return ring_; }
    int descriptor() const { return ring_.descriptor(); }
    const ring_memory& memory() const { return memory_; }
    bool others_send() { return other_.send(bytes_of("other")) == 0; }
    bool with_other() const { return other_.attached(); }
    void note_head() { before_ = memory_.head(childs_); }
    std::uint64_t childs_owner() const { return memory_.lane(childs_).owner.load(); }
    bool childs_lane_is_empty() const { return memory_.head(childs_) == memory_.tail(childs_); }

    /// What the consumer is to hear of a child that is killed now. `records`: how many it was to
    /// commit at once.
    heard expected(pid_t child, int records, marks& seen) const {
        heard all;
        const bool committed = memory_.head(childs_) != before_;
        const bool arriving = (childs_owner() & shm::detail::identity::arriving) != 0;
        const bool owned = childs_owner() != 0 && !arriving;
        seen.arriving += arriving;
        for (int i = 0; committed && i < records; ++i) all.push_back(record_of(child, i));
        if (owned) all.push_back("dead " + std::to_string(child));
        count(child, owned, committed, seen);
        return all;
    }
    /// After all of it: as if the child had never been.
    template <class Listener>
    std::string as_before(Listener& listener) {
        producer next;
        // A consumer that sleeps may have to be woken first, to look who has died.
        const deadline until = soon();
        int error;
        while ((error = next.attach_fd(::dup(ring_.descriptor())).error) == EUSERS &&
               shm::detail::system_sync::now_ns() < until.ns())
            listener.look();
        if (error != 0) return "nobody can attach: " + error_name(error);
        next.detach();
        return "";
    }

private:
    void count(pid_t child, bool owned, bool committed, marks& seen) const {
        const std::byte* const at = memory_.next_record(childs_, before_, record_space);
        int words = 0;
        for (std::size_t i = 0; i < record_bytes / 8; ++i) {
            const std::uint64_t expected = word_of(child, 0, i);
            words += std::memcmp(at + 8 * i, &expected, 8) == 0;
        }
        ++seen.rounds;
        seen.owned += owned;
        seen.committed += committed;
        seen.untouched += !owned && words == 0;
        seen.half_written += !committed && words > 0 && words < int{record_bytes / 8};
        seen.written += !committed && words == int{record_bytes / 8};
    }

    const std::uint32_t childs_;
    ring ring_ = ring::create_anonymous({.producers = childs_ + 1, .lane_bytes = 4096});
    ring_memory memory_{ring_.descriptor()};
    producer other_;
    std::uint64_t before_ = 0;
};

/// What a child does: `prepare` at full speed, `call` step by step.
struct plan {
    std::function<void(producer&, const survivors&)> prepare;
    std::function<void(producer&, const survivors&)> call;
    int records = 1;
    /// What another producer does, to whom nothing of it may matter.
    enum class others { send_afterwards, send_while_it_is_stopped, are_not_there };
    others other = others::send_afterwards;
    /// Not before the first step that changes the lane's owner.
    bool from_change_of_owner = false;
};

inline void attach(producer& p, const survivors& s) {
    must(p.attach_fd(::dup(s.descriptor())).error == 0, "the child can attach");
}

/// Hears all that is expected of the child, and the record of the other producer.
template <class Listener>
std::string hears(Listener& listener, const heard& of_child, int of_other) {
    heard child, other;
    for (std::size_t n = of_child.size() + static_cast<std::size_t>(of_other); n > 0; --n) {
        std::string text = listener.next();
        (text == "other" ? other : child).push_back(std::move(text));
    }
    if (other.size() != static_cast<std::size_t>(of_other)) return "the other's record is missing";
    if (child != of_child) return "heard " + joined(child) + " instead of " + joined(of_child);
    return "";
}

/// Brings the child to where it is to be killed, and what it sent on the way to there.
template <class Listener>
std::string bring(stepped_child& child, survivors& s, Listener& listener,
                  const std::function<void(stepped_child&)>& go) {
    if (!child.at_mark()) return "the child did not come to its mark";
    while (!s.childs_lane_is_empty()) listener.next();
    s.note_head();
    if (!listener.ready()) return "the consumer does not sleep";
    go(child);
    return "";
}

/// The child is stopped: nobody waits for it. `of_child`: without what was heard meanwhile.
template <class Listener>
std::string others_go_on(survivors& s, Listener& listener, heard& of_child) {
    if (!s.others_send()) return "the other cannot send";
    for (std::string text; (text = listener.next()) != "other";) {
        if (of_child.empty() || text != of_child.front()) return "while it was stopped: " + text;
        of_child.erase(of_child.begin());
    }
    return "";
}

template <class Listener>
std::string kill_after(const plan& p, survivors& s, Listener& listener, marks& seen,
                       const std::function<void(stepped_child&)>& go, bool reap) {
    stepped_child child([&] {
        producer mine;
        if (p.prepare) p.prepare(mine, s);
        mark();
        p.call(mine, s);
        mark();
    });
    if (std::string wrong = bring(child, s, listener, go); !wrong.empty()) return wrong;
    heard expected = s.expected(child.pid(), p.records, seen);
    if (p.other == plan::others::send_while_it_is_stopped)
        if (std::string wrong = others_go_on(s, listener, expected); !wrong.empty()) return wrong;
    child.kill();
    if (reap) child.reap();
    const bool others_send = p.other == plan::others::send_afterwards;
    if (others_send && !s.others_send()) return "the other cannot send";
    if (std::string wrong = hears(listener, expected, others_send); !wrong.empty()) return wrong;
    return s.as_before(listener);
}

/// Returns what went wrong, and after how many steps; "" if nothing did.
template <class Listener>
std::string kill_everywhere(const plan& p, marks& seen) {
    survivors s(p.other != plan::others::are_not_there);
    Listener listener(s.the_ring());
    course c;
    std::uint64_t first = 0;
    const auto learn = [&](stepped_child& child) {
        const std::uint64_t owner = s.childs_owner();
        c = child.learn_course([&] { first += s.childs_owner() == owner; });
    };
    std::string wrong = kill_after(p, s, listener, seen, learn, true);
    if (!p.from_change_of_owner) first = 0;
    const int descriptors = open_descriptors();
    for (const std::uint64_t n : c.ends(first)) {
        if (!wrong.empty()) break;
        const auto go = [&](stepped_child& child) { child.go(c, n); };
        wrong = kill_after(p, s, listener, seen, go, n % 2 == 0);
        if (!wrong.empty()) wrong += " after " + std::to_string(n) + " steps";
    }
    // Two with which it hears of deaths, and one for a child that is about to be forgotten.
    if (wrong.empty() && !descriptors_fall_to(descriptors + 3)) wrong = "descriptors stay open";
    std::printf(
        "%llu steps, %zu calls; of %d killed: %d untouched, %d arriving, %d with a lane, %d half "
        "written, %d written, %d committed\n",
        static_cast<unsigned long long>(c.steps), c.calls.size(), seen.rounds, seen.untouched,
        seen.arriving, seen.owned, seen.half_written, seen.written, seen.committed);
    return wrong;
}

}  // namespace wire::test
