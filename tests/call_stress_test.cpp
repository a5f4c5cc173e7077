// Several runtimes on several threads that call, send, resume and cancel each other with random
// deadlines, and one that stops, runs again and ends while threads call it. Seeded; run under
// ThreadSanitizer, too.
#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <deque>
#include <latch>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include <wire/runtime.hpp>
#include "support/environment.hpp"

using namespace wire;
using wire::test::under_tsan;
using namespace std::chrono_literals;

namespace {

// Counts its objects: what is made for a call must be destroyed once, whoever gives up when.
class token {
public:
    token() { ++alive; }
    token(const token&) : token() {}
    token(token&&) noexcept : token() {}
    ~token() { --alive; }
    static inline std::atomic<long> alive{0};
};

struct tally {
    std::atomic<long> answered{0}, thrown{0}, timed_out{0}, cancelled{0}, gone{0};

    [[nodiscard]] long sum() const { return answered + thrown + timed_out + cancelled + gone; }
    void count(int code) {
        if (code == 0) ++answered;
        if (code == ETIMEDOUT) ++timed_out;
        if (code == ECANCELED) ++cancelled;
        if (code == EPIPE) ++gone;
    }
};

deadline some_time(std::minstd_rand& random) {
    switch (random() % 4) {
        case 0:
            return never;
        case 1:
            return within(0s);
        default:
            return within(std::chrono::microseconds(random() % 300));
    }
}

// What is called: works, waits, throws, or calls on.
int work(const std::vector<remote>& all, std::uint32_t seed, int depth, const token& t) {
    std::minstd_rand random(seed | 1);
    random.discard(3);
    static_cast<void>(t);
    switch (random() % 6) {
        case 0:
            return 1;
        case 1:
            yield();
            return 2;
        case 2:
            static_cast<void>(sleep(within(std::chrono::microseconds(random() % 200))));
            return 3;
        case 3:
            throw std::runtime_error("on purpose");
        case 4: {
            const shield protection;  // it cannot be cancelled: outcomes that come too late
            static_cast<void>(sleep(within(std::chrono::microseconds(random() % 400))));
            return 4;
        }
        default:
            if (depth == 0) return 5;
            const remote& next = all[random() % all.size()];
            const auto r =
                next.call(some_time(random), work, std::cref(all), random(), depth - 1, token());
            return r ? *r : 6;
    }
}

void call_someone(const std::vector<remote>& all, std::minstd_rand& random, tally& done) {
    const remote& to = all[random() % all.size()];
    try {
        const auto r = to.call(some_time(random), work, std::cref(all), random(), 2, token());
        done.count(r.code());
    } catch (const std::runtime_error&) {
        ++done.thrown;
    }
}

// A wire that others resume, and cancel at last.
struct target {
    std::atomic<bool> there{false};
    wire_ref ref;
    std::atomic<long> resumed{0}, cancelled{0};
};

void be_target(target& t, const std::atomic<bool>& over) {
    while (!over) {
        if (suspend(within(1ms)).code() == ECANCELED) {
            ++t.cancelled;
            return;
        }
        ++t.resumed;
    }
}

// Runtimes with wires, and plain threads, all of which call and disturb each other.
class crowd {
public:
    static constexpr unsigned runtimes = 3, wires = 4, threads = 2;

    explicit crowd(int rounds) : rounds_(rounds) {}

