// Random programs of a few threads that give, take and close, under every schedule: a bounded
// queue, whose calls happen one after the other, explains each of their histories.
//
// WIRE_EXPLORE=long in the environment allows two preemptions everywhere. Programs of three threads
// have too many schedules then: each of the 35 is run 60,000 times, 2,100,000 in all.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "support/bounded_fifo.hpp"
#include "support/environment.hpp"
#include "support/exchange_defects.hpp"
#include "support/market.hpp"

using namespace interleave;

namespace {

using calls = std::vector<queue_call>;

// Passes when nobody else can go on: until then the one who waits sleeps, and may be woken.
constexpr wire::deadline a_while = wire::deadline::at_ns(1'000'000);

// What a thread is to do, and whether it sleeps a while where it has to wait.
struct order {
    queue_call::kind what;
    bool sleeps;
};
using program = std::vector<std::vector<order>>;

// A thread's call, with the times at which it has begun and ended. What it stored has arrived then:
// else a later call of another thread need not see it.
template <class Sync>
class recorder {
public:
    explicit recorder(std::uint32_t slots) : m_(slots) {}

    void perform(const std::vector<order>& orders) {
        for (const order& o : orders) {
            queue_call c{o.what, 0, 0, tick(), 0};
            if (o.what == queue_call::give) c.value = next_value();
            c.error = call(o, c.value);
            if (o.what == queue_call::take) c.value = m_.taken();
            detail::current->memory.barrier(detail::current->running());
            c.ended = tick();
            if (c.error == ETIMEDOUT) make_exact(c);
            history.push_back(c);
        }
    }

    calls history;

private:
    int next_value() {
        const std::size_t me = detail::current->running();
        return static_cast<int>(me) * 10 + given_[me]++;
    }
    int call(const order& o, int value) {
        int error = 0;
        if (o.what == queue_call::close)
            m_.close();
        else if (o.what == queue_call::give)
            error = o.sleeps ? m_.give(value, a_while) : m_.try_give(value);
        else
            error = o.sleeps ? m_.take(a_while) : m_.try_take();
        return error;
    }

    // The moment of a call, and of what else had happened before the while was over.
    int tick() {
        time_ += 2;
        if (sync::now() < a_while.ns()) before_ = time_;
        return time_;
    }
    // It was full, or empty, even when nobody else could go on: else a wake-up was missed.
    void make_exact(queue_call& c) const {
        c.error = EAGAIN;
        c.begun = std::max(c.begun, before_ + 1);
    }

    market<Sync> m_;
    int time_ = 0;
    int before_ = 0;  // the last moment within the while
    std::array<int, detail::threads_max + 1> given_{};
};

template <class Sync>
result run_program(const program& p, std::uint32_t slots, const options& o) {
    return explore(o, [&] {
        recorder<Sync> r(slots);
        if (p.size() == 2)
            run([&] { r.perform(p[0]); }, [&] { r.perform(p[1]); });
        else
            run([&] { r.perform(p[0]); }, [&] { r.perform(p[1]); }, [&] { r.perform(p[2]); });
        check(bounded_fifo(slots).explains(r.history), "a bounded queue explains what happened");
    });
}

class random_programs {
public:
    program next(std::size_t threads, std::size_t calls_each) {
        program p(threads);
        bool closes = below(2) == 0;
        for (auto& thread : p)
            for (std::size_t i = 0; i < calls_each; ++i) {
                auto what = below(2) == 0 ? queue_call::give : queue_call::take;
                if (closes && below(4) == 0) {
                    what = queue_call::close;
                    closes = false;
                }
                thread.push_back({what, below(4) == 0});
            }
        return p;
    }
    std::uint32_t slots() { return 1U << below(3); }

private:
    unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }

    std::mt19937 random_{1};
};

std::uint64_t executions = 0;

// For programs of three threads.
options three(int preemptions) {
    if (!explores_long()) return {.preemptions = preemptions};
    return {.preemptions = 2, .executions_max = 30'000, .samples = 30'000};
}

