// A call between two runtimes, or a thread and a runtime, as call.cpp makes it; for the explorer of
// interleavings.
#pragma once

#include <call.hpp>
#include <cstdint>
#include <functional>

#include "planted_defects.hpp"

namespace interleave {

enum class caller_is { thread, wire };
enum class patience { endless, none, one_look };
enum class callee_ends { after_the_call, at_once, at_once_unopened };

struct call_plan {
    caller_is caller;
    patience waits;
    callee_ends callee;
};

struct never_type {
    static std::int64_t ns() { return 0; }
    static bool is_never() { return true; }
};

/// Caller, callee and their node. The callee serves the call and ends.
template <class Sync>
class call_cast {
public:
    explicit call_cast(const call_plan& p) : plan_(p) {}

    office& callee() { return callee_; }
    /// What the callee does with nodes that are not the call's.
    std::function<void(inbox_node*)> other{};

    // As call::await().
    void call() {
        if (!callee_.post(request_)) {
            refused_ = true;
            return free();
        }
        const bool on_a_wire = plan_.caller == caller_is::wire;
        if (!(on_a_wire ? wait_for_reply() : block()) && give_up())
            leave();
        else
            take_outcome();
        if (on_a_wire) caller_.end([this](inbox_node* n) { open_at_caller(n); });
    }

    // As the scheduler of the callee.
    void serve() {
        const auto open = [this](inbox_node* n) { open_at_callee(n); };
        if (plan_.callee == callee_ends::after_the_call)
            callee_.serve_while([this] { return !done_; }, open);
        ending_ = plan_.callee == callee_ends::at_once_unopened;
        callee_.end(open, !ending_);
    }

    // Opens what has come, in order.
    void open(inbox_node* n) { open_at_callee(n); }

    void check_all() const {
        check(freed_, "the node is freed");
        check(took_ == wanted_, "a wanted outcome is taken, and no other");
        check(refused_ || begun_ || took_ || gave_up_, "a call comes to an end");
        check(!refused_ || (!begun_ && !took_), "a call that is refused does not begin");
        if (plan_.waits == patience::endless) check(refused_ || took_, "patience is rewarded");
        if (plan_.callee == callee_ends::after_the_call) check(!refused_, "it was there");
    }

private:
    struct letter : inbox_node {
        letter() : inbox_node(nullptr) {}
    };

    void touch() const { static_cast<void>(exists_.get()); }
    void free() {
        check(!freed_, "the node is freed once");
        freed_ = true;
        exists_.retire();
    }
    void drop() {
        touch();
        if (state_.drop()) free();
    }

    // The caller.
    bool block() {
        if (plan_.waits != patience::endless)
            return plan_.waits == patience::one_look && state_.is_finished();
        return state_.await(
            never_type(), +[](never_type) { return false; });
    }
    bool wait_for_reply() {
        const auto open = [this](inbox_node* n) { open_at_caller(n); };
        if (plan_.waits == patience::endless)
            caller_.serve_while([this] { return !replied_; }, open);
        else if (plan_.waits == patience::one_look && caller_.inbox.any())
            open(caller_.inbox.take_all());
        return replied_;
    }
    bool give_up() {
        touch();
        gave_up_ = state_.give_up() || has(defect::give_up_unconditional);
        return gave_up_;
    }
    void leave() {
        if (has(defect::abort_without_reference)) return void(callee_.post(abort_)), drop();
        if (!callee_.post(abort_) && !has(defect::refused_abort_kept)) drop();
    }
    void take_outcome() {
        touch();
        check(outcome_.get() == 7, "the outcome is there");
        took_ = true;
        drop();
    }
    void open_at_caller(inbox_node* n) {
        if (!n) return;
        check(n == &reply_ && !n->next && !replied_, "a caller gets one reply");
        replied_ = true;
        drop();
    }

    // The callee.
    void open_at_callee(inbox_node* n) {
        while (n) {
            inbox_node* const next = n->next;
            if (n == &request_)
                begin();
            else if (n != &abort_)
                other(n);
            else
                drop();  // an abort: it cancels the wire, and takes the caller's reference along
            n = next;
        }
    }
    void begin() {
        touch();
        done_ = true;
        if (ending_) return finish();  // with EPIPE
        if (state_.is_given_up()) return drop();
        begun_ = true;
        if (callee_.inbox.any()) open_at_callee(callee_.inbox.take_all());  // while the wire runs
        finish();
    }
    void finish() {
        touch();
        outcome_.set(7);
        wanted_ = state_.finish() || has(defect::finish_unconditional);
        if (!wanted_) return drop();
        if (plan_.caller == caller_is::thread) {
            if (has(defect::dropped_before_notified)) drop();
            touch();
            if (!has(defect::unnotified)) state_.notify();
            if (!has(defect::dropped_before_notified)) drop();
        } else if (!caller_.post(reply_) || has(defect::reply_without_reference)) {
            drop();
        }
    }

    const call_plan plan_;
    office caller_, callee_;
    letter request_, reply_, abort_;
    wire::detail::basic_call<Sync> state_;
    tracked<bool> exists_{true};
    tracked<int> outcome_{0};
    bool freed_ = false, refused_ = false, replied_ = false, gave_up_ = false, took_ = false;
    bool done_ = false, begun_ = false, wanted_ = false, ending_ = false;
};

}  // namespace interleave