    void run() {
        std::vector<std::jthread> all;
        for (unsigned i = 0; i < runtimes; ++i) all.emplace_back([this, i] { serve(i); });
        for (unsigned t = 0; t < threads; ++t)
            all.emplace_back([this, t] {
                up_.arrive_and_wait();
                client(1000 + t, nullptr);
            });
    }
    void check() const {
        CHECK(ran_ == sent_);
        CHECK(done_.sum() == static_cast<long>(rounds_) * (runtimes * wires + threads));
        CHECK(done_.answered > 0);
        CHECK(done_.thrown > 0);
        CHECK(done_.timed_out > 0);
        MESSAGE(done_.answered.load() << " answered, " << done_.thrown.load() << " thrown, "
                                      << done_.timed_out.load() << " timed out");
    }

private:
    // A runtime's thread. Wires that still wait at its end are cancelled.
    void serve(unsigned i) {
        runtime rt;
        remotes_[i] = rt.remote();
        rt.go([this, i] {
            targets_[i].ref = this_wire::ref();
            be_target(targets_[i], over_);
        });
        rt.run_once();
        up_.arrive_and_wait();
        wire_ref mates[wires];
        const work_guard guard(rt);
        for (unsigned w = 0; w < wires; ++w)
            rt.go([this, i, w, &mates] {
                mates[w] = this_wire::ref();
                yield();  // the others say theirs
                client(1 + i * 100 + w, mates);
            });
        CHECK(rt.run());  // until the last client stops it
    }

    void client(unsigned seed, const wire_ref* mates) {
        std::minstd_rand random(seed);
        random.discard(5);
        for (int n = 0; n < rounds_; ++n) {
            call_someone(remotes_, random, done_);
            disturb(random, mates);
        }
        if (--busy_ > 0) return;
        over_ = true;
        for (const remote& r : remotes_) static_cast<void>(r.stop());
    }

    void disturb(std::minstd_rand& random, const wire_ref* mates) {
        const std::size_t i = random() % runtimes;
        switch (random() % 4) {
            case 0:
                if (remotes_[i].go([this, t = token()] { ++ran_; })) ++sent_;
                return;
            case 1:
                CHECK(remotes_[i].resume(targets_[i].ref));
                return;
            case 2:
                if (random() % 8 == 0) CHECK(remotes_[i].cancel(targets_[i].ref));
                return;
            default:
                if (mates) resume(mates[random() % wires]);
        }
    }

    const int rounds_;
    tally done_;
    std::atomic<long> sent_{0}, ran_{0};
    std::vector<remote> remotes_ = std::vector<remote>(runtimes);
    target targets_[runtimes];
    std::atomic<bool> over_{false};
    std::atomic<unsigned> busy_{runtimes * wires + threads};
    std::latch up_{runtimes + threads};
};

// What happened to one call, as seen where it ran.
struct trail {
    std::atomic<int> begun{0}, ended{0};
};

struct answer {
    int number;
    token made_there;
};

// What is called: leaves its trail, and gives its number back if nothing is thrown.
answer leave_trail(trail& t, std::uint32_t seed, int number, const token&) {
    ++t.begun;
    std::minstd_rand random(seed | 1);
    random.discard(3);
    switch (random() % 5) {
        case 0:
            break;
        case 1:
            yield();
            break;
        case 2:
            static_cast<void>(sleep(within(std::chrono::microseconds(random() % 300))));
            break;
        case 3: {
            const shield protection;
            static_cast<void>(sleep(within(std::chrono::microseconds(random() % 300))));
            break;
        }
        default:
            throw std::runtime_error("on purpose");
    }
    ++t.ended;
    return {number, token()};
}

// A plain thread that calls a runtime, and stops it now and then, until it is gone.
class caller {
public:
    caller(remote to, unsigned seed, tally& all) : to_(std::move(to)), random_(seed), all_(all) {
        random_.discard(5);
    }

    void call_until_gone() {
        while (call() != EPIPE)
            if (random_() % 32 == 0) static_cast<void>(to_.stop());
        CHECK_FALSE(to_.stop());
    }

    // When nothing runs any more. A call has run once if it gave an answer, else once at most.
    void check() const {
        for (const made& m : made_) {
            const int begun = m.left.begun;
            const int ended = m.left.ended;
            if (m.code == answered) CHECK((begun == 1 && ended == 1));
            if (m.code == thrown) CHECK((begun == 1 && ended == 0));
            if (m.code > 0) CHECK((begun <= 1 && ended <= begun));
        }
    }

private:
    static constexpr int answered = 0, thrown = -1;
    struct made {
        trail left;
        int code = 0;
    };

