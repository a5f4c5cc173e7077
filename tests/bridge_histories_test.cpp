// Random histories of real bridges, between threads and wires: a bounded queue, whose calls happen
// one after the other, explains each. (exchange_fifo_interleave_test.cpp shows the same of every
// schedule, on a model of the machine.) A lost wake-up is a hang.
//
// WIRE_EXPLORE=long in the environment goes on for half a minute.
#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include <wire/bridge.hpp>
#include "support/bridge_history.hpp"
#include "support/environment.hpp"
#include "support/faulty_bridge.hpp"
#include "support/with_seeds.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;
using interleave::bounded_fifo;

namespace {

constexpr std::array<std::size_t, 3> capacities{1, 2, 4};

const std::vector<lodging> four_threads{{false, {0}}, {false, {1}}, {false, {2}}, {false, {3}}};
const std::vector<std::vector<lodging>> all_lodgings{
    four_threads,
    {{true, {0}}, {true, {1}}, {true, {2}}, {true, {3}}},
    {{true, {0, 2}}, {true, {1, 3}}},
    {{true, {0, 1}}, {false, {2}}, {false, {3}}},
    {{true, {0, 2}}, {false, {1}}, {false, {3}}},
    {{true, {0, 1, 2, 3}}},
};

// Moved as slowly as only a large object is: who comes too early meets it half done.
struct slow_number {
    slow_number(int n) noexcept : value(n) {}
    slow_number(slow_number&& other) noexcept {
        for (volatile int i = 0; i < 100;) i = i + 1;
        value = other.value;
    }
    operator int() const noexcept { return value; }
    int value;
};

struct plan {
    std::size_t capacity;
    const std::vector<lodging>& lodgings;
    bool patient;
    std::size_t bridges;
    std::uint64_t seed;
};

// What came of the bridges.
struct findings {
    int overlaps = 0;
    int unexplained = 0;
    int faults = 0;
    std::string first;  // history of the unexplained
};

template <class Make>
findings play(const plan& p, Make make) {
    using bridge_type = typename decltype(make(1))::element_type;
    random_programs programs(p.seed);
    std::vector<std::unique_ptr<recorded<bridge_type>>> all;
    for (std::size_t i = 0; i < p.bridges; ++i)
        all.push_back(
            std::make_unique<recorded<bridge_type>>(make(p.capacity), programs.next(p.patient)));
    CHECK(meetings(all, p.lodgings).ran());
    findings found;
    for (auto& r : all) {
        const history h = r->finish();
        found.overlaps += overlaps(h);
        found.faults += r->faults();
        if (bounded_fifo(p.capacity).explains(h)) continue;
        if (++found.unexplained == 1) found.first = text(h);
    }
    return found;
}

constexpr std::size_t bridges_each = under_tsan ? 50 : 200;

// Over bridges of every capacity, by users of every kind. Returns how many calls overlapped.
template <class T>
int expect_explained(bool patient, waiting how, std::uint64_t seed) {
    int met = 0;
    for (const std::size_t capacity : capacities) {
        for (std::size_t l = 0; l < all_lodgings.size(); ++l) {
            CAPTURE(capacity);
            CAPTURE(l);
            const findings found =
                play({capacity, all_lodgings[l], patient, bridges_each, seed * 100 + l},
                     [how](std::size_t n) { return std::make_unique<bridge<T>>(n, how); });
            CAPTURE(found.first);
            CHECK(found.unexplained == 0);
            CHECK(found.faults == 0);
            met += found.overlaps;
        }
    }
    return met;
}

int expect_explained(bool patient, std::uint64_t seed) {
    return expect_explained<int>(patient, waiting::adaptive, seed) +
           expect_explained<int>(patient, waiting::park, seed) +
           expect_explained<slow_number>(patient, waiting::adaptive, seed) +
           expect_explained<slow_number>(patient, waiting::park, seed);
}

// The first history that shows the mistake, if one does.
std::string history_that_shows(mistake m) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        for (const std::size_t capacity : capacities) {
            const findings found =
                play({capacity, four_threads, false, 50, seed},
                     [m](std::size_t n) { return std::make_unique<faulty_bridge>(n, m); });
            if (found.unexplained) return found.first;
        }
    }
    return "";
}

}  // namespace

TEST_CASE("bridge histories: a bounded queue explains what calls see that wait a moment or try") {
    int met = 0;
    with_seeds(1, 15s, [&](std::uint64_t seed) { met += expect_explained(false, seed); });
    MESSAGE(met << " calls began while another was under way");
    CHECK(met > 0);
}

TEST_CASE("bridge histories: a bounded queue explains what calls see that wait for ever") {
    int met = 0;
    with_seeds(1, 15s, [&](std::uint64_t seed) { met += expect_explained(true, seed); });
    MESSAGE(met << " calls began while another was under way");
    CHECK(met > 0);
}

TEST_CASE("bridge histories: no queue explains those of a bridge with a mistake") {
    CHECK(history_that_shows(mistake::none) == "");
    for (const mistake m :
         {mistake::newest_first, mistake::swaps_two, mistake::seems_empty, mistake::seems_full,
          mistake::has_room_for_one_more, mistake::loses_one, mistake::doubles_one,
          mistake::sends_after_close, mistake::forgets_at_close, mistake::ends_while_full}) {
        CAPTURE(static_cast<int>(m));
        CHECK(history_that_shows(m) != "");
    }
}
