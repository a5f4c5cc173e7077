// Those that wait and those that signal them, under every schedule. Then the same again with one
// thing spoiled at a time: each such defect must be found.
//
// WIRE_EXPLORE=long in the environment allows two preemptions everywhere.
#include <wire/detail/block.hpp>

#include <doctest/doctest.h>

#include "support/environment.hpp"
#include "support/exchange_defects.hpp"

using namespace interleave;

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr wire::deadline at_once = wire::deadline::at_ns(0);

std::uint64_t executions = 0;

// What threads bring and others wait for: tokens, each of which satisfies one.
template <class Sync>
class tokens {
public:
    tokens() { Sync::begin(); }

    void bring() {
        // Without a barrier: a token may be on its way while its bringer looks for sleepers.
        std::uint16_t n = count_.load(relaxed);
        if (alone_)
            count_.store(static_cast<std::uint16_t>(n + 1), relaxed);
        else
            count_.fetch_add(1, relaxed);
        queue_.notify_one();
    }
    void bring_for_all(std::uint16_t n) {
        count_.store(n, relaxed);
        const tells_one of_all;
        queue_.notify_all();
    }
    int wait(wire::deadline until = wire::never) {
        const int result = take();
        if (result != EAGAIN) return result;
        bool blind = has(defect::slept_without_second_look);
        return wire::detail::sleep_in<Sync>(
            queue_, until, [&] { return std::exchange(blind, false) ? EAGAIN : take(); });
    }
    /// Sleeps, and takes nothing.
    void only_sleep(wire::deadline until) {
        typename Sync::place here;
        queue_.enter(here);
        static_cast<void>(here.sleep(until));
        queue_.leave(here);
    }
    /// Without a look before it takes its place.
    void must_sleep() {
        const auto look = [this] { return take(); };
        check(wire::detail::sleep_in<Sync>(queue_, wire::never, look) == 0, "who waits gets one");
    }
    void must_wait() { check(wait() == 0, "who waits gets one"); }
    /// One thread brings all of them.
    void brought_by_one() { alone_ = true; }

    // From the scenario's frame.
    void check_left(std::uint16_t n) const {
        check(count_.load(relaxed) == n, "none is taken twice");
        const std::uint32_t none = Sync::has_heavy_fence() ? 0 : 1;
        check(queue_.count() == none, "nobody waits any more");
    }

private:
    int take() {
        std::uint16_t n = count_.load(relaxed);
        while (n > 0)
            if (count_.compare_exchange_weak(n, static_cast<std::uint16_t>(n - 1), relaxed))
                return 0;
        return EAGAIN;
    }

    wire::detail::basic_sleepers<Sync> queue_;
    sync::atomic<std::uint16_t> count_{0};
    bool alone_ = false;
};

template <class Sync>
result one_sleeper(const options& o) {
    return explore(o, [] {
        tokens<Sync> t;
        t.brought_by_one();
        run([&] { t.must_wait(); }, [&] { t.bring(); });
        t.check_left(0);
    });
}

template <class Sync>
result two_sleepers(const options& o) {
    return explore(o, [] {
        tokens<Sync> t;
        run([&] { t.must_wait(); }, [&] { t.must_wait(); },
            [&] {
                t.bring();
                t.bring();
            });
        t.check_left(0);
    });
}

template <class Sync>
result two_sleepers_two_bringers(const options& o) {
    return explore(o, [] {
        tokens<Sync> t;
        run([&] { t.must_wait(); }, [&] { t.must_wait(); }, [&] { t.bring(); }, [&] { t.bring(); });
        t.check_left(0);
    });
}

template <class Sync>
result all_at_once(const options& o) {
    return explore(o, [] {
        tokens<Sync> t;
        run([&] { t.must_wait(); }, [&] { t.must_wait(); }, [&] { t.bring_for_all(2); });
        t.check_left(0);
    });
}

// One gets what was there before, with a signal meanwhile for what is the other's.
template <class Sync>
result one_needs_no_signal(const options& o) {
    return explore(o, [] {
        tokens<Sync> t;
        t.bring();
        run([&] { t.must_sleep(); }, [&] { t.must_sleep(); }, [&] { t.bring(); });
        t.check_left(0);
    });
}