    int call() {
        made& now = made_.emplace_back();
        const int number = static_cast<int>(made_.size());
        try {
            const auto r = to_.call(some_time(random_), leave_trail, std::ref(now.left), random_(),
                                    number, token());
            now.code = r.code();
            if (r) CHECK(r->number == number);
            CHECK((r || r.code() == ETIMEDOUT || r.code() == EPIPE));
            all_.count(now.code);
        } catch (const std::runtime_error&) {
            now.code = thrown;
            ++all_.thrown;
        }
        return now.code;
    }

    const remote to_;
    std::minstd_rand random_;
    tally& all_;
    std::deque<made> made_;  // their addresses stay
};

// Runs until it has been stopped some times, or turns by turns for a while; then ends.
void live_and_end(runtime& rt, std::minstd_rand& random) {
    const work_guard guard(rt);
    for (auto stops = random() % 4 + 1; stops > 0; --stops) CHECK(rt.run());
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 500);
    while (std::chrono::steady_clock::now() < end) rt.run_once();
}

void call_a_mortal(unsigned round, tally& all) {
    constexpr unsigned threads = 8;
    std::minstd_rand random(round + 1);
    random.discard(5);
    std::deque<caller> callers;
    std::vector<std::jthread> running;
    {
        runtime rt;
        for (unsigned t = 0; t < threads; ++t) {
            caller& c = callers.emplace_back(rt.remote(), round * threads + t + 1, all);
            running.emplace_back([&c] { c.call_until_gone(); });
        }
        live_and_end(rt, random);
    }
    running.clear();
    for (const caller& c : callers) c.check();
}

}  // namespace

TEST_CASE("call stress: runtimes and threads that call, send, resume and cancel each other") {
    {
        crowd c(under_tsan ? 100 : 1500);
        c.run();
        c.check();
    }
    CHECK(token::alive == 0);
}

TEST_CASE("call stress: a runtime may end while threads and wires call it") {
    for (unsigned round = 0; round < (under_tsan ? 20 : 100); ++round) {
        std::minstd_rand random(round + 1);
        tally done;
        std::vector<std::jthread> callers;
        {
            runtime rt;
            const auto call_until_gone = [&done, round, r = rt.remote()](unsigned t) {
                std::minstd_rand mine(round * 7 + t + 1);
                for (int n = 0; n < 10'000; ++n) {
                    const bool long_work = mine() % 4 == 0;
                    const auto outcome = r.call(some_time(mine), [long_work, k = token()] {
                        if (long_work) static_cast<void>(sleep(within(1ms)));
                        return token();
                    });
                    done.count(outcome.code());
                    if (outcome.code() == EPIPE) return;
                }
            };
            for (unsigned t = 0; t < 3; ++t)
                callers.emplace_back([=] {
                    if (t > 0) return call_until_gone(t);
                    runtime mine;
                    mine.go(call_until_gone, t);
                    mine.go(call_until_gone, t + 3);
                    CHECK(mine.run());
                });
            const auto end =
                std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 2000);
            while (std::chrono::steady_clock::now() < end) rt.run_once();
        }
        callers.clear();
        CHECK(done.gone == 4);
    }
    CHECK(token::alive == 0);
}

TEST_CASE("call stress: each call ends in one way, though its runtime stops, goes on and ends") {
    constexpr unsigned threads = 8;
    const unsigned rounds = under_tsan ? 15 : 60;
    tally all;
    for (unsigned round = 0; round < rounds; ++round) call_a_mortal(round, all);
    CHECK(all.gone == static_cast<long>(rounds * threads));
    CHECK(all.cancelled == 0);
    CHECK(all.answered > 0);
    CHECK(all.thrown > 0);
    CHECK(all.timed_out > 0);
    CHECK(token::alive == 0);
    MESSAGE(all.answered.load() << " answered, " << all.thrown.load() << " thrown, "
                                << all.timed_out.load() << " timed out");
}
