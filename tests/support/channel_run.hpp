// Runs a program of channel operations on the real runtime and records what came of it.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <wire/channel.hpp>
#include <wire/select.hpp>
#include <wire/wait.hpp>
#include "channel_history.hpp"
#include "channel_program.hpp"
#include "parcel.hpp"
#include "sim_poller.hpp"

namespace wire::test {

/// What programs are run on: the channels of the library. Another kit may stand for broken ones.
struct real_kit {
    using channel = wire::channel<parcel>;
    using recv_wait = wire::recv_wait<parcel>;
    template <class F>
    static auto on_recv(channel& c, F f) {
        return wire::on_recv(c, std::move(f));
    }
    template <class F>
    static auto on_send(channel& c, parcel& value, F f) {
        return wire::on_send(c, value, std::move(f));
    }
    static wire::result<std::size_t> select(std::span<branch* const> all) {
        return wire::select(all);
    }
    static auto& range(channel& c) { return c; }
};

template <class Kit>
class channel_run {
public:
    /// The runtime must have no wire. (One is used for many programs, to save time.)
    static history of(const program& p, sim& s) {
        parcel::mistreated = 0;
        history h;
        {
            channel_run run(p, s, h);
            h.run_code = s.rt.run().code();
            if (h.run_code != 0) s.rt.cancel_all();
            if (h.run_code != 0) static_cast<void>(s.rt.run());
            WIRE_ASSERT(s.rt.size() == 0, "a wire of a program of channel operations does not end");
            for (auto& w : run.wires_) static_cast<void>(w.join());
        }
        h.live = parcel::live;
        parcel::live = 0;
        h.mistreated = parcel::mistreated;
        return h;
    }

private:
    using channel = typename Kit::channel;
    using recv_wait = typename Kit::recv_wait;

    channel_run(const program& p, sim& s, history& h)
        : program_(p), sim_(s), history_(h), start_ms_(s.ms()), scopes_(p.wires.size()) {
        for (const int capacity : p.capacities)
            channels_.push_back(std::make_unique<channel>(index(capacity)));
        for (std::size_t w = 0; w < p.wires.size(); ++w)
            wires_.push_back(s.rt.spawn([this, w] { body(*this, static_cast<int>(w)).run(); }));
    }

    void log(outcome& e) {
        e.ms = static_cast<int>(sim_.ms() - start_ms_);
        for (std::size_t c = 0; c < channels_.size(); ++c) {
            e.sizes[c] = channels_[c] ? static_cast<int>(channels_[c]->size()) : 0;
            e.closed[c] = !channels_[c] || channels_[c]->closed();
        }
        history_.events.push_back(e);
        e = {.wire = e.wire, .step = e.step};
    }

    static std::size_t index(int i) { return static_cast<std::size_t>(i); }
    static deadline until(int ms) {
        return ms == forever ? never : within(std::chrono::milliseconds(ms));
    }

    // One wire.
    class body {
    public:
        body(channel_run& run, int wire) : run_(run), wire_(wire) {}

        void run() {
            const auto& steps = run_.program_.wires[index(wire_)];
            for (std::size_t i = 0; i < steps.size(); ++i) {
                cancel_scope scope;
                run_.scopes_[index(wire_)] = &scope;
                e_ = {.wire = wire_, .step = static_cast<int>(i)};
                perform(steps[i]);
                run_.scopes_[index(wire_)] = nullptr;
            }
            for (auto& w : waits_) w.reset();
        }

    private:
        void perform(const step& s) {
            if (uses_gone_channel(s)) return done(gone);
            switch (s.what) {
                case op::send:
                case op::try_send:
                    return send(s);
                case op::recv:
                    return received(at(s.channel).recv(until(s.ms)));
                case op::try_recv:
                    return received(at(s.channel).try_recv());
                case op::range:
                    return range(s);
                case op::drain:
                    return drain(s);
                case op::close:
                    return done((at(s.channel).close(), 0));
                case op::end:
                    return done((run_.channels_[index(s.channel)].reset(), 0));
                case op::select:
                    return select(s);
                case op::await:
                    return await(s);
                case op::cancel:
                    return cancel(s);
                case op::kill:
                    return done((run_.wires_[index(s.other)].cancel(), 0));
                case op::yield:
                    return done((yield(), 0));
                case op::sleep:
                    return done(sleep(until(s.ms)).code());
                default:
                    return use_wait(s);
            }
        }

        void done(int code) {
            e_.code = code;
            run_.log(e_);
        }

