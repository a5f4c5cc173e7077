// What channels promise, as a simulation that shares no code with them: it runs a program on queues
// of numbers and demands that every call of the real run returned what it must.
//
// Scheduling is first in, first out, so all outcomes are determined but two: which of its ready
// arms a select chooses, and whether it lets other wires run first, as one in many does. There the
// model takes what the real run chose, if that was ready.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "channel_history.hpp"
#include "channel_model_state.hpp"
#include "channel_program.hpp"

namespace wire::test {

class channel_model : detail::model_wires {
public:
    /// Empty if `real` is what `p` may do, else what was allowed instead.
    static std::string disagreement(const program& p, const history& real) {
        std::string first;
        // Which select lets the others run first; most often none does.
        for (int giving_way = 0, selects = 0; giving_way <= selects; ++giving_way) {
            channel_model m(p, real, giving_way);
            try {
                m.run();
                return "";
            } catch (const not_allowed& n) {
                if (giving_way == 0) first = n.text;
            }
            selects = std::max(selects, m.selects_);
        }
        return first;
    }

private:
    using place = detail::place;
    using channel_state = detail::channel_state;
    using wait_state = detail::wait_state;
    using wire_state = detail::wire_state;

    channel_model(const program& p, const history& real, int giving_way)
        : model_wires(p, real), giving_way_(giving_way) {}

    // ---- wires

    void run() {
        for (int w = 0; w < static_cast<int>(wires_.size()); ++w) ready_.push_back(w);
        for (;;) {
            while (!ready_.empty()) {
                const int w = ready_.front();
                ready_.pop_front();
                turn(w);
            }
            if (alarms_.empty()) break;
            pass_time();
        }
        if (position_ != real_.events.size())
            throw not_allowed{"nothing more\n  happened: " +
                              text_of(real_.events[position_], program_)};
        for (const wire_state& w : wires_)
            if (w.begun) throw not_allowed{"no end: a wire still waits"};
    }

    void turn(int w) {
        wire_state& me = wires_[index(w)];
        const auto& steps = program_.wires[index(w)];
        while (me.at < steps.size()) {
            const step& s = steps[me.at];
            const bool resumed = std::exchange(me.begun, true);
            if (!resumed) start(me, w, s);
            if ((resumed ? resume(me, w, s) : begin(me, w, s)) == suspended) return;
            me.begun = false;
            const bool more = s.what == op::range || s.what == op::drain;
            const bool failed = me.e.code != 0 && me.e.code != gone;
            if (s.what == op::range && failed) me.e.code = ENODATA;  // a loop does not say why
            const bool again = more && me.e.code == 0 && ++me.received < s.other;
            log(me);
            if (again) continue;
            me.received = 0;
            me.cancelled = false;
            ++me.at;
        }
        for (wait_state& n : me.waits) leave(w, n);
        me.chain.clear();
        for (wait_state& n : me.waits) n = {};
    }

    static void start(wire_state& me, int w, const step& s) {
        me.e = {.wire = w, .step = static_cast<int>(me.at)};
        me.likely.clear();
        if (s.what == op::send || s.what == op::try_send) me.e.kept[0] = value_of(w, me.e.step);
        for (std::size_t i = 0; i < s.arms.size(); ++i)
            if (s.arms[i].kind == arm::send)
                me.e.kept[i] = value_of(w, me.e.step, static_cast<int>(i));
    }

    // ---- steps

    progress begin(wire_state& me, int w, const step& s) {
        if (uses_gone_channel(s)) {
            me.e.kept = {};
            return result(me, gone);
        }
        switch (s.what) {
            case op::send:
                return send(me, s);
            case op::recv:
            case op::range:
                return recv(me, s);
            case op::try_send:
                return try_send(me, s);
            case op::try_recv:
            case op::drain:
                return try_recv(me, s);
            case op::close:
                return result(me, close(s.channel));
            case op::end:
                return result(me, end(s.channel));
            case op::select:
                return select(me, w, s);
            case op::cancel:
            case op::kill:
                return result(me, cancel(s));
            case op::sleep:
                return is_cancelled(me) ? result(me, ECANCELED) : suspend(me, s.ms);
            case op::yield:
                ready_.push_back(w);
                return suspended;
            case op::await:
                return await(me, s);
            default:
                return begin_with_wait(me, w, s);
        }
    }