// One may give up, at once or when its time has passed; the other waits for ever. There is a token
// for the other in any case.
template <class Sync>
result one_gives_up(wire::deadline until, const options& o) {
    return explore(o, [until] {
        tokens<Sync> t;
        bool got = false;
        run(
            [&] {
                const int error = t.wait(until);
                check(error == 0 || error == ETIMEDOUT, "it gets one or is too late");
                got = error == 0;
                if (got) t.bring();
            },
            [&] { t.must_wait(); }, [&] { t.bring(); });
        t.check_left(0);
    });
}

// A place whose bell cannot be rung: of the first thread, as if its runtime were gone.
class mute_place : public sleeping_place<sync::word> {
    using base = sleeping_place<sync::word>;

public:
    struct bell {
        base::bell audible;
        bool is_mute;
        [[nodiscard]] bool ring() const {
            if (is_mute) return has(defect::dead_bell_believed);
            return audible.ring();
        }
    };
    [[nodiscard]] bell signal() { return {base::signal(), is_mute_}; }

private:
    const bool is_mute_ = detail::current->running() == 1;
};

template <bool HeavyFence>
struct with_mute_place : exchange_sync<HeavyFence> {
    using place = mute_place;
};

// The signal for one whose runtime is gone goes to the next.
template <bool HeavyFence>
result one_is_gone(const options& o) {
    return explore(o, [] {
        tokens<with_mute_place<HeavyFence>> t;
        run([&] { t.only_sleep(wire::deadline::at_ns(1'000'000)); }, [&] { t.must_wait(); },
            [&] { t.bring(); });
        t.check_left(0);
    });
}

void require_passed(const result& r) {
    executions += r.executions;
    CHECK_MESSAGE(went_far(r), r.report());
}

template <class Sync>
std::string first_failure() {
    std::string found = failure_of(one_sleeper<Sync>({}));
    if (found.empty()) found = failure_of(two_sleepers<Sync>({.preemptions = 1}));
    if (found.empty()) found = failure_of(one_needs_no_signal<Sync>({.preemptions = 1}));
    if (found.empty()) found = failure_of(one_gives_up<Sync>(at_once, {.preemptions = 1}));
    if (found.empty()) found = failure_of(all_at_once<Sync>({.preemptions = 0}));
    return found;
}

std::string failure_with(defect d) {
    const plant one(d);
    return first_failure<spoiled>();
}

}  // namespace

TEST_CASE("sleepers: under ThreadSanitizer" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("sleepers: nobody is overlooked by who brings something") {
    require_passed(one_sleeper<with_fence>(reach(4)));
    require_passed(one_sleeper<without_fence>(reach(3)));
    require_passed(two_sleepers<with_fence>(reach(1)));
    require_passed(two_sleepers<without_fence>(reach(1)));
    require_passed(two_sleepers_two_bringers<with_fence>(reach(0)));
    require_passed(two_sleepers_two_bringers<without_fence>(reach(0)));
}

TEST_CASE("sleepers: a signal for all reaches all") {
    require_passed(all_at_once<with_fence>(reach(1)));
    require_passed(all_at_once<without_fence>(reach(1)));
}

TEST_CASE("sleepers: a signal that its receiver does not need goes to another") {
    require_passed(one_needs_no_signal<with_fence>(reach(1)));
    require_passed(one_needs_no_signal<without_fence>(reach(1)));
}

TEST_CASE("sleepers: a signal for one whose runtime is gone goes to another") {
    require_passed(one_is_gone<true>(reach(1)));
    require_passed(one_is_gone<false>(reach(1)));
    const plant one(defect::dead_bell_believed);
    CHECK(failure_of(one_is_gone<true>(reach(1))) == deadlock);
}

TEST_CASE("sleepers: who gives up leaves no signal with itself") {
    for (const auto until : {at_once, wire::deadline::at_ns(1'000'000)}) {
        require_passed(one_gives_up<with_fence>(until, reach(1)));
        require_passed(one_gives_up<without_fence>(until, reach(1)));
    }
}

TEST_CASE("sleepers: every memory order and every step is needed") {
    CHECK(failure_with(defect::none) == "");
    for (const defect d :
         {defect::word_stored_without_release, defect::word_changed_without_acquire}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(failure_with(d) == race);
    }
    for (const defect d : {defect::heavy_fence_missing, defect::signal_not_passed_on,
                           defect::signal_overlooked_by_leave, defect::slept_without_second_look,
                           defect::one_told_for_all}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(failure_with(d) == deadlock);
    }
    const plant one(defect::word_looked_at_then_stored);
    CHECK(first_failure<spoiled>() != "");
}

TEST_CASE("sleepers: as many schedules as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 100'000);
}

TEST_SUITE_END();
