// A call under every schedule of its two sides, and of a runtime that does everything at once. Then
// the same again with one thing spoiled at a time: each such defect must be found.
//
// WIRE_EXPLORE=long in the environment allows more preemptions.
#include <doctest/doctest.h>

#include <array>
#include <string>

#include "support/call_cast.hpp"
#include "support/environment.hpp"

using namespace interleave;

namespace {

std::uint64_t executions = 0;

template <class Sync>
result call_once(const call_plan& p, const options& o) {
    return explore(o, [&] {
        call_cast<Sync> c(p);
        run([&] { c.call(); }, [&] { c.serve(); });
        c.check_all();
    });
}

template <class F>
void for_each_plan(F f) {
    for (const auto caller : {caller_is::thread, caller_is::wire})
        for (const auto waits : {patience::endless, patience::none, patience::one_look})
            for (const auto callee :
                 {callee_ends::after_the_call, callee_ends::at_once, callee_ends::at_once_unopened})
                f(call_plan{caller, waits, callee});
}

// The first failure that some plan shows.
std::string failure_of_calls(defect d, int preemptions) {
    planted = d;
    std::string found;
    for_each_plan([&](const call_plan& p) {
        if (found.empty())
            found = failure_of(call_once<spoiled_sync>(p, {.preemptions = preemptions}));
    });
    planted = defect::none;
    return found;
}

}  // namespace

TEST_CASE("call: under ThreadSanitizer" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("call: each ends once, its outcome is taken or dropped, its node freed once") {
    for_each_plan([](const call_plan& p) {
        const auto r = call_once<interleave::sync>(p, bounds(10));
        executions += r.executions;
        CHECK_MESSAGE(r.passed(), r.report());
    });
}

TEST_CASE("call: every memory order is needed") {
    for (const defect d : {defect::finish_without_release, defect::is_finished_without_acquire,
                           defect::give_up_without_acquire, defect::drop_without_release,
                           defect::drop_without_acquire}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(failure_of_calls(d, 3) == race);
    }
}

TEST_CASE("call: every step is needed") {
    CHECK(failure_of_calls(defect::none, 3) == "");
    for (const defect d :
         {defect::finish_looks_then_stores, defect::drop_looks_then_stores,
          defect::finish_unconditional, defect::give_up_unconditional, defect::unnotified,
          defect::dropped_before_notified, defect::reply_without_reference,
          defect::abort_without_reference, defect::refused_abort_kept}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(failure_of_calls(d, 3) != "");
    }
}

// ---- everything at once

namespace {

// A runtime that is sent a wire, a request to resume and one to cancel a wire of its own, a call
// and a stop, all by other threads at once; it stops and ends.
class everything {
public:
    explicit everything(const call_plan& p) : call(p) {
        call.other = [this](inbox_node* n) { open(n); };
    }

    void send_and_resume() {
        written_.set(true);
        sent_ = post(letter_);
        ask(request_kind::wake);
    }
    void cancel_and_stop() {
        ask(request_kind::cancel);
        stop_.raise();
        static_cast<void>(nudger_.ask(1, request_kind::wake) && post(nudger_));
    }
    // As scheduler::run() and end().
    void own() {
        office& mine = call.callee();
        const auto open_all = [this](inbox_node* n) { call.open(n); };
        bool stopped = false;
        mine.serve_while([&] { return !(stopped = stopped || stop_.take()); }, open_all);
        mine.end(open_all);
    }
    void check_all() const {
        call.check_all();
        check(sent_ == opened_, "what is accepted is opened");
        check(slot_refused_ || asked_ == got_, "what is asked for comes");
    }

    call_cast<interleave::sync> call;

private:
    bool post(inbox_node& n) { return call.callee().post(n); }
    void ask(request_kind what) {
        asked_ |= static_cast<std::uint64_t>(what);
        if (slot_.ask(5, what) && !post(slot_)) slot_refused_ = true;
    }
    void open(inbox_node* n) {
        if (n == &letter_) {
            check(written_.get() && !opened_, "it is opened once, and what was written is seen");
            opened_ = true;
        } else if (n == &slot_) {
            got_ |= slot_.take().kinds;
        } else {
            static_cast<void>(nudger_.take());
        }
    }

    inbox_node letter_{nullptr};
    wire::detail::basic_request<interleave::sync> slot_{nullptr}, nudger_{nullptr};
    wire::detail::basic_stop<interleave::sync> stop_;
    tracked<bool> written_{false};
    bool sent_ = false, opened_ = false, slot_refused_ = false;
    std::uint64_t asked_ = 0, got_ = 0;
};

}  // namespace

TEST_CASE("call: with wires that are sent, resumed and cancelled meanwhile, and a stop") {
    for (const auto caller : {caller_is::thread, caller_is::wire})
        for (const auto waits : {patience::endless, patience::none, patience::one_look}) {
            const auto r = explore(bounds(2), [&] {
                everything e({caller, waits, callee_ends::at_once});
                interleave::run([&] { e.send_and_resume(); }, [&] { e.cancel_and_stop(); },
                                [&] { e.call.call(); }, [&] { e.own(); });
                e.check_all();
            });
            executions += r.executions;
            CHECK_MESSAGE(r.passed(), r.report());
        }
}

TEST_CASE("call: as many schedules as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 1'000'000);
}

TEST_SUITE_END();
