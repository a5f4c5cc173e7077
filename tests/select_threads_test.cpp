// Select at what other threads share: bridges and pools.
#include <wire/select.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <span>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <wire/bridge.hpp>
#include <wire/channel.hpp>
#include <wire/pool.hpp>
#include <wire/raw_pool.hpp>
#include <wire/spawn.hpp>

#include "support/box.hpp"
#include "support/count_malloc.hpp"
#include "support/environment.hpp"
#include "support/io.hpp"
#include "support/never_called.hpp"
#include "support/on_wire.hpp"
#include "support/pools.hpp"
#include "support/sleep_watch.hpp"
#include "sys.hpp"

namespace wire::test {
namespace {

using namespace std::chrono_literals;

TEST_CASE("select: a value that a bridge holds is received, one that it has room for is sent") {
    on_wire([] {
        bridge<box> b(1);
        box mine = boxed(7);
        CHECK(*select(on_recv(b, never_called),
                      on_send(b, mine, [](result<void> r) { CHECK(r); })) == 1);
        CHECK(mine == nullptr);
        box next = boxed(8);
        CHECK(*select(on_send(b, next, never_called),
                      on_recv(b, [](result<box> got) { CHECK(**got == 7); })) == 1);
        CHECK(*next == 8);
    });
}

TEST_CASE("select: the same of a pool") {
    on_wire([] {
        pool<box> p(1);
        box mine = boxed(7);
        CHECK(*select(on_take(p, never_called),
                      on_put(p, mine, [](result<void> r) { CHECK(r); })) == 1);
        CHECK(*select(on_put(p, mine, never_called),
                      on_take(p, [](result<box> got) { CHECK(**got == 7); })) == 1);
    });
}

TEST_CASE("select: the same of a pool of bytes, which are copied") {
    on_wire([] {
        raw_pool p(1, sizeof(int));
        const int mine = 7;
        const auto element = std::as_bytes(std::span(&mine, 1));
        int got = 0;
        const auto into = std::as_writable_bytes(std::span(&got, 1));
        const auto done = [](result<void> r) { CHECK(r); };
        CHECK(*select(on_take(p, into, never_called), on_put(p, element, done)) == 1);
        CHECK(*select(on_put(p, element, never_called), on_take(p, into, done)) == 1);
        CHECK(got == 7);

        got = 0;
        auto taker = spawn([&] { CHECK(*select(on_take(p, into, done)) == 0); });
        yield();
        CHECK(got == 0);
        CHECK(p.put(element));
        CHECK(taker.join());
        CHECK(got == 7);
    });
}

TEST_CASE("select: a closed bridge or pool happens with EPIPE") {
    on_wire([] {
        bridge<int> b(1);
        pool<int> p(1);
        raw_pool raw(1, sizeof(int));
        b.close();
        p.close();
        raw.close();
        int value = 1;
        const auto bytes = std::as_writable_bytes(std::span(&value, 1));
        const auto closed = [](auto outcome) { CHECK(outcome.code() == EPIPE); };
        CHECK(select(on_recv(b, closed)));
        CHECK(select(on_send(b, value, closed)));
        CHECK(select(on_take(p, closed)));
        CHECK(select(on_put(p, value, closed)));
        CHECK(select(on_take(raw, bytes, closed)));
        CHECK(select(on_put(raw, bytes, closed)));
    });
}

TEST_CASE("select: otherwise, if a bridge is empty and a pool is full") {
    on_wire([] {
        bridge<int> b(1);
        pool<int> p(1);
        CHECK(p.put(1));
        int value = 2;
        CHECK(*select(on_recv(b, never_called), on_put(p, value, never_called), otherwise()) == 2);
    });
}

TEST_CASE("select: a wire that sleeps is woken by what another wire sends, and takes it") {
    on_wire([] {
        bridge<int> b(1);
        auto taker = spawn([&] {
            int got = 0;
            CHECK(*select(on_deadline(within(1h), never_called),
                          on_recv(b, [&](result<int> r) { got = *r; })) == 1);
            return got;
        });
        yield();
        CHECK(b.send(5));
        CHECK(taker.join().value() == 5);

        CHECK(b.send(6));
        auto giver = spawn([&] {
            int seven = 7;
            CHECK(*select(on_send(b, seven, [](result<void> r) { CHECK(r); })) == 0);
        });
        yield();
        CHECK(b.recv().value() == 6);
        CHECK(giver.join());
        CHECK(b.recv().value() == 7);
    });
}

TEST_CASE("select: who is signalled and chooses something else passes the signal on") {
    on_wire([] {
        bridge<int> b(1);
        channel<int> ch;
        auto first = spawn([&] {
            CHECK(*select(on_recv(b, never_called), on_recv(ch, [](result<int>) {})) == 1);
        });
        yield();
        auto second = spawn([&] { return *b.recv(); });
        // Not by yielding until it sleeps: it would look for a while on the true clock.
        CHECK(sleep(within(1s)));
        CHECK(ch.send(0));  // decides the first's select
        CHECK(b.send(5));   // signals the first, which has waited longest
        CHECK(second.join(within(1h)).value() == 5);
        CHECK(first.join());
    });
}

TEST_CASE("select: a wire whose deadline passes, or that is cancelled, leaves the bridge") {
    on_wire([] {
        bridge<int> b(1);
        CHECK(*select(on_recv(b, never_called), on_deadline(within(1s))) == 1);
        auto cancelled = spawn([&] { return select(on_recv(b, never_called)).code(); });
        yield();
        cancelled.cancel();
        CHECK(cancelled.join().value() == ECANCELED);
        CHECK(b.send(1));
        CHECK(b.recv().value() == 1);
    });
}

// A branch that never happens, and whose queue takes a while to leave: as that of a bridge does
// whose signal is on its way from another thread.
class slow_to_leave : public branch {
    bool ready(wire::detail::selection&) noexcept override { return false; }
    bool commit() noexcept override { return false; }
    bool arm(wire::detail::selection&) noexcept override { return true; }
    void disarm() noexcept override {
        const shield until_left;
        CHECK(sleep(within(1ms)));
    }
    void handle() override {}
};

TEST_CASE("select: while it leaves the queues nothing happens any more") {
    on_wire([] {
        channel<box> ch;
        auto cancelled =
            spawn([&] { return select(on_recv(ch, never_called), slow_to_leave()).code(); });
        yield();
        cancelled.cancel();
        auto sender = spawn([&] { return ch.send(boxed(2)); });
        CHECK(cancelled.join().value() == ECANCELED);
        CHECK(**ch.recv(within(1s)) == 2);
        CHECK(sender.join().value());
    });
}

// Selects that have to wait, one of each kind of branch.
struct waiting_selects {
    waiting_selects() {
        CHECK(full_bridge.send(1));
        CHECK(full_pool.put(1));
    }
    void close_all() {
        for (bridge<int>* const b : {&empty_bridge, &full_bridge}) b->close();
        for (pool<int>* const p : {&empty_pool, &full_pool}) p->close();
    }
    // Nobody waits any more, and nothing has been taken or given.
    void expect_untouched() {
        CHECK(value == 77);
        for (bridge<int>* const b : {&empty_bridge, &full_bridge}) {
            CHECK(b->size() == (b == &full_bridge ? 1 : 0));
            if (b == &empty_bridge) CHECK(b->try_send(1));
            CHECK(b->try_recv().value_or(-1) == 1);
        }
        for (pool<int>* const p : {&empty_pool, &full_pool}) {
            CHECK(p->size() == (p == &full_pool ? 1 : 0));
            if (p == &empty_pool) CHECK(p->try_put(1));
            CHECK(p->try_take().value_or(-1) == 1);
        }
    }

