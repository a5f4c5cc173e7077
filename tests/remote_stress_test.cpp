// Several threads and runtimes at once. Run under ThreadSanitizer, too: at most 1,000 wires.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include <wire/diagnostics.hpp>
#include <wire/runtime.hpp>
#include "support/environment.hpp"

using namespace wire;
using wire::test::under_tsan;
using namespace std::chrono_literals;

namespace {

// Stays for a moment that differs from round to round, so that threads meet in all states.
void dawdle(std::minstd_rand& random) {
    switch (random() % 4) {
        case 0:
            return;
        case 1:
            return std::this_thread::yield();
        case 2:
            return std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
        default:
            for (volatile auto i = random() % 500; i > 0;) i = i - 1;
    }
}

}  // namespace

TEST_CASE("remote stress: every wire that several threads send runs exactly once") {
    constexpr int producers = 4, each = 250;
    for (unsigned round = 0; round < (under_tsan ? 2 : 5); ++round) {
        runtime rt;
        int ran = 0;
        std::vector<int> last(producers, -1);
        bool in_order = true;
        std::optional<work_guard> guard(rt);
        std::vector<std::jthread> threads;
        for (int p = 0; p < producers; ++p) {
            threads.emplace_back([&, p, r = rt.remote()] {
                std::minstd_rand random(round * 10 + static_cast<unsigned>(p) + 1);
                for (int i = 0; i < each; ++i) {
                    if (random() % 16 == 0) dawdle(random);
                    CHECK(r.go([&, p, i] {
                        int& before = last[static_cast<std::size_t>(p)];
                        in_order = in_order && before == i - 1;
                        before = i;
                        if (++ran == producers * each) guard.reset();
                    }));
                }
            });
        }
        CHECK(rt.run());
        CHECK(ran == producers * each);
        CHECK(in_order);  // of each producer
    }
}

TEST_CASE("remote stress: a wire that is resumed from another thread never sleeps through it") {
    // A token goes to and fro: a lost wake-up is a hang.
    constexpr int rounds = 3000;
    runtime rt;
    std::atomic<int> asked{0}, answered{0};
    std::jthread other;
    rt.go([&] {
        other = std::jthread([&, r = rt.remote(), wire = this_wire::ref()] {
            std::minstd_rand random(7);
            for (int i = 1; i <= rounds; ++i) {
                while (asked.load(std::memory_order_acquire) < i) std::this_thread::yield();
                if (random() % 64 == 0) dawdle(random);
                answered.store(i, std::memory_order_release);
                CHECK(r.resume(wire));
            }
        });
        for (int i = 1; i <= rounds; ++i) {
            asked.store(i, std::memory_order_release);
            while (answered.load(std::memory_order_acquire) < i) CHECK(suspend());
        }
    });
    CHECK(rt.run());
    CHECK(answered == rounds);
}

TEST_CASE("remote stress: resumes of many wires by many threads lose none") {
    constexpr int wires = 50, threads = 4, rounds = 100;
    runtime rt;
    std::vector<std::atomic<int>> tickets(wires);
    std::vector<wire_ref> refs(wires);
    std::vector<std::jthread> all;
    for (std::size_t w = 0; w < wires; ++w) {
        rt.go([&, w] {
            refs[w] = this_wire::ref();
            int seen = 0;
            while (seen < threads * rounds) {
                CHECK(suspend());
                seen = tickets[w].load(std::memory_order_acquire);
            }
        });
    }
    rt.go([&] {
        for (unsigned t = 0; t < threads; ++t) {
            all.emplace_back([&, t, r = rt.remote()] {
                std::minstd_rand random(t + 1);
                for (int i = 0; i < rounds; ++i) {
                    for (std::size_t w = 0; w < wires; ++w) {
                        tickets[w].fetch_add(1, std::memory_order_release);
                        CHECK(r.resume(refs[w]));
                    }
                    if (random() % 8 == 0) dawdle(random);
                }
            });
        }
    });
    CHECK(rt.run());
    for (const auto& t : tickets) CHECK(t == threads * rounds);
}

TEST_CASE("remote stress: a runtime may end while other threads still send, resume and stop") {
    for (unsigned round = 0; round < (under_tsan ? 20 : 60); ++round) {
        std::minstd_rand random(round + 1);
        std::atomic<int> accepted{0}, ran{0};
        const auto token = std::make_shared<int>(0);
        std::vector<std::jthread> threads;
        {
            runtime rt;
            wire_ref sleeper;
            rt.go([&] {
                sleeper = this_wire::ref();
                while (suspend()) {
                }
            });
            rt.run_once();
            for (unsigned t = 0; t < 3; ++t) {
                threads.emplace_back([&, t, sleeper, r = rt.remote()] {
                    std::minstd_rand mine(round * 3 + t + 1);
                    for (bool there = true; there;) {
                        switch (mine() % 3) {
                            case 0:
                                there = r.resume(sleeper);
                                break;
                            case 1:
                                there = t != 0 || r.stop();
                                break;
                            default:
                                there = r.go([&, token] { ++ran; });
                                if (there) ++accepted;
                        }
                        if (accepted > 300) std::this_thread::yield();
                        if (accepted > 900) return;
                        dawdle(mine);
                    }
                });
            }
            if (round % 2) static_cast<void>(rt.run());  // until a stop
            dawdle(random);
        }
        threads.clear();
        CHECK(ran == accepted);  // if only to be cancelled
        CHECK(token.use_count() == 1);
    }
}