        bool uses_gone_channel(const step& s) {
            for (const arm& a : s.arms)
                if (a.kind <= arm::send && !run_.channels_[index(a.channel)]) return true;
            return (s.what <= op::end || s.what == op::open) && !run_.channels_[index(s.channel)];
        }

        void send(const step& s) {
            parcel value(value_of(wire_, e_.step));
            channel& c = at(s.channel);
            const int code = s.what == op::send ? c.send(std::move(value), until(s.ms)).code()
                                                : c.try_send(std::move(value)).code();
            e_.kept[0] = value.id();
            done(code);
        }
        void received(const wire::result<parcel>& r) {
            if (r) e_.value = r->id() ? r->id() : -1;
            done(r.code());
        }
        void range(const step& s) {
            int n = 0;
            for (parcel& value : Kit::range(at(s.channel))) {
                e_.value = value.id();
                done(0);
                if (++n == s.other) return;
            }
            done(ENODATA);
        }
        void drain(const step& s) {
            for (int n = 0; n < s.other; ++n) {
                const auto r = at(s.channel).try_recv();
                received(r);
                if (!r) return;
            }
        }

        void cancel(const step& s) {
            if (cancel_scope* const scope = run_.scopes_[index(s.other)]) scope->cancel();
            done(0);
        }

        // The arms of a select, with their branches.
        struct branches {
            void add(auto b) {
                auto kept = std::make_shared<decltype(b)>(std::move(b));
                all.push_back(kept.get());
                owners.push_back(std::move(kept));
            }
            std::vector<branch*> all;
            std::vector<std::shared_ptr<void>> owners;
        };

        void select(const step& s) {
            std::vector<parcel> values;
            values.reserve(s.arms.size());
            branches list;
            int handled = -1, handlers = 0;
            for (int i = 0; i < static_cast<int>(s.arms.size()); ++i) {
                values.emplace_back(value_of(wire_, e_.step, i));
                add_branch(list, s.arms[index(i)], values.back(), [&, i] {
                    handled = i;
                    ++handlers;
                });
            }
            const auto r = Kit::select(list.all);
            if (!r) e_.code = r.code();
            e_.chosen = handled;
            // The handler of what is returned, and no other.
            if (handlers != (r ? 1 : 0) || (r && *r != index(handled))) e_.code = EPROTO;
            for (std::size_t i = 0; i < s.arms.size(); ++i)
                if (s.arms[i].kind == arm::send) e_.kept[i] = values[i].id();
            done(e_.code);
        }
        void add_branch(branches& list, const arm& a, parcel& value, auto handled) {
            switch (a.kind) {
                case arm::recv:
                    return list.add(Kit::on_recv(at(a.channel), [=, this](wire::result<parcel> r) {
                        handled();
                        if (r) e_.value = r->id() ? r->id() : -1;
                        e_.code = r.code();
                    }));
                case arm::send:
                    return list.add(
                        Kit::on_send(at(a.channel), value, [=, this](wire::result<void> r) {
                            handled();
                            e_.code = r.code();
                        }));
                case arm::deadline:
                    return list.add(on_deadline(until(a.ms), handled));
                default:
                    return list.add(wire::otherwise(handled));
            }
        }

        void await(const step& s) {
            const auto r = list_.await(until(s.ms));
            for (int n = 0; r && n < waits_max; ++n)
                if (waits_[index(n)].get() == *r) e_.chosen = n;
            done(r.code());
        }
        void use_wait(const step& s) {
            auto& n = waits_[index(s.other)];
            if ((n != nullptr) == (s.what == op::open)) return done(left_out);
            switch (s.what) {
                case op::open:
                    n = std::make_unique<recv_wait>(at(s.channel));
                    list_.chain(*n);
                    break;
                case op::take:
                    return received(n->take());
                case op::reset:
                    n->reset();
                    break;
                case op::stop:
                    n->stop();
                    break;
                case op::trigger:
                    return done(n->wake() ? 0 : EAGAIN);
                default:
                    n.reset();
            }
            done(0);
        }

        channel& at(int channel) { return *run_.channels_[index(channel)]; }

        channel_run& run_;
        const int wire_;
        outcome e_;
        wait_list list_;
        std::array<std::unique_ptr<recv_wait>, waits_max> waits_;
    };

    const program& program_;
    sim& sim_;
    history& history_;
    const std::int64_t start_ms_;
    std::vector<std::unique_ptr<channel>> channels_;
    std::vector<wire::handle<void>> wires_;
    std::vector<cancel_scope*> scopes_;  // of the steps that are in progress
};

}  // namespace wire::test
