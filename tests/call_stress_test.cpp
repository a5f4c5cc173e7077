// Several runtimes on several threads that call, send, resume and cancel each other with random
// deadlines. Seeded; run under ThreadSanitizer, too.
#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
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
            runtime rt({.drain = 20ms});
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