TEST_CASE("remote stress: a wire that is accepted runs, however late it comes") {
    // The runtime has nothing to do and ends at once: each wire meets another moment of its end.
    std::atomic<const remote*> target{nullptr};
    std::atomic<int> ran{0};
    std::atomic<bool> quit{false};
    int accepted = 0;
    std::jthread other([&] {
        while (!quit.load(std::memory_order_acquire)) {
            const remote* const r = target.load(std::memory_order_acquire);
            if (!r) continue;
            for (int i = 0; i < 50 && r->go([&] { ++ran; }); ++i) ++accepted;
            target.store(nullptr, std::memory_order_release);
        }
    });
    for (int round = 0; round < (under_tsan ? 100 : 1000); ++round) {
        remote r;
        {
            runtime rt;
            r = rt.remote();
            rt.go([] {});
            target.store(&r, std::memory_order_release);
            for (volatile int i = round % 50 * 10; i > 0;) i = i - 1;
        }
        while (target.load(std::memory_order_acquire)) std::this_thread::yield();
    }
    quit.store(true, std::memory_order_release);
    other.join();
    CHECK(ran == accepted);
}

TEST_CASE("remote stress: what was written before a stop is seen when run has returned") {
    for (unsigned round = 0; round < 300; ++round) {
        runtime rt;
        int written = 0;
        std::jthread other([&, r = rt.remote()] {
            std::minstd_rand random(round + 1);
            dawdle(random);
            written = 1;
            CHECK(r.stop());
        });
        const work_guard guard(rt);
        CHECK(rt.run());
        CHECK(written == 1);
    }
}

TEST_CASE("remote stress: runtimes that send wires to each other") {
    constexpr int hops = 400;
    runtime left;
    std::atomic<int> count{0};
    std::optional<remote> to_left(left.remote());
    std::jthread other;
    std::atomic<bool> up{false};
    std::optional<remote> to_right;
    other = std::jthread([&] {
        runtime right;
        to_right.emplace(right.remote());
        up.store(true, std::memory_order_release);
        up.notify_one();
        const work_guard guard(right);
        static_cast<void>(right.run());  // until a stop
    });
    up.wait(false, std::memory_order_acquire);

    struct ball {
        std::atomic<int>& count;
        std::optional<remote>& home;
        std::optional<remote>& away;
        void operator()() const {
            if (++count == hops) {
                static_cast<void>(away->stop());
                static_cast<void>(home->stop());
                return;
            }
            static_cast<void>(away->go(ball{count, away, home}));
        }
    };
    left.go(ball{count, to_left, to_right});
    const work_guard guard(left);
    CHECK(left.run());
    to_right->stop();
    other.join();
    CHECK(count == hops);
}

TEST_CASE("remote stress: the last remote may go at any moment, and the deadlock is reported") {
    for (unsigned round = 0; round < 200; ++round) {
        runtime rt;
        std::jthread other([r = rt.remote(), round]() mutable {
            std::minstd_rand random(round + 1);
            dawdle(random);
            r = remote();
        });
        set_diagnostics_handler([](diagnostic, std::string_view) noexcept {});
        rt.go([] { static_cast<void>(suspend()); });
        CHECK(rt.run().code() == EDEADLK);
        set_diagnostics_handler(nullptr);
    }
}

TEST_CASE("remote stress: the last remote may wake a wire and go while the runtime lies down") {
    // It was called a deadlock now and then: the runtime saw the remote gone before it looked
    // whether that had left something in the inbox.
    std::atomic<remote*> box{nullptr};
    std::atomic<bool> quit{false};
    std::atomic<int> delay{0};
    wire_ref ref;
    std::jthread other([&] {
        while (!quit.load(std::memory_order_acquire)) {
            const std::unique_ptr<remote> last(box.exchange(nullptr, std::memory_order_acquire));
            if (!last) continue;
            for (volatile int i = delay; i > 0;) i = i - 1;
            CHECK(last->resume(ref));
        }
    });
    runtime rt;
    int deadlocks = 0;
    for (int round = 0; round < (under_tsan ? 5000 : 200'000); ++round) {
        delay = round % 100;
        rt.go([&] {
            ref = this_wire::ref();
            box.store(new remote(this_wire::remote()), std::memory_order_release);
            CHECK(suspend());
        });
        while (!rt.run()) ++deadlocks;
    }
    quit.store(true, std::memory_order_release);
    CHECK(deadlocks == 0);
}