    progress resume(wire_state& me, int w, const step& s) {
        if (std::exchange(me.gives_way, false)) return select_now(me, w, s);
        if (s.what == op::sleep && me.e.code == ETIMEDOUT) me.e.code = 0;
        if (s.what == op::await) first_triggered(me);
        if (s.what == op::select && me.e.code == ETIMEDOUT) {
            me.e.code = 0;
            me.e.chosen = me.expiring;
        }
        return returned;
    }

    static progress result(wire_state& me, int code) {
        me.e.code = code;
        return returned;
    }

    bool uses_gone_channel(const step& s) {
        for (const arm& a : s.arms)
            if (a.kind <= arm::send && at(a.channel).gone) return true;
        return (s.what <= op::end || s.what == op::open) && at(s.channel).gone;
    }

    progress send(wire_state& me, const step& s) {
        if (is_cancelled(me)) return result(me, ECANCELED);
        const int code = offer(me, at(s.channel), 0, true);
        if (code != EAGAIN) return result(me, code);
        at(s.channel).senders.push_back({me.e.wire, 0});
        return suspend(me, s.ms);
    }
    progress try_send(wire_state& me, const step& s) {
        return result(me, offer(me, at(s.channel), 0, false));
    }
    progress recv(wire_state& me, const step& s) {
        if (is_cancelled(me)) return result(me, ECANCELED);
        if (try_recv(me, s) == returned && me.e.code != EAGAIN) return returned;
        at(s.channel).receivers.push_back({me.e.wire, 0});
        return suspend(me, s.ms);
    }
    progress try_recv(wire_state& me, const step& s) {
        channel_state& c = at(s.channel);
        me.e.value = has_value(c) ? pull_rest(c) : 0;
        return result(me, me.e.value ? 0 : c.why_none());
    }

    int close(int channel) {
        channel_state& c = at(channel);
        c.closed = true;
        while (!c.senders.empty()) refuse(c.senders.front(), channel);
        if (c.buffer.empty()) refuse_receivers(channel);
        return 0;
    }
    int end(int channel) {
        close(channel);
        at(channel).gone = true;
        at(channel).buffer.clear();
        return 0;
    }

    int cancel(const step& s) {
        wire_state& victim = wires_[index(s.other)];
        (s.what == op::kill ? victim.killed : victim.cancelled) =
            s.what == op::kill || victim.begun;
        if (victim.waiting) wake(s.other, ECANCELED);
        return 0;
    }
    static bool is_cancelled(const wire_state& w) { return w.killed || w.cancelled; }

    // ---- select

    progress select(wire_state& me, int w, const step& s) {
        if (is_cancelled(me)) return result(me, ECANCELED);
        if (s.arms.empty()) return result(me, EINVAL);
        if (++selects_ == giving_way_) {
            me.gives_way = true;
            ready_.push_back(w);
            return suspended;
        }
        return select_now(me, w, s);
    }

    progress select_now(wire_state& me, int w, const step& s) {
        std::vector<int> ready, otherwise;
        for (int i = 0; i < static_cast<int>(s.arms.size()); ++i) {
            const arm& a = s.arms[index(i)];
            if (a.kind == arm::otherwise) otherwise.push_back(i);
            if (is_ready(a)) ready.push_back(i);
        }
        if (ready.empty()) ready = otherwise;
        if (!ready.empty()) return choose(me, s, ready);
        queue_up(me, w, s);
        if (is_cancelled(me)) {  // when it gave way
            leave_queues(w);
            return result(me, ECANCELED);
        }
        return suspend(me, me.expiring < 0 ? forever : s.arms[index(me.expiring)].ms);
    }

    bool is_ready(const arm& a) {
        if (a.kind == arm::deadline) return a.ms <= 0;
        if (a.kind == arm::otherwise) return false;
        const channel_state& c = at(a.channel);
        if (a.kind == arm::recv) return has_value(c) || c.drained();
        const auto takes = [](const place& p) { return !p.of_wait; };
        return c.closed || !c.full() || std::ranges::any_of(c.receivers, takes);
    }

