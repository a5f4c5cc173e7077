// The locks under random orders: many wires lock, wait, give up and are cancelled, all drawn from a
// seed, while the runtime draws which wire runs next. Checked are mutual exclusion, order of
// service, and that nothing is lost: a lost wake-up leaves wires waiting, and run() says so.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <shared_mutex>

#include <wire/barrier.hpp>
#include <wire/condition_variable.hpp>
#include <wire/mutex.hpp>
#include <wire/once.hpp>
#include <wire/runtime.hpp>
#include <wire/semaphore.hpp>
#include <wire/shared_mutex.hpp>
#include "support/sim_poller.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t seeds = 300;
constexpr std::size_t wire_count = 12;
constexpr int rounds = 20;

// Some wires of a runtime with a random order, and a wire that cancels what they are at.
class turmoil {
public:
    explicit turmoil(std::uint64_t seed)
        : random_(seed * 0x9e3779b97f4a7c15), sim_({.seed = seed}) {}

    /// Runs `step()` in so many wires, some rounds each, and returns whether all came to an end.
    template <class Step>
    bool run(Step step) {
        for (std::size_t w = 0; w < wire_count; ++w) {
            sim_.rt.go([this, w, &step] {
                for (int i = 0; i < rounds; ++i) {
                    cancel_scope scope;
                    scopes_[w] = &scope;
                    step();
                    scopes_[w] = nullptr;
                }
                ++ended_;
            });
        }
        sim_.rt.go([this] {
            while (ended_ < wire_count) {
                if (cancel_scope* const scope = scopes_[below(wire_count)]) scope->cancel();
                CHECK(sleep(within(std::chrono::microseconds(below(500)))));
            }
        });
        return sim_.rt.run().has_value() && ended_ == wire_count;
    }

    /// A random number in [0, end).
    std::size_t below(std::size_t end) {
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        random_ ^= random_ << 17;
        return (random_ >> 20) % end;
    }
    /// Perhaps never, perhaps passed already.
    deadline some_deadline() {
        if (below(3) == 0) return never;
        return within(std::chrono::microseconds(below(300)));
    }
    void linger() {
        const shield protect;
        const std::size_t what = below(4);
        if (what == 1) yield();
        if (what >= 2) CHECK(sleep(within(std::chrono::microseconds(below(100)))));
    }

private:
    std::uint64_t random_;
    sim sim_;
    std::array<cancel_scope*, wire_count> scopes_{};
    std::size_t ended_ = 0;
};

// Which requests were served: each wire asks with a number that grows.
struct service {
    int ask() { return ++asked; }
    /// Nobody who asked later has been served.
    void serve_in_order(int number) {
        CHECK(number > last);
        last = number;
    }
    int asked = 0;
    int last = 0;
};

template <class Play>
void with_all_seeds(Play play) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        INFO("seed ", seed);
        turmoil t(seed);
        play(t);
    }
}

}  // namespace

TEST_CASE("locks stress: a mutex has one holder, served in the order of asking") {
    with_all_seeds([](turmoil& t) {
        mutex m;
        service queue;
        int holders = 0;
        CHECK(t.run([&] {
            if (t.below(8) == 0) {
                if (m.wait_clear(t.some_deadline())) CHECK(holders == 0);
                return;
            }
            const int number = queue.ask();
            if (t.below(3) == 0)
                m.lock();
            else if (!m.lock(t.some_deadline()))
                return;
            queue.serve_in_order(number);
            CHECK(++holders == 1);
            t.linger();
            CHECK(--holders == 0);
            m.unlock();
        }));
        CHECK(holders == 0);
    });
}

TEST_CASE("locks stress: a shared_mutex has one writer or readers, and nobody overtakes a writer") {
    with_all_seeds([](turmoil& t) {
        shared_mutex m;
        service queue;
        int newest = 0;  // of all that have entered
        int readers = 0, writers = 0;
        const auto write = [&](int number) {
            CHECK(number > newest);
            queue.serve_in_order(number);
            newest = number;
            CHECK(++writers == 1);
            CHECK(readers == 0);
            t.linger();
            --writers;
            m.unlock();
        };
        const auto read = [&](int number) {
            CHECK(number > queue.last);
            newest = std::max(newest, number);
            ++readers;
            CHECK(writers == 0);
            t.linger();
            --readers;
            m.unlock_shared();
        };
        CHECK(t.run([&] {
            const int number = queue.ask();
            switch (t.below(5)) {
                case 0:
                    return m.lock(), write(number);
                case 1:
                    return m.lock_shared(), read(number);
                case 2:
                    if (m.lock(t.some_deadline())) write(number);
                    return;
                default:
                    if (m.lock_shared(t.some_deadline())) read(number);
            }
        }));
    });
}

TEST_CASE("locks stress: through a condition_variable everything arrives once") {
    with_all_seeds([](turmoil& t) {
        mutex m;
        condition_variable filled, emptied;
        std::size_t wire = 0, held = 0, put = 0, taken = 0;
        CHECK(t.run([&] {
            // Half of the steps put one and half take one, whatever they must go through.
            const bool puts = wire++ % 2 == 0;
            condition_variable& mine = puts ? emptied : filled;
            const auto possible = [&] { return puts ? held < 3 : held > 0; };
            std::unique_lock lock(m);
            for (;;) {
                std::optional<shield> calm;
                if (this_wire::cancelled()) calm.emplace();
                if (mine.wait(lock, possible, t.some_deadline())) break;
            }
            held = puts ? held + 1 : held - 1;
            ++(puts ? put : taken);
            t.linger();
            (puts ? filled : emptied).notify_one();
        }));
        CHECK(put == wire_count * rounds / 2);
        CHECK(taken == put);
        CHECK(held == 0);
    });
}

TEST_CASE("locks stress: a barrier lets as many go as it was made for") {
    with_all_seeds([](turmoil& t) {
        barrier line(4);
        std::size_t past = 0, last = 0;
        CHECK(t.run([&] {
            t.linger();
            const auto through =
                line.arrive_and_wait(within(std::chrono::microseconds(t.below(300))));
            if (!through) return;
            ++past;
            if (*through) ++last;
        }));
        CHECK(past == 4 * last);
        CHECK(past > 0);
        CHECK(line.waiting() == 0);
    });
}

TEST_CASE("locks stress: a once is done once, however many fail before") {
    with_all_seeds([](turmoil& t) {
        std::array<once, 20> all;
        std::array<int, 20> done{}, running{};
        std::size_t step = 0;
        CHECK(t.run([&] {
            const std::size_t n = step++ * all.size() / (wire_count * rounds);
            const auto outcome = all[n].call(t.some_deadline(), [&]() -> result<void> {
                CHECK(++running[n] == 1);
                t.linger();
                --running[n];
                if (this_wire::cancelled() || t.below(4) > 0) return failure{EIO};
                ++done[n];
                return {};
            });
            if (outcome) CHECK(done[n] == 1);
        }));
        for (std::size_t n = 0; n < all.size(); ++n) CHECK(done[n] == int{all[n].done()});
    });
}

TEST_CASE("locks stress: a semaphore gives no more permits than it has") {
    with_all_seeds([](turmoil& t) {
        semaphore permits(3);
        int taken = 0;
        CHECK(t.run([&] {
            if (!permits.acquire(t.some_deadline())) return;
            CHECK(++taken <= 3);
            t.linger();
            --taken;
            permits.release();
        }));
        CHECK(permits.available() == 3);
    });
}
