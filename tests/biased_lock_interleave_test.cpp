// Biased locks under every schedule, while their bias moves from thread to thread. Then the same
// again with one thing spoiled at a time: each such defect must be found.
//
// WIRE_EXPLORE=long in the environment allows two preemptions everywhere.
#include <wire/detail/biased_lock.hpp>

#include <doctest/doctest.h>

#include "support/environment.hpp"
#include "support/exchange_defects.hpp"

using namespace interleave;

namespace {

constexpr auto relaxed = std::memory_order_relaxed;

using wire::detail::basic_biased_lock;

std::uint64_t executions = 0;
std::uint64_t entered_as_owner = 0;

template <class Sync>
class guarded_number {
    using lock_type = basic_biased_lock<Sync>;

public:
    guarded_number() { Sync::begin(); }

    void add(int times) {
        while (times-- > 0) {
            const auto how = lock_.lock();
            if (how < lock_type::seats) ++entered_as_owner;
            check(how >= lock_type::seats || Sync::has_heavy_fence(), "who owns has a fence");
            add_one();
            lock_.unlock(how);
        }
    }
    /// From the scenario's frame.
    void check_all(int expected) {
        add(1);
        check(number_.get() == expected + 1, "no addition is lost");
    }

    lock_type& lock() { return lock_; }

private:
    // Others may come between the two halves, and must not get in.
    void add_one() {
        const int before = number_.get();
        static_cast<void>(somewhere_else_.load(relaxed));
        number_.set(before + 1);
    }

    lock_type lock_;
    tracked<int> number_{0};
    sync::atomic<int> somewhere_else_{0};
};

template <class Sync>
result two_threads(int first, int second, const options& o) {
    return explore(o, [=] {
        guarded_number<Sync> n;
        run([&] { n.add(first); }, [&] { n.add(second); });
        n.check_all(first + second);
    });
}

template <class Sync>
result three_threads(int each, const options& o) {
    return explore(o, [=] {
        guarded_number<Sync> n;
        const auto add = [&] { n.add(each); };
        run(add, add, add);
        n.check_all(3 * each);
    });
}

// The first thread owns the bias when the others begin, and uses the lock once more: it may raise
// its flag when a second has expelled it and owns the bias, and a third expels that.
template <class Sync>
result a_late_owner(const options& o) {
    return explore(o, [] {
        guarded_number<Sync> n;
        run([&] { n.add(2); });  // the first owns it now
        const auto add = [&] { n.add(1); };
        run(add, add, add);
        n.check_all(5);
    });
}

// Threads 3 and up have no seat.
struct few_seats : with_fence {
    static std::uint32_t seat() {
        const std::uint32_t mine = with_fence::seat();
        return mine < 3 ? mine : basic_biased_lock<few_seats>::seats;
    }
};

void require_passed(const result& r) {
    executions += r.executions;
    CHECK_MESSAGE(went_far(r), r.report());
}

std::string failure_with(defect d) {
    const plant one(d);
    std::string found = failure_of(two_threads<spoiled>(2, 2, {}));
    if (found.empty()) found = failure_of(two_threads<spoiled_without_fence>(2, 2, {}));
    return found;
}

}  // namespace

TEST_CASE("biased_lock: under ThreadSanitizer" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("biased_lock: keeps two threads apart while its bias moves between them") {
    entered_as_owner = 0;
    require_passed(two_threads<with_fence>(2, 2, reach(3)));
    require_passed(two_threads<with_fence>(3, 3, reach(2)));
    require_passed(two_threads<exchange_sync<true, 1>>(3, 3, reach(3)));
    require_passed(two_threads<exchange_sync<true, 1>>(4, 2, reach(2)));
    CHECK(entered_as_owner > 0);
}

TEST_CASE("biased_lock: keeps three threads apart while its bias moves between them") {
    require_passed(three_threads<with_fence>(1, reach(2)));
    require_passed(three_threads<with_fence>(2, reach(1)));
    require_passed(three_threads<exchange_sync<true, 1>>(2, reach(1)));
}

TEST_CASE("biased_lock: a former owner that comes late finds that it owns nothing") {
    require_passed(a_late_owner<with_fence>(reach(2)));
}

TEST_CASE("biased_lock: without a heavy fence nobody owns it") {
    entered_as_owner = 0;
    require_passed(two_threads<without_fence>(2, 2, reach(4)));
    require_passed(three_threads<without_fence>(1, reach(2)));
    CHECK(entered_as_owner == 0);
}

TEST_CASE("biased_lock: threads without a seat take it, and never own it") {
    require_passed(three_threads<few_seats>(2, reach(1)));
}

TEST_CASE("biased_lock: who is expected to be its only user owns it at once") {
    using slow = exchange_sync<true, 1>;
    require_passed(explore(reach(3), [] {
        guarded_number<slow> n;
        n.lock().expect_one_user();
        entered_as_owner = 0;
        n.add(2);
        check(entered_as_owner == 1, "the second time it is the owner");
        run([&] { n.add(2); }, [&] { n.add(2); });
        n.check_all(6);
    }));
}

TEST_CASE("biased_lock: every memory order is needed") {
    CHECK(failure_with(defect::none) == "");
    for (const defect d :
         {defect::flag_lowered_without_release, defect::flag_seen_without_acquire,
          defect::word_stored_without_release, defect::word_changed_without_acquire}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(failure_with(d) == race);
    }
}

// Only a seat's own thread makes the word equal to that seat, and since then nobody else has been
// inside: the owner has learnt all there is when it took the lock, or with its seat.
TEST_CASE("biased_lock: who enters as the owner learns nothing new") {
    CHECK(failure_with(defect::owner_enters_without_acquire) == "");
    const plant one(defect::owner_enters_without_acquire);
    CHECK(failure_of(a_late_owner<spoiled>({.preemptions = 1})) == "");
}

TEST_CASE("biased_lock: every step is needed") {
    for (const defect d :
         {defect::heavy_fence_missing, defect::flag_not_raised, defect::state_not_looked_at_again,
          defect::owner_not_waited_for, defect::word_looked_at_then_stored}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(failure_with(d) != "");
    }
}

TEST_CASE("biased_lock: as many schedules as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 100'000);
}

TEST_SUITE_END();