    bridge<int> empty_bridge{1}, full_bridge{1};
    pool<int> empty_pool{1}, full_pool{1};
    int value = 77;

    // Each returns the code of the branch, or that of a select in which none happened.
    std::array<std::function<int()>, 4> calls{
        [this] { return code_of([this](auto f) { return select(on_recv(empty_bridge, f)); }); },
        [this] {
            return code_of([this](auto f) { return select(on_send(full_bridge, value, f)); });
        },
        [this] { return code_of([this](auto f) { return select(on_take(empty_pool, f)); }); },
        [this] { return code_of([this](auto f) { return select(on_put(full_pool, value, f)); }); },
    };

private:
    template <class Select>
    static int code_of(Select call) {
        int code = 0;
        const auto chosen = call([&](const auto& outcome) { code = outcome.code(); });
        return chosen ? code : chosen.code();
    }
};

TEST_CASE("select: a bridge or pool that is closed wakes who waits, for whatever") {
    waiting_selects all;
    on_wire([&] {
        std::vector<handle<int>> waiters;
        for (const auto& call : all.calls) waiters.push_back(spawn(call));
        yield();
        all.close_all();
        for (auto& w : waiters) CHECK(w.join(within(1h)).value_or(0) == EPIPE);
    });
    CHECK(all.value == 77);
}

TEST_CASE("select: another thread closes the bridge or pool at which a wire waits") {
    waiting_selects all;
    {
        const sleep_watch asleep;
        std::vector<std::jthread> waiters;
        for (const auto& call : all.calls)
            waiters.push_back(start(as::wire, [&] { CHECK(call() == EPIPE); }));
        asleep.until(4);
        all.close_all();
    }
    CHECK(all.value == 77);
}

TEST_CASE("select: a wire that is cancelled leaves the bridge or pool as it is") {
    waiting_selects all;
    on_wire([&] {
        std::vector<handle<int>> early, asleep;
        for (const auto& call : all.calls) {
            early.push_back(spawn(call));
            early.back().cancel();
            asleep.push_back(spawn(call));
        }
        yield();
        for (auto& w : asleep) w.cancel();
        for (auto& w : early) CHECK(w.join(within(1h)).value_or(0) == ECANCELED);
        for (auto& w : asleep) CHECK(w.join(within(1h)).value_or(0) == ECANCELED);
    });
    all.expect_untouched();
}

TEST_CASE("select: who is cancelled when it has been signalled takes the value or passes it on") {
    on_wire([] {
        bridge<int> b(1, waiting::park);
        auto first = spawn([&] {
            int got = 0;
            const auto chosen = select(on_recv(b, [&](result<int> r) { got = r.value_or(-1); }));
            CHECK((chosen || chosen.code() == ECANCELED));
            return got;
        });
        yield();
        auto second = spawn([&] { return b.recv().value_or(0); });
        yield();
        CHECK(b.send(5));
        first.cancel();
        CHECK(sleep(within(1s)));
        CHECK(b.size() == 0);
        b.close();
        CHECK(first.join().value() + second.join().value() == 5);
    });
}

// Sends when the next place among sleepers has been taken, in the middle of that: the fence there
// is a system call.
class sending_meanwhile {
public:
    explicit sending_meanwhile(bridge<int>& to) {
        to_ = &to;
        wire::detail::sys::hook = &send;
    }
    ~sending_meanwhile() { wire::detail::sys::hook = nullptr; }
    sending_meanwhile(const sending_meanwhile&) = delete;
    sending_meanwhile& operator=(const sending_meanwhile&) = delete;

