// Helper threads against cancellation, deadlines and the end of runtimes. Run under
// ThreadSanitizer, too.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include <wire/diagnostics.hpp>
#include <wire/offload.hpp>
#include <wire/reactor.hpp>
#include <wire/runtime.hpp>

#include "support/environment.hpp"

namespace wire::test {
namespace {

using namespace std::chrono_literals;

struct tally {
    long done = 0, cancelled = 0, timed_out = 0, thrown = 0;
    std::atomic<long> ran{0};

    void count(int code) {
        done += code == 0;
        cancelled += code == ECANCELED;
        timed_out += code == ETIMEDOUT;
    }
    [[nodiscard]] long sum() const { return done + cancelled + timed_out + thrown; }
};

// A call that writes into its caller's frame, for a moment that differs from call to call.
void call_once(std::minstd_rand& random, tally& all) {
    std::array<unsigned, 16> frame{};
    const unsigned seed = static_cast<unsigned>(random());
    const deadline until = seed % 3 == 0 ? never : within(std::chrono::microseconds(seed % 300));
    try {
        const auto r = io::offload(until, [&] {
            ++all.ran;
            if (seed % 5 == 0) std::this_thread::sleep_for(std::chrono::microseconds(seed % 100));
            frame.fill(seed);
            if (seed % 7 == 0) throw seed;
        });
        all.count(r.code());
        for (const unsigned word : frame) CHECK(word == (r ? seed : 0));
    } catch (unsigned thrown) {
        ++all.thrown;
        CHECK(thrown == seed);
    }
}

void disturb(std::vector<handle<void>>& wires, std::minstd_rand& random) {
    for (auto& w : wires)
        if (random() % 4 == 0 && !w.finished()) w.cancel();
}

TEST_CASE("offload stress: calls, deadlines and cancellations on few helpers that come and go") {
    const unsigned rounds = under_tsan ? 10 : 40;
    constexpr int wires = 16, each = 20;
    tally all;
    long made = 0;
    for (unsigned round = 0; round < rounds; ++round) {
        runtime rt({.stack = {.size = 256 * 1024}});
        const io::reactor reactor(rt, {.helpers = 3, .helpers_idle = 100us});
        rt.go([&, round] {
            std::minstd_rand random(round + 1);
            std::vector<handle<void>> callers;
            for (unsigned w = 0; w < wires; ++w)
                callers.push_back(spawn([&all, &made, seed = round * 100 + w + 1] {
                    std::minstd_rand mine(seed);
                    for (int i = 0; i < each; ++i, ++made) call_once(mine, all);
                }));
            static_cast<void>(sleep(within(std::chrono::microseconds(random() % 3000))));
            disturb(callers, random);
            for (auto& c : callers) CHECK(c.join());
        });
        CHECK(rt.run());
    }
    CHECK(made == long{rounds} * wires * each);
    CHECK(all.sum() == made);
    CHECK(all.ran == all.done + all.thrown);
    CHECK(all.cancelled > 0);
    CHECK(all.timed_out > 0);
    MESSAGE(all.done << " done, " << all.thrown << " thrown, " << all.cancelled << " cancelled, "
                     << all.timed_out << " timed out");
}

TEST_CASE("offload stress: runtimes that end while their helpers are busy") {
    WIRE_LEAVE_OUT_IF(under_asan, "what abandoned wires hold is a leak to it");
    set_diagnostics_handler([](diagnostic, std::string_view) noexcept {});
    for (unsigned round = 0; round < (under_tsan ? 20 : 100); ++round) {
        tally all;
        int begun = 0, ended = 0;
        {
            runtime rt({.stack = {.size = 256 * 1024}, .drain = std::chrono::nanoseconds(0)});
            const io::reactor reactor(rt, {.helpers = 2, .helpers_idle = 100us});
            for (unsigned w = 0; w < 8; ++w)
                rt.go([&, seed = round * 10 + w + 1] {
                    std::minstd_rand mine(seed);
                    ++begun;
                    while (!this_wire::cancelled()) call_once(mine, all);
                    ++ended;
                });
            const auto end =
                std::chrono::steady_clock::now() + std::chrono::microseconds(round * 20);
            while (std::chrono::steady_clock::now() < end) rt.run_once();
        }
        CHECK(all.ran <= all.sum() + begun - ended);
    }
    set_diagnostics_handler(nullptr);
}

}  // namespace
}  // namespace wire::test
