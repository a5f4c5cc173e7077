// The memory of the explorer: what stores in buffers may do, and nothing else.
#include <doctest/doctest.h>

#include <array>
#include <random>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "support/environment.hpp"
#include "support/interleave.hpp"

using namespace interleave;

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;
constexpr auto seq_cst = std::memory_order_seq_cst;

constexpr options unbounded{.preemptions = 1000};

using pairs = std::set<std::pair<int, int>>;

// Store buffering: each thread writes its own variable and reads the other's.
pairs store_buffering(std::memory_order order) {
    pairs seen;
    const result r = explore({}, [&] {
        sync::atomic<int> x{0}, y{0};
        int saw_y = -1, saw_x = -1;
        run(
            [&] {
                x.store(1, order);
                saw_y = y.load(acquire);
            },
            [&] {
                y.store(1, order);
                saw_x = x.load(acquire);
            });
        seen.insert({saw_y, saw_x});
    });
    CHECK_MESSAGE(r.passed(), r.report());
    return seen;
}

}  // namespace

TEST_CASE("interleave: memory, under ThreadSanitizer" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("interleave: stores linger in buffers unless they are sequentially consistent") {
    const pairs all{{0, 0}, {0, 1}, {1, 0}, {1, 1}};
    pairs without_both_missing = all;
    without_both_missing.erase({0, 0});

    CHECK(store_buffering(relaxed) == all);
    CHECK(store_buffering(release) == all);
    CHECK(store_buffering(seq_cst) == without_both_missing);
}

TEST_CASE("interleave: a thread reads its own stores, others see them in order") {
    const result r = explore(unbounded, [] {
        sync::atomic<int> data{0}, flag{0};
        run(
            [&] {
                data.store(1, relaxed);
                flag.store(1, release);
                check(data.load(relaxed) == 1, "a thread reads its own store");
            },
            [&] {
                if (flag.load(acquire) == 1) check(data.load(relaxed) == 1, "in order");
            });
    });
    CHECK_MESSAGE(r.passed(), r.report());
}

TEST_CASE("interleave: a store may arrive at any touch of its place, and no other moment counts") {
    std::multiset<int> seen;
    const result r = explore({}, [&] {
        sync::atomic<int> x{0};
        int saw = -1;
        run([&] { x.store(1, relaxed); }, [&] { saw = x.load(relaxed); });
        seen.insert(saw);
    });
    CHECK(r.passed());
    CHECK(seen == std::multiset<int>{0, 0, 1});  // before the store; after, still buffered; arrived
}

// The same outcomes as a machine that is written down straight from the definition of TSO (a buffer
// may pass its oldest entry to memory at every step), for random small programs.
namespace {

struct op {
    enum kind { store, load, exchange, heavy_fence } what;
    int place;
    int value;
};
using program = std::vector<std::vector<op>>;  // one list per thread
using outcome = std::vector<int>;              // what each load and exchange saw, then the memory

constexpr int places = 2;

struct machine {
    std::vector<std::size_t> at;
    std::vector<std::vector<std::pair<int, int>>> buffers;
    std::vector<int> memory = std::vector<int>(places);
    std::vector<std::vector<int>> saw;
    friend bool operator<(const machine& a, const machine& b) {
        return std::tie(a.at, a.buffers, a.memory, a.saw) <
               std::tie(b.at, b.buffers, b.memory, b.saw);
    }
};

class reference {
public:
    explicit reference(const program& p) : program_(p) {
        machine m;
        m.at.resize(p.size());
        m.buffers.resize(p.size());
        m.saw.resize(p.size());
        visit(m);
    }
    std::set<outcome> outcomes;

private:
    void visit(const machine& m) {
        if (!visited_.insert(m).second) return;
        bool ended = true;
        for (std::size_t t = 0; t < program_.size(); ++t) {
            if (!m.buffers[t].empty()) {
                ended = false;
                machine next = m;
                arrive(next, t);
                visit(next);
            }
            if (m.at[t] < program_[t].size()) {
                ended = false;
                machine next = m;
                if (perform(next, t, program_[t][m.at[t]])) visit(next);
            }
        }
        if (ended) outcomes.insert(outcome_of(m));
    }

    static void arrive(machine& m, std::size_t t) {
        const auto [place, value] = m.buffers[t].front();
        m.buffers[t].erase(m.buffers[t].begin());
        m.memory[static_cast<std::size_t>(place)] = value;
    }

    static bool perform(machine& m, std::size_t t, const op& o) {
        int& cell = m.memory[static_cast<std::size_t>(o.place)];
        ++m.at[t];
        if (o.what == op::store) {
            m.buffers[t].push_back({o.place, o.value});
        } else if (o.what == op::exchange) {
            if (!m.buffers[t].empty()) return false;  // a barrier
            m.saw[t].push_back(std::exchange(cell, o.value));
        } else if (o.what == op::heavy_fence) {
            for (const auto& buffer : m.buffers)
                if (!buffer.empty()) return false;
        } else {
            int value = cell;
            for (const auto& [place, stored] : m.buffers[t])
                if (place == o.place) value = stored;
            m.saw[t].push_back(value);
        }
        return true;
    }

    static outcome outcome_of(const machine& m) {
        outcome o;
        for (const auto& seen : m.saw) o.insert(o.end(), seen.begin(), seen.end());
        o.insert(o.end(), m.memory.begin(), m.memory.end());
        return o;
    }

    const program& program_;
    std::set<machine> visited_;
};

std::set<outcome> explored(const program& p) {
    std::set<outcome> seen;
    const result r = explore(unbounded, [&] {
        std::array<sync::atomic<int>, places> memory;
        std::vector<std::vector<int>> saw(p.size());
        const auto thread = [&](std::size_t t) {
            if (t >= p.size()) return;
            for (const op& o : p[t]) {
                auto& cell = memory[static_cast<std::size_t>(o.place)];
                if (o.what == op::store) cell.store(o.value, relaxed);
                if (o.what == op::load) saw[t].push_back(cell.load(relaxed));
                if (o.what == op::heavy_fence) sync::heavy_fence();
                if (o.what == op::exchange) saw[t].push_back(cell.exchange(o.value, relaxed));
            }
        };
        run([&] { thread(0); }, [&] { thread(1); }, [&] { thread(2); });
        outcome o;
        for (const auto& s : saw) o.insert(o.end(), s.begin(), s.end());
        for (auto& cell : memory) o.push_back(cell.load(relaxed));
        seen.insert(o);
    });
    CHECK_MESSAGE(r.passed(), r.report());
    return seen;
}

}  // namespace

TEST_CASE("interleave: reaches exactly the outcomes that TSO allows") {
    std::mt19937 random(1);
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    for (int round = 0; round < 60; ++round) {
        program p(static_cast<std::size_t>(2 + below(2)));
        int value = 0;
        for (auto& thread : p)
            for (int n = p.size() == 2 ? 3 : 2; n > 0; --n) {
                constexpr std::array kinds{op::store, op::load, op::store,    op::load,
                                           op::store, op::load, op::exchange, op::heavy_fence};
                const auto kind = kinds[static_cast<std::size_t>(below(kinds.size()))];
                thread.push_back({kind, below(places), ++value});
            }
        CHECK(explored(p) == reference(p).outcomes);
    }
}

TEST_SUITE_END();
