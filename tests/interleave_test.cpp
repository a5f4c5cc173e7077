// The explorer of interleavings, tried on bugs that are known and on counts that can be computed.
#include <doctest/doctest.h>

#include <set>

#include "support/environment.hpp"
#include "support/interleave.hpp"

using namespace interleave;

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;
constexpr auto seq_cst = std::memory_order_seq_cst;

constexpr options unbounded{.preemptions = 1000};

std::uint64_t binomial(int n, int k) {
    if (k < 0 || k > n) return 0;
    std::uint64_t b = 1;
    for (int i = 1; i <= k; ++i)
        b = b * static_cast<std::uint64_t>(n - k + i) / static_cast<std::uint64_t>(i);
    return b;
}

// Schedules of two threads with a and b accesses that have exactly n stretches, counted by who
// begins. All but the last switch, which comes when a thread has ended, are preemptions.
std::uint64_t with_stretches(int n, int a, int b) {
    const int more = (n + 1) / 2, fewer = n / 2;
    return binomial(a - 1, more - 1) * binomial(b - 1, fewer - 1) +
           binomial(b - 1, more - 1) * binomial(a - 1, fewer - 1);
}

result count_two_threads(int a, int b, options bounds) {
    return explore(bounds, [=] {
        sync::atomic<int> x{0};
        auto add = [&](int n) {
            while (n-- > 0) x.fetch_add(1, relaxed);
        };
        run([&] { add(a); }, [&] { add(b); });
        check(x.load(relaxed) == a + b, "every addition counts");
    });
}

}  // namespace

TEST_CASE("interleave: under ThreadSanitizer" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: it would see one OS thread, and need a new shadow for every fiber");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("interleave: finds a lost update, and replays it") {
    const auto scenario = [] {
        sync::atomic<int> x{0};
        const auto add_one = [&] { x.store(x.load(seq_cst) + 1, seq_cst); };
        run(add_one, add_one);
        check(x.load(relaxed) == 2, "no addition is lost");
    };
    const result found = explore({}, scenario);
    CHECK(found.failure == "no addition is lost");
    CHECK_FALSE(found.schedule.empty());

    const result again = replay({}, found.schedule, scenario);
    CHECK(again.failure == found.failure);
    CHECK(again.schedule == found.schedule);
    CHECK(again.trace == found.trace);

    CHECK_FALSE(explore({.preemptions = 0}, scenario).failure.size());
}

TEST_CASE("interleave: runs every schedule exactly once") {
    for (int a = 1; a <= 4; ++a)
        for (int b = 1; b <= 4; ++b) {
            const result r = count_two_threads(a, b, unbounded);
            CHECK(r.passed());
            CHECK(r.executions == binomial(a + b, a));
        }

    const result three = explore(unbounded, [] {
        sync::atomic<int> x{0};
        const auto twice = [&] {
            x.fetch_add(1, relaxed);
            x.fetch_add(1, relaxed);
        };
        run(twice, twice, twice);
    });
    CHECK(three.executions == 90);  // 6! / (2! 2! 2!)
}

TEST_CASE("interleave: bounds the preemptions exactly") {
    for (int preemptions = 0; preemptions <= 4; ++preemptions) {
        std::uint64_t expected = 0;
        for (int n = 2; n <= preemptions + 2; ++n) expected += with_stretches(n, 5, 6);
        const result r = count_two_threads(5, 6, {.preemptions = preemptions});
        CHECK(r.passed());
        CHECK(r.executions == expected);
    }
}

TEST_CASE("interleave: samples the schedules that are too many to see all") {
    // Whoever is first must be the second thread, which the last of the schedules begin with.
    const auto scenario = [] {
        sync::atomic<int> x{0}, first{0};
        const auto add = [&](int me) {
            int nobody = 0;
            first.compare_exchange_strong(nobody, me, relaxed);
            for (int i = 0; i < 20; ++i) x.fetch_add(1, relaxed);
        };
        run([&] { add(1); }, [&] { add(2); });
        check(first.load(relaxed) == 1, "the first thread is first");
    };
    options few{.preemptions = 2, .executions_max = 100};
    CHECK(explore(few, scenario).failure == "");
    CHECK_FALSE(explore(few, scenario).passed_or_ran(101));
    few.samples = 100;
    const result r = explore(few, scenario);
    CHECK(r.failure == "the first thread is first");
    CHECK(r.executions > few.executions_max);
    CHECK(replay(few, r.schedule, scenario).failure == r.failure);
}

TEST_CASE("interleave: says when it has not seen everything") {
    const result r = count_two_threads(5, 6, {.executions_max = 10});
    CHECK(r.failure.empty());
    CHECK_FALSE(r.exhausted);
    CHECK_FALSE(r.passed());
}

// ---- sleeping and waking