    // As the real run did, if it may.
    progress choose(wire_state& me, const step& s, const std::vector<int>& ready) {
        const int real = position_ < real_.events.size() ? real_.events[position_].chosen : -1;
        const int i = std::ranges::count(ready, real) ? real : ready.front();
        const arm& a = s.arms[index(i)];
        me.e.chosen = i;
        if (a.kind == arm::send) return result(me, offer(me, at(a.channel), i, false));
        if (a.kind != arm::recv) return result(me, 0);
        return try_recv(me, {.what = op::try_recv, .channel = a.channel});
    }

    void queue_up(wire_state& me, int w, const step& s) {
        me.expiring = -1;
        for (int i = 0; i < static_cast<int>(s.arms.size()); ++i) {
            const arm& a = s.arms[index(i)];
            if (a.kind == arm::deadline &&
                (me.expiring < 0 || a.ms < s.arms[index(me.expiring)].ms))
                me.expiring = i;
            if (a.kind > arm::send) continue;
            channel_state& c = at(a.channel);
            (a.kind == arm::send ? c.senders : c.receivers).push_back({w, i});
            if (a.kind == arm::send) promise_to_first(c);
        }
    }

    // ---- recv_waits

    progress await(wire_state& me, const step& s) {
        if (is_cancelled(me)) return result(me, ECANCELED);
        if (me.chain.empty()) return result(me, EINVAL);
        me.e.code = EAGAIN;
        first_triggered(me);
        return me.e.code == 0 ? returned : suspend(me, s.ms);
    }
    static void first_triggered(wire_state& me) {
        for (const int n : me.chain) {
            if (!me.waits[index(n)].triggered) continue;
            me.e.code = 0;
            me.e.chosen = n;
            return;
        }
    }

    progress begin_with_wait(wire_state& me, int w, const step& s) {
        wait_state& n = me.waits[index(s.other)];
        if (n.exists == (s.what == op::open)) return result(me, left_out);
        me.e.code = 0;
        switch (s.what) {
            case op::open:
                n = {.exists = true, .channel = s.channel};
                enter(w, s.other);
                me.chain.push_back(s.other);
                break;
            case op::take:
                take(me, n);
                break;
            case op::trigger:
                if (n.triggered || n.stopped) return result(me, EAGAIN);
                leave(w, n);
                n.triggered = true;
                break;
            default:
                leave(w, n);
                n.triggered = false;
                n.stopped = s.what == op::stop;
                if (s.what == op::reset) enter(w, s.other);
                if (s.what != op::drop) break;
                n = {};
                std::erase(me.chain, s.other);
        }
        return returned;
    }

    void take(wire_state& me, wait_state& n) {
        channel_state& c = at(n.channel);
        const bool promised = std::exchange(n.promised, false);
        me.e.value = promised ? pull(c) : 0;
        me.e.code = me.e.value ? 0 : c.why_none();
        if (promised) settle_promise(n.channel);
    }
    void enter(int w, int number) {
        wait_state& n = wires_[index(w)].waits[index(number)];
        channel_state& c = at(n.channel);
        if (has_value(c))
            promise(w, number);
        else if (c.drained())
            n.triggered = true;
        else
            c.receivers.push_back({w, number, true});
    }
    void leave(int w, wait_state& n) {
        if (!n.exists) return;
        const auto number = &n - wires_[index(w)].waits.data();
        std::erase_if(at(n.channel).receivers, [=](const place& p) {
            return p.of_wait && p.wire == w && p.number == number;
        });
        if (std::exchange(n.promised, false)) settle_promise(n.channel);
    }

    void trigger(int w, int number) {
        wire_state& owner = wires_[index(w)];
        owner.waits[index(number)].triggered = true;
        const auto& steps = program_.wires[index(w)];
        if (owner.waiting && steps[owner.at].what == op::await) wake(w, 0);
    }
    // A value that is there, or is about to be, is for this one.
    void promise(int w, int number) {
        wait_state& n = wires_[index(w)].waits[index(number)];
        n.promised = true;
        ++at(n.channel).promised;
        trigger(w, number);
    }
    void promise_to_first(channel_state& c) {
        const auto r = std::ranges::find_if(c.receivers, [](const place& p) { return p.of_wait; });
        if (r == c.receivers.end()) return;
        const place first = *r;
        c.receivers.erase(r);
        promise(first.wire, first.number);
    }
    // One promise less: what is there now goes to those who wait.
    void settle_promise(int channel) {
        channel_state& c = at(channel);
        --c.promised;
        for (;;) {
            // A select does not receive what it sends.
            const auto r = std::ranges::find_if(c.receivers, [&](const place& p) {
                return has_value(c, p.of_wait ? nobody : p.wire);
            });
            if (r == c.receivers.end()) break;
            const place first = *r;
            c.receivers.erase(r);
            if (first.of_wait) {
                promise(first.wire, first.number);
                continue;
            }
            outcome& received = receiver(first);  // whose own places are out of the queues now
            received.value = pull(c);
        }
        if (c.drained()) refuse_receivers(channel);
    }