template <class Sync>
void try_programs(int n, std::size_t threads, std::size_t calls_each, const options& o) {
    random_programs programs;
    while (n-- > 0) {
        const program p = programs.next(threads, calls_each);
        const result r = run_program<Sync>(p, programs.slots(), o);
        executions += r.executions;
        const std::uint64_t enough = o.executions_max + o.samples;
        const bool passed = o.samples > 0 ? r.passed_or_ran(enough) : went_far(r);
        CHECK_MESSAGE(passed, r.report());
    }
}

}  // namespace

TEST_CASE("exchange: under ThreadSanitizer, its order" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("exchange: the checker of histories tells a queue from what is none") {
    using call = queue_call;
    const call first{call::give, 1, 0, 1, 2}, second{call::give, 2, 0, 3, 4};
    const call meanwhile{call::give, 2, 0, 1, 4};
    const call takes_first{call::take, 1, 0, 5, 6}, takes_second{call::take, 2, 0, 5, 6};
    CHECK(bounded_fifo(2).explains({first, second, takes_first}));
    CHECK_FALSE(bounded_fifo(2).explains({first, second, takes_second}));
    CHECK(bounded_fifo(2).explains({first, meanwhile, takes_second}));
    CHECK_FALSE(bounded_fifo(1).explains({first, second, takes_first}));
    CHECK_FALSE(bounded_fifo(1).explains({first, {call::take, 0, EAGAIN, 3, 4}}));
    CHECK_FALSE(bounded_fifo(1).explains({first, {call::take, 0, EPIPE, 3, 4}}));
    CHECK_FALSE(bounded_fifo(1).explains({{call::close, 0, 0, 1, 2}, second}));
    CHECK(bounded_fifo(1).explains({first, {call::give, 2, EAGAIN, 3, 4}}));
}

TEST_CASE("exchange: a bounded queue explains what two threads see") {
    try_programs<with_fence>(30, 2, 3, reach(2));
    try_programs<with_fence>(30, 2, 4, reach(1));
    try_programs<without_fence>(30, 2, 2, reach(1));
}

TEST_CASE("exchange: a bounded queue explains what three threads see") {
    try_programs<with_fence>(30, 3, 2, three(0));
    try_programs<with_fence>(5, 3, 2, three(1));
}

TEST_CASE("exchange: no queue explains a close that does not wait for givers") {
    const program p{{{queue_call::give, false}},
                    {{queue_call::close, false}, {queue_call::take, false}}};
    CHECK(failure_of(run_program<spoiled>(p, 1, {})) == "");
    const plant one(defect::closed_without_lock);
    CHECK(failure_of(run_program<spoiled>(p, 1, {})) != "");
}

TEST_CASE("exchange: no queue explains a wake-up that is missed") {
    for (const auto sleeps : {queue_call::take, queue_call::give}) {
        // The giver sleeps behind a value that is there already.
        const auto wakes = sleeps == queue_call::take ? queue_call::give : queue_call::take;
        const std::vector<order> before(sleeps == queue_call::give, order{queue_call::give, false});
        program p{before, {{wakes, false}}};
        p[0].push_back({sleeps, true});
        CHECK(failure_of(run_program<spoiled>(p, 1, {})) == "");
        const plant one(defect::heavy_fence_missing);
        CHECK(failure_of(run_program<spoiled>(p, 1, {})) != "");
    }
}

TEST_CASE("exchange: no queue explains a take that looks for the end before it looks for a value") {
    const program p{{{queue_call::give, false}, {queue_call::take, false}},
                    {{queue_call::close, false}, {queue_call::take, false}}};
    CHECK(failure_of(run_program<spoiled>(p, 1, {})) == "");
    const plant one(defect::end_looked_at_before_pop);
    CHECK(failure_of(run_program<spoiled>(p, 1, {})) == "a bounded queue explains what happened");
}

TEST_CASE("exchange: as many histories as were promised") {
    MESSAGE(executions << " executions");
    CHECK(executions >= 50'000);
}

TEST_SUITE_END();