namespace {

// A sleeper announces itself, looks for work and sleeps; its waker leaves work and looks for a
// sleeper. Each store must be visible before the load that follows it, or both overlook the other.
struct fences {
    std::memory_order order;
    void (*sleepers)();
    void (*wakers)();
};

result sleep_and_wake(const fences& f) {
    return explore({}, [&] {
        sync::atomic<bool> asleep{false}, work{false};
        event alarm;
        run(
            [&] {
                asleep.store(true, f.order);
                f.sleepers();
                if (!work.load(acquire)) alarm.wait();
                check(work.load(acquire), "the sleeper finds the work");
            },
            [&] {
                work.store(true, f.order);
                f.wakers();
                if (asleep.load(acquire)) alarm.signal();
            });
    });
}

constexpr const char* deadlock = "deadlock: no thread can go on";

}  // namespace

TEST_CASE("interleave: finds the gap between announcing to sleep and looking for work") {
    CHECK(sleep_and_wake({relaxed, &sync::light_fence, &sync::light_fence}).failure == deadlock);
    CHECK(sleep_and_wake({release, &sync::light_fence, &sync::light_fence}).failure == deadlock);

    const result closed = sleep_and_wake({seq_cst, &sync::light_fence, &sync::light_fence});
    CHECK_MESSAGE(closed.passed(), closed.report());
}

TEST_CASE("interleave: a heavy fence on one side makes a light one on the other enough") {
    const result paid_by_sleeper =
        sleep_and_wake({relaxed, &sync::heavy_fence, &sync::light_fence});
    CHECK_MESSAGE(paid_by_sleeper.passed(), paid_by_sleeper.report());
    const result paid_by_waker = sleep_and_wake({relaxed, &sync::light_fence, &sync::heavy_fence});
    CHECK_MESSAGE(paid_by_waker.passed(), paid_by_waker.report());
}

namespace {

enum class waiter { reads_count_first, looks_first };

// A condition with an event count. The count must be read before the condition is looked at.
result event_count(waiter w) {
    return explore({}, [w] {
        sync::atomic<bool> ready{false};
        sync::word count{0};
        run(
            [&] {
                if (w == waiter::reads_count_first) {
                    const std::uint32_t before = count.load(acquire);
                    if (!ready.load(acquire)) sync::futex_wait(count, before);
                } else if (!ready.load(acquire)) {
                    sync::futex_wait(count, count.load(acquire));
                }
                check(ready.load(acquire), "the waiter returns once it is ready");
            },
            [&] {
                ready.store(true, release);
                count.fetch_add(1, release);
                sync::futex_wake(count, 1);
            });
    });
}

}  // namespace

TEST_CASE("interleave: finds a lost futex wake-up") {
    const result r = event_count(waiter::reads_count_first);
    CHECK_MESSAGE(r.passed(), r.report());
    CHECK(event_count(waiter::looks_first).failure == deadlock);
}

TEST_CASE("interleave: a wake reaches as many sleepers as it says, and any of them") {
    std::set<int> woken_first;
    const auto wake = [&](int count) {
        return explore({}, [&, count] {
            sync::word gate{0};
            int order = 0;
            const auto sleeper = [&](int name) {
                sync::futex_wait(gate, 0);
                if (gate.load(relaxed) == 1 && order++ == 0) woken_first.insert(name);
            };
            run([&] { sleeper(1); }, [&] { sleeper(2); },
                [&] {
                    gate.store(1, relaxed);
                    sync::futex_wake(gate, count);
                });
        });
    };
    CHECK(wake(2).passed());
    CHECK(woken_first == std::set<int>{1, 2});
    CHECK(wake(1).failure == deadlock);
}

TEST_CASE("interleave: a sleep may end early as often as the options say") {
    for (const int early : {0, 1}) {
        const result r = explore({.early_wakes = early}, [] {
            sync::atomic<bool> ready{false};
            event alarm;
            run(
                [&] {
                    alarm.wait();
                    check(ready.load(acquire), "a wake-up means that it is ready");
                },
                [&] {
                    ready.store(true, release);
                    alarm.signal();
                });
        });
        CHECK(r.passed() == (early == 0));
    }
    const result careful = explore({.early_wakes = 2}, [] {
        event alarm;
        run(
            [&] {
                while (alarm.wait() == 0) continue;
            },
            [&] { alarm.signal(); });
    });
    CHECK_MESSAGE(careful.passed(), careful.report());
}

namespace {

struct point_in_time {
    std::int64_t at;
    std::int64_t ns() const { return at; }
    bool is_never() const { return false; }
};

}  // namespace

TEST_CASE("interleave: a deadline passes when no thread can go on otherwise") {
    const result r = explore({}, [] {
        sync::word gate{0};
        run([&] {
            sync::futex_wait(gate, 0, point_in_time{1'000'000});
            check(sync::now() > 1'000'000, "time has passed");
        });
    });
    CHECK_MESSAGE(r.passed(), r.report());
}

// ---- locks and spinning

namespace {

class spin_lock {
public:
    void lock() {
        while (taken_.exchange(true, acquire)) sync::pause();
    }
    void unlock() { taken_.store(false, release); }

private:
    sync::atomic<bool> taken_{false};
};

}  // namespace