    // ---- channels

    // Values that nobody is promised: of the buffer, and one of each wire that waits to send.
    static bool has_value(const channel_state& c, int but_of = nobody) {
        std::vector<int> senders;
        for (const place& p : c.senders)
            if (p.wire != but_of && !std::ranges::count(senders, p.wire)) senders.push_back(p.wire);
        return static_cast<int>(c.buffer.size() + senders.size()) > c.promised;
    }

    // Gives away what `me` sends in its step or arm. EAGAIN: nobody has room; if it waits then, a
    // recv_wait is promised what it has.
    int offer(wire_state& me, channel_state& c, int number, bool will_wait) {
        if (c.closed) return EPIPE;
        const auto r = std::ranges::find_if(
            c.receivers, [&](const place& p) { return !p.of_wait || will_wait || !c.full(); });
        if (r != c.receivers.end()) {
            const place first = *r;
            c.receivers.erase(r);
            if (!first.of_wait) {
                receiver(first).value = std::exchange(me.e.kept[index(number)], 0);
                return 0;
            }
            promise(first.wire, first.number);
        }
        if (c.full()) return EAGAIN;
        c.buffer.push_back(std::exchange(me.e.kept[index(number)], 0));
        return 0;
    }

    // The oldest value; 0 if there is none.
    int pull(channel_state& c) {
        if (c.buffer.empty()) return c.senders.empty() ? 0 : take_from_sender(c.senders.front());
        const int value = c.buffer.front();
        c.buffer.pop_front();
        if (!c.senders.empty()) c.buffer.push_back(take_from_sender(c.senders.front()));
        return value;
    }

    // The oldest value after those that are promised, if there is one.
    int pull_rest(channel_state& c) {
        const auto promised = index(c.promised);
        if (c.buffer.size() > promised) {
            const int value = c.buffer[promised];
            c.buffer.erase(c.buffer.begin() + c.promised);
            if (!c.senders.empty()) c.buffer.push_back(take_from_sender(c.senders.front()));
            return value;
        }
        std::vector<int> passed;
        for (const place& p : c.senders) {
            if (!std::ranges::count(passed, p.wire)) passed.push_back(p.wire);
            if (c.buffer.size() + passed.size() > promised) return take_from_sender(p);
        }
        return 0;
    }

    int take_from_sender(place p) {
        outcome& e = wires_[index(p.wire)].e;
        if (is_select(p)) e.chosen = p.number;
        wake(p.wire, 0);
        return std::exchange(e.kept[index(p.number)], 0);
    }
    // What a wire has waited for to receive is about to be noted.
    outcome& receiver(place p) {
        outcome& e = wires_[index(p.wire)].e;
        if (is_select(p)) e.chosen = p.number;
        wake(p.wire, 0);
        return e;
    }
    // The channel is closed. A select that has several arms on it may choose any of them.
    void refuse(place p, int channel) {
        wire_state& w = wires_[index(p.wire)];
        if (is_select(p)) {
            w.e.chosen = p.number;
            const auto& arms = current(p).arms;
            for (int i = 0; i < static_cast<int>(arms.size()); ++i)
                if (arms[index(i)].kind <= arm::send && arms[index(i)].channel == channel)
                    w.likely.push_back(i);
        }
        wake(p.wire, EPIPE);
    }
    void refuse_receivers(int channel) {
        auto& receivers = at(channel).receivers;
        while (!receivers.empty()) {
            const place first = receivers.front();
            if (!first.of_wait) {
                refuse(first, channel);
                continue;
            }
            receivers.erase(receivers.begin());
            trigger(first.wire, first.number);
        }
    }

    const int giving_way_;  // the n-th select, from 1
    int selects_ = 0;
};

}  // namespace wire::test