    [[nodiscard]] static bool done() { return to_ == nullptr; }

private:
    static int send(const char* call) noexcept {
        if (std::string_view(call) == "membarrier")
            if (bridge<int>* const to = std::exchange(to_, nullptr)) CHECK(to->try_send(5));
        return 0;
    }
    static inline bridge<int>* to_ = nullptr;
};

TEST_CASE("select: what comes while places are taken is seen, be it at the first or the last") {
    WIRE_LEAVE_OUT_IF(!wire::detail::thread_sync::has_heavy_fence(), "nobody can tell when");
    for (const bool at_the_last : {false, true}) {
        bridge<int> first(1), last(1);
        const sending_meanwhile sending(at_the_last ? last : first);
        int got = 0;
        const auto take = [&](result<int> r) { got = r.value_or(-1); };
        on_wire([&] { CHECK(select(on_recv(first, take), on_recv(last, take))); });
        CHECK(got == 5);
        CHECK(sending.done());
    }
}

TEST_CASE("select: at a bridge and a pool allocates nothing") {
    bridge<int> b(1);
    pool<int> p(1);
    const auto steps = [&] {
        int one = 1, two = 2;
        CHECK(select(on_send(b, one, [](result<void>) {}), on_take(p, never_called)));
        CHECK(select(on_recv(b, [](result<int>) {}), on_take(p, never_called)));
        CHECK(select(on_put(p, two, [](result<void>) {}), on_recv(b, never_called)));
        CHECK(select(on_recv(b, never_called), on_take(p, [](result<int>) {})));
        CHECK(*select(on_recv(b, never_called), on_deadline(within(1ms))) == 1);
    };
    if (counts_allocations()) CHECK(allocations_of(steps) == 0);
}

TEST_CASE("select: threads feed a wire that chooses among their bridges") {
    constexpr int values = 20'000;
    bridge<int> odd(7), even(100);
    pool<int> done(3);
    std::thread first([&] {
        for (int i = 1; i < values; i += 2) CHECK(odd.send(i));
        odd.close();
    });
    std::thread second([&] {
        for (int i = 0; i < values; i += 2) CHECK(even.send(i));
        even.close();
    });
    std::thread last([&] {
        long sum = 0;
        while (const auto n = done.take()) sum += *n;
        CHECK(sum == static_cast<long>(values) * (values - 1) / 2);
    });
    on_wires([&] {
        int open = 2;
        const auto pass_on = [&](result<int> got) {
            if (!got) --open;
            int value = got ? *got : 0;
            CHECK(select(on_put(done, value, [](result<void> r) { CHECK(r); })));
        };
        while (open == 2) CHECK(select(on_recv(odd, pass_on), on_recv(even, pass_on)));
        bridge<int>& rest = odd.closed() && odd.size() == 0 ? even : odd;
        while (open > 0) CHECK(select(on_recv(rest, pass_on)));
    });
    done.close();
    first.join();
    second.join();
    last.join();
}

// How often each value came.
class book {
public:
    explicit book(int values) : came_(static_cast<std::size_t>(values)) {}
    void came(int value) { came_.at(static_cast<std::size_t>(value)).fetch_add(1); }
    void expect_each_once() const {
        int wrong = 0;
        for (const auto& n : came_) wrong += n != 1;
        CHECK(wrong == 0);
    }

private:
    std::vector<std::atomic<int>> came_;
};

// Until both are closed and empty.
void take_all(bridge<int>& b, pool<int>& p, book& all) {
    bool more_in_b = true, more_in_p = true;
    const auto to = [&](bool& more) {
        return [&](result<int> got) { got ? all.came(*got) : void(more = false); };
    };
    while (more_in_b && more_in_p)
        CHECK(select(on_recv(b, to(more_in_b)), on_take(p, to(more_in_p))));
    while (more_in_b) CHECK(select(on_recv(b, to(more_in_b))));
    while (more_in_p) CHECK(select(on_take(p, to(more_in_p))));
}

void give(bridge<int>& b, pool<int>& p, int from, int to) {
    const auto given = [](result<void> r) { CHECK(r); };
    for (int value = from; value < to; ++value)
        CHECK(select(on_send(b, value, given), on_put(p, value, given)));
}

TEST_CASE("select: wires of two runtimes and threads share a bridge and a pool") {
    constexpr int runtimes = 2, wires = 3, each = 300, of_threads = 2 * runtimes * wires * each;
    bridge<int> b(3);
    pool<int> p(2);
    book all(of_threads + 2 * each);
    std::vector<std::jthread> takers, givers;
    takers.emplace_back([&] {
        while (const auto got = b.recv()) all.came(*got);
    });
    takers.emplace_back([&] {
        while (const auto got = p.take()) all.came(*got);
    });
    for (int r = 0; r < runtimes; ++r) {
        takers.push_back(start(as::wire, [&] {
            for (int w = 0; w < wires; ++w) go([&] { take_all(b, p, all); });
        }));
        givers.push_back(start(as::wire, [&, r] {
            for (int w = 0; w < wires; ++w) {
                const int first = 2 * (r * wires + w) * each;
                go([&, first] { give(b, p, first, first + 2 * each); });
            }
        }));
    }
    givers.emplace_back([&] {
        for (int i = 0; i < each; ++i) {
            CHECK(b.send(of_threads + 2 * i));
            CHECK(p.put(of_threads + 2 * i + 1));
        }
    });
    givers.clear();
    b.close();
    p.close();
    takers.clear();
    all.expect_each_once();
}

}  // namespace
}  // namespace wire::test