TEST_CASE("interleave: finds a deadlock of locks taken in opposite order") {
    const auto take_both = [](bool opposite) {
        return explore({}, [opposite] {
            spin_lock a, b;
            tracked<int> n{0};
            const auto add_one = [&](spin_lock& first, spin_lock& second) {
                first.lock();
                second.lock();
                n.set(n.get() + 1);
                second.unlock();
                first.unlock();
            };
            run([&] { add_one(a, b); }, [&] { opposite ? add_one(b, a) : add_one(a, b); });
            check(n.get() == 2, "the locks exclude");
        });
    };
    const result r = take_both(false);
    CHECK_MESSAGE(r.passed(), r.report());
    CHECK(take_both(true).failure == deadlock);
}

TEST_CASE("interleave: a thread that spins waits for a change, also for one in a buffer") {
    const auto wait_for_flag = [](bool is_set) {
        return explore({}, [is_set] {
            sync::atomic<bool> flag{false};
            sync::atomic<int> other{0};
            run(
                [&] {
                    while (!flag.load(acquire)) sync::pause();
                },
                [&] {
                    if (is_set) flag.store(true, release);
                    other.store(1, relaxed);
                });
        });
    };
    const result r = wait_for_flag(true);
    CHECK_MESSAGE(r.passed(), r.report());
    CHECK(wait_for_flag(false).failure == deadlock);
}

TEST_CASE("interleave: a thread that spins until a time gets there") {
    const result r = explore({}, [] {
        sync::atomic<int> x{0};
        run(
            [&] {
                while (sync::now() < 50'000) sync::pause();
            },
            [&] { x.store(1, release); });
    });
    CHECK_MESSAGE(r.passed(), r.report());
}

TEST_CASE("interleave: finds a thread that never ends") {
    const result r = explore({.steps_max = 100}, [] {
        sync::atomic<bool> never{false};
        run([&] {
            while (!never.load(relaxed)) continue;
        });
    });
    CHECK(r.failure == "endless: an execution of more than steps_max steps");
}

// ---- plain data

namespace {

// One thread hands plain data to another. On x86 any order works, in C++ only this one does.
result hand_over(std::memory_order store, std::memory_order load) {
    return explore({}, [=] {
        tracked<int> data{0};
        sync::atomic<bool> full{false};
        run(
            [&] {
                data.set(7);
                full.store(true, store);
            },
            [&] {
                if (full.load(load)) check(data.get() == 7, "the data has come");
            });
    });
}

}  // namespace

TEST_CASE("interleave: finds plain data that acquire and release do not order") {
    constexpr const char* race = "race: acquire and release do not order two uses";
    CHECK(hand_over(release, acquire).passed());
    CHECK(hand_over(seq_cst, seq_cst).passed());
    CHECK(hand_over(relaxed, acquire).failure == race);
    CHECK(hand_over(release, relaxed).failure == race);
}

TEST_CASE("interleave: a heavy fence orders what came before it, and nothing after it") {
    for (const bool before : {true, false}) {
        const result r = explore({}, [=] {
            tracked<int> data{0};
            sync::atomic<bool> begun{false}, ended{false};
            run(
                [&] {
                    if (before) data.set(1);
                    begun.store(true, relaxed);
                    while (!before && !ended.load(relaxed)) sync::pause();
                    if (!before) data.set(1);
                },
                [&] {
                    while (!begun.load(relaxed)) sync::pause();
                    sync::heavy_fence();
                    ended.store(true, relaxed);
                    check(data.get() <= 1, "there is nothing else");
                });
        });
        CHECK(r.failure == (before ? "" : "race: acquire and release do not order two uses"));
    }
}

TEST_CASE("interleave: finds plain data that is used after its end") {
    const auto last_user = [](int users) {
        return explore({}, [users] {
            tracked<int> data{0};
            sync::atomic<int> references{users};
            const auto use = [&] {
                static_cast<void>(data.get());
                if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) data.retire();
            };
            run(use, use);
        });
    };
    CHECK(last_user(2).passed());
    CHECK(last_user(1).failure == "plain data is used after retire()");
}

// ---- the scenario

TEST_CASE("interleave: a scenario may run several sets of threads, one after the other") {
    const result r = explore({}, [] {
        tracked<int> data{0};
        sync::atomic<int> x{0};
        const auto add_one = [&] { x.fetch_add(1, relaxed); };
        run([&] { data.set(1); }, add_one);
        check(data.get() == 1, "the frame sees what the threads did");
        run(
            add_one, [&] { data.set(2); }, add_one);
        check(data.get() == 2 && x.load(relaxed) == 3, "and what the next ones did");
    });
    CHECK_MESSAGE(r.passed(), r.report());
}

TEST_CASE("interleave: notices a scenario that does not repeat itself") {
    int executions = 0;
    const result r = explore({}, [&] {
        sync::atomic<int> x{0};
        const auto add_one = [&] { x.fetch_add(1, relaxed); };
        if (++executions % 2)
            run(add_one, add_one, add_one);
        else
            run(add_one, add_one);
    });
    CHECK(r.failure == "the scenario does not repeat itself");
}

TEST_SUITE_END();
