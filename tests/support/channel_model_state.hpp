// What the model of channels keeps in mind: see channel_model.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "channel_history.hpp"
#include "channel_program.hpp"

namespace wire::test::detail {

// In the queue of a channel: of a wire, whose step or arm it is, or of a recv_wait.
struct place {
    int wire;
    int number;  // of the arm, or of the recv_wait
    bool of_wait = false;
};

struct channel_state {
    int capacity;
    std::deque<int> buffer = {};
    std::vector<place> senders = {}, receivers = {};
    int promised = 0;  // values that the recv_waits have been triggered for
    bool closed = false, gone = false;

    [[nodiscard]] bool full() const { return static_cast<int>(buffer.size()) >= capacity; }
    [[nodiscard]] bool drained() const { return closed && buffer.empty(); }
    [[nodiscard]] int why_none() const { return drained() ? EPIPE : EAGAIN; }
};

struct wait_state {
    bool exists = false, triggered = false, stopped = false, promised = false;
    int channel = 0;
};

struct wire_state {
    std::size_t at = 0;
    bool begun = false;    // has not returned from its step
    bool waiting = false;  // else ready, running or ended
    bool killed = false, cancelled = false;
    bool gives_way = false;
    int received = 0;         // by this step
    int expiring = -1;        // the arm of the earliest deadline
    std::vector<int> likely;  // arms, if it does not matter which of them
    outcome e = {};
    std::array<wait_state, waits_max> waits = {};
    std::vector<int> chain = {};  // the numbers of those that exist
};

struct alarm {
    int at;
    int wire;
};

// Wires that run in turn, on a clock of their own.
class model_wires {
protected:
    struct not_allowed {
        std::string text;
    };
    enum class progress : unsigned char { returned, suspended };
    static constexpr auto returned = progress::returned;
    static constexpr auto suspended = progress::suspended;
    static constexpr int nobody = -1;

    model_wires(const program& p, const history& real)
        : program_(p), real_(real), wires_(p.wires.size()) {
        for (const int capacity : p.capacities) channels_.push_back({capacity});
    }

    progress suspend(wire_state& me, int ms) {
        me.waiting = true;
        if (ms != forever) alarms_.push_back({now_ + ms, me.e.wire});
        return suspended;
    }

    // Ends the wait of a wire, which leaves all queues.
    void wake(int w, int code) {
        wire_state& woken = wires_[index(w)];
        woken.waiting = false;
        woken.e.code = code;
        leave_queues(w);
        ready_.push_back(w);
    }
    void leave_queues(int w) {
        const auto of_wire = [w](const place& p) { return p.wire == w && !p.of_wait; };
        for (channel_state& c : channels_) {
            std::erase_if(c.senders, of_wire);
            std::erase_if(c.receivers, of_wire);
        }
        std::erase_if(alarms_, [w](const alarm& a) { return a.wire == w; });
    }

    // The clock stands still until nobody is ready. Those of one time ring in the order in which
    // they were set.
    void pass_time() {
        const auto earlier = [](const alarm& a, const alarm& b) { return a.at < b.at; };
        now_ = std::max(now_, std::ranges::min_element(alarms_, earlier)->at);
        std::vector<alarm> due;
        for (const alarm& a : alarms_)
            if (a.at <= now_) due.push_back(a);
        std::ranges::stable_sort(due, earlier);
        for (const alarm& a : due) wake(a.wire, ETIMEDOUT);
    }

    // The call has returned: that must be what happened.
    void log(wire_state& me) {
        outcome& e = me.e;
        const outcome* const happened =
            position_ < real_.events.size() ? &real_.events[position_] : nullptr;
        if (happened && std::ranges::count(me.likely, happened->chosen))
            e.chosen = happened->chosen;
        e.ms = now_;
        for (std::size_t c = 0; c < channels_.size(); ++c) {
            e.sizes[c] = static_cast<int>(channels_[c].buffer.size());
            e.closed[c] = channels_[c].closed;
        }
        if (happened && *happened == e) {
            ++position_;
            e = {.wire = e.wire, .step = e.step};
            return;
        }
        throw not_allowed{text_of(e, program_) + "\n  happened: " +
                          (happened ? text_of(*happened, program_) : "nothing more")};
    }

    const step& current(place p) const {
        return program_.wires[index(p.wire)][wires_[index(p.wire)].at];
    }
    bool is_select(place p) const { return current(p).what == op::select; }
    channel_state& at(int channel) { return channels_[index(channel)]; }
    static std::size_t index(int i) { return static_cast<std::size_t>(i); }

    const program& program_;
    const history& real_;
    std::size_t position_ = 0;  // in real_
    std::vector<channel_state> channels_;
    std::vector<wire_state> wires_;
    std::deque<int> ready_;
    std::vector<alarm> alarms_;  // in the order in which they were set
    int now_ = 0;
};

}  // namespace wire::test::detail
