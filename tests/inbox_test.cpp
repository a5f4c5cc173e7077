// The inbox under every schedule of its producers and its owner with at most two preemptions.
//
// The cast is that of remote.cpp and loop.cpp: producers post (push, notify whom the owner sleeps
// in, say that it is paid); the owner serves, sleeps, changes its poller and ends. Then the same
// again with one thing spoiled at a time: each such defect must be found, or the tests prove
// nothing.
#include <doctest/doctest.h>

#include <inbox.hpp>
#include <utility>

#include "support/environment.hpp"
#include "support/interleave.hpp"
#include "support/post_office.hpp"

using interleave::check;
using interleave::post_office;
using interleave::tracked;
using wire::detail::basic_inbox;
using wire::detail::basic_request;
using wire::detail::inbox_node;
using request_kind = wire::detail::request;

namespace {

constexpr auto relaxed = std::memory_order_relaxed;

// ---- the cast

struct letter : inbox_node {
    letter() : inbox_node(nullptr) {}
    int from = 0;
    int number = 0;
    tracked<bool> written{false};
    bool opened = false;
    bool refused = false;
};

/// How many letters the owner opens before it changes its poller and before it ends.
struct plan {
    int producers;
    int letters;  // of each
    int before_moving;
    int before_ending;
    bool in_time = true;
};

constexpr int producers_max = 3;
constexpr int letters_max = 2;

template <class Office>
class delivery {
public:
    explicit delivery(const plan& p) : plan_(p) {
        for (int from = 0; from < producers_max; ++from)
            for (int number = 0; number < letters_max; ++number) {
                letters_[from][number].from = from;
                letters_[from][number].number = number;
            }
    }

    void produce(int from) {
        bool refused = false;
        for (int number = 0; number < plan_.letters; ++number) {
            letter& l = letters_[from][number];
            l.written.set(true);
            l.refused = !office_.post(l);
            check(l.refused || !refused, "an inbox that was closed stays closed");
            refused = l.refused;
            if (refused) l.written.set(false);  // it is ours again
        }
    }

    void own() {
        const auto open = [this](inbox_node* oldest) { open_all(oldest); };
        office_.serve_while([&] { return opened_ < plan_.before_moving; }, open);
        office_.move();
        office_.serve_while([&] { return opened_ < plan_.before_ending; }, open);
        office_.end(open, plan_.in_time);
    }

    void check_all() const {
        for (int from = 0; from < plan_.producers; ++from)
            for (int number = 0; number < plan_.letters; ++number) {
                const letter& l = letters_[from][number];
                check(l.opened != l.refused, "each letter is opened or refused");
            }
    }

private:
    void open_all(inbox_node* oldest) {
        while (oldest) {
            letter& l = static_cast<letter&>(*std::exchange(oldest, oldest->next));
            check(!l.opened, "no letter is opened twice");
            l.opened = true;
            check(l.written.get(), "the owner sees what the producer wrote");
            check(l.number == next_[l.from]++, "a producer's letters keep their order");
            ++opened_;
        }
    }

    const plan plan_;
    Office office_;
    letter letters_[producers_max][letters_max];
    int next_[producers_max] = {};
    int opened_ = 0;
};

template <class Office>
interleave::result deliver(const plan& p, const interleave::options& bounds = {}) {
    return interleave::explore(bounds, [&] {
        delivery<Office> d(p);
        const auto owner = [&] { d.own(); };
        const auto producer = [&](int from) { return [&d, from] { d.produce(from); }; };
        if (p.producers == 2)
            interleave::run(owner, producer(0), producer(1));
        else
            interleave::run(owner, producer(0), producer(1), producer(2));
        d.check_all();
    });
}

using real_office = post_office<basic_inbox<interleave::sync>>;

}  // namespace

TEST_CASE("inbox: under ThreadSanitizer" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("inbox: nothing is lost, doubled or reordered, and no wake-up missed") {
    const auto two = deliver<real_office>({2, 2, 0, 4}, {.preemptions = 3});
    CHECK_MESSAGE(two.passed(), two.report());
    const auto three = deliver<real_office>({3, 1, 0, 3});
    CHECK_MESSAGE(three.passed(), three.report());
}

TEST_CASE("inbox: an owner that wakes for another reason misses nothing") {
    const auto r = deliver<real_office>({2, 1, 1, 2}, {.early_wakes = 2});
    CHECK_MESSAGE(r.passed(), r.report());
}

TEST_CASE("inbox: what is accepted before it closes is opened, what comes later is refused") {
    for (const bool in_time : {true, false}) {
        CAPTURE(in_time);
        for (const int opened_before : {0, 1, 2}) {
            const plan p{2, 2, 0, opened_before, in_time};
            const auto r = deliver<real_office>(p, {.preemptions = 3});
            CHECK_MESSAGE(r.passed(), r.report());
        }
        const auto three = deliver<real_office>({3, 1, 0, 1, in_time});
        CHECK_MESSAGE(three.passed(), three.report());
    }
}

TEST_CASE("inbox: nobody is inside notify() of a poller that is given up") {
    const auto two = deliver<real_office>({2, 2, 1, 3}, {.preemptions = 3});
    CHECK_MESSAGE(two.passed(), two.report());
    const auto three = deliver<real_office>({3, 1, 1, 3});
    CHECK_MESSAGE(three.passed(), three.report());
}

// ---- requests to resume

namespace {

template <class Sync, class Office>
struct request_desk {
    Office office;
    basic_request<Sync> request{nullptr};

    // As remote::resume().
    bool resume(std::uint64_t id) {
        return request.ask(id, request_kind::wake) ? office.post(request)
                                                   : !office.inbox.is_closed();
    }

    template <class Condition, class Resumed>
    void serve_while(Condition wanted, Resumed resumed) {
        office.serve_while(wanted, [&](inbox_node* n) {
            if (n) resumed(request.take().id);
        });
    }
};

// Two threads ask for the same wire. Each request is served, together or one after the other.
template <class Sync, class Office>
interleave::result ask_for_one_wire() {
    return interleave::explore({}, [] {
        request_desk<Sync, Office> desk;
        interleave::sync::atomic<bool> asked[2];
        const auto ask = [&](int i) {
            return [&, i] {
                asked[i].store(true, relaxed);
                check(desk.resume(5), "the runtime exists");
            };
        };
        bool seen = false;
        interleave::run(ask(0), ask(1), [&] {
            desk.serve_while([&] { return !seen; },
                             [&](std::uint64_t id) {
                                 check(id == 5, "a request comes with its id");
                                 seen = asked[0].load(relaxed) && asked[1].load(relaxed);
                             });
        });
    });
}

// The wire with id 1 has ended and the one with id 2 has its slot; two threads ask for one each.
template <class Sync, class Office>
interleave::result ask_for_old_and_new() {
    return interleave::explore({}, [] {
        request_desk<Sync, Office> desk;
        tracked<bool> said[3];
        const auto ask = [&](std::uint64_t id) {
            return [&, id] {
                said[id].set(true);
                check(desk.resume(id), "the runtime exists");
            };
        };
        std::uint64_t last = 0;
        interleave::run(ask(1), ask(2), [&] {
            desk.serve_while([&] { return last != 2; },
                             [&](std::uint64_t id) {
                                 check(id > 0, "a request comes with its id");
                                 check(said[id].get(), "what was said before is known");
                                 last = id;
                             });
        });
    });
}

}  // namespace

TEST_CASE("inbox: any number of requests share one node, and none is lost") {
    const auto one = ask_for_one_wire<interleave::sync, real_office>();
    CHECK_MESSAGE(one.passed(), one.report());
    const auto two = ask_for_old_and_new<interleave::sync, real_office>();
    CHECK_MESSAGE(two.passed(), two.report());
}

TEST_CASE("inbox: a request to a runtime that is gone is refused, also the second time") {
    const auto r = interleave::explore({}, [] {
        request_desk<interleave::sync, real_office> desk;
        interleave::run(
            [&] {
                const bool first = desk.resume(1);
                const bool second = desk.resume(1);
                check(first || !second, "what is gone stays gone");
            },
            [&] {
                desk.office.end([&](inbox_node* n) {
                    if (n) desk.request.take();
                });
            });
        check(!desk.resume(1) && !desk.resume(1), "it is gone");
    });
    CHECK_MESSAGE(r.passed(), r.report());
}

// ---- with one thing spoiled

namespace {

enum class defect {
    none,
    // In the atomics that the inbox is given.
    push_looks_then_stores,
    sleep_looks_then_stores,
    take_looks_then_stores,
    push_without_release,    // [P]
    push_without_acquire,    // [P]
    take_without_acquire,    // [T], [T'], [C], [G]
    sleep_without_release,   // [Z]
    pay_without_release,     // [W]
    settle_without_acquire,  // [S]
    ask_without_release,     // [A]
    // In the inbox.
    sleep_unannounced,
    owner_sleeps_untold,
    newest_first,
    close_looks_first,
    rest_dropped,
    debt_uncounted,
    unsettled,
};

defect planted = defect::none;

bool has(defect d) {
    return planted == d;
}

struct spoiled_sync : interleave::sync {
    template <class T>
    class atomic : public interleave::sync::atomic<T> {
        using base = interleave::sync::atomic<T>;
        using order = std::memory_order;

    public:
        using base::base;

        T load(order o) const noexcept {
            return base::load(has(defect::settle_without_acquire) ? relaxed : o);
        }
        T fetch_add(T n, order o) noexcept {
            return base::fetch_add(n, has(defect::pay_without_release) ? relaxed : o);
        }
        T exchange(T value, order o) noexcept {
            if (has(defect::take_looks_then_stores)) {
                const T old = base::load(o);
                base::store(value);
                return old;
            }
            return base::exchange(value, has(defect::take_without_acquire) ? relaxed : o);
        }
        bool compare_exchange_strong(T& expected, T value, order o, order failure) noexcept {
            if (has(defect::sleep_looks_then_stores)) return look_then_store(expected, value);
            if (has(defect::sleep_without_release)) o = relaxed;
            return base::compare_exchange_strong(expected, value, o, failure);
        }
        bool compare_exchange_weak(T& expected, T value, order o, order failure) noexcept {
            if (has(defect::push_looks_then_stores)) return look_then_store(expected, value);
            if (has(defect::push_without_release)) o = std::memory_order_acquire;
            if (has(defect::push_without_acquire)) o = std::memory_order_release;
            if (has(defect::ask_without_release)) o = relaxed;
            return base::compare_exchange_weak(expected, value, o, failure);
        }

    private:
        bool look_then_store(T& expected, T value) noexcept {
            const T found = base::load();
            const bool same = found == expected;
            if (same) base::store(value);
            expected = found;
            return same;
        }
    };
};

class spoiled_inbox : public basic_inbox<spoiled_sync> {
    using base = basic_inbox<spoiled_sync>;

public:
    push_result push(inbox_node& node) noexcept {
        const push_result r = base::push(node);
        return r == push_result::owner_sleeps && has(defect::owner_sleeps_untold)
                   ? push_result::pushed
                   : r;
    }
    bool try_sleep() noexcept {
        return has(defect::sleep_unannounced) ? !any() : base::try_sleep();
    }
    inbox_node* take_all() noexcept { return ordered(base::take_all()); }
    inbox_node* wake_up() noexcept {
        const bool uncounted = has(defect::sleep_unannounced) || has(defect::debt_uncounted);
        return ordered(uncounted ? base::take_all() : base::wake_up());
    }
    bool try_close() noexcept {
        if (!has(defect::close_looks_first)) return base::try_close();
        if (any()) return false;
        base::close();
        return true;
    }
    inbox_node* close() noexcept {
        inbox_node* const rest = base::close();
        return has(defect::rest_dropped) ? nullptr : ordered(rest);
    }
    void settle() noexcept {
        if (!has(defect::unsettled)) base::settle();
    }

private:
    static inbox_node* ordered(inbox_node* oldest) noexcept {
        if (!has(defect::newest_first)) return oldest;
        inbox_node* newest = nullptr;
        while (oldest) {
            inbox_node* const n = std::exchange(oldest, oldest->next);
            n->next = std::exchange(newest, n);
        }
        return newest;
    }
};

using spoiled_office = post_office<spoiled_inbox>;

std::string found_in_delivery(defect d, bool in_time = true) {
    planted = d;
    return deliver<spoiled_office>({2, 2, 1, 3, in_time}).failure;
}

}  // namespace

TEST_CASE("inbox: every step of the protocol is needed") {
    CHECK(found_in_delivery(defect::none) == "");
    for (const defect d : {defect::push_looks_then_stores, defect::sleep_looks_then_stores,
                           defect::take_looks_then_stores, defect::sleep_unannounced,
                           defect::owner_sleeps_untold, defect::newest_first,
                           defect::close_looks_first, defect::debt_uncounted, defect::unsettled}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(found_in_delivery(d) != "");
    }
    CHECK(found_in_delivery(defect::none, false) == "");
    CHECK(found_in_delivery(defect::rest_dropped, false) != "");
    using hasty_office = post_office<basic_inbox<interleave::sync>, true>;
    CHECK(deliver<hasty_office>({2, 2, 1, 3}).failure != "");
}

TEST_CASE("inbox: every memory order is needed") {
    for (const defect d : {defect::push_without_release, defect::push_without_acquire,
                           defect::take_without_acquire, defect::sleep_without_release,
                           defect::pay_without_release, defect::settle_without_acquire}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(found_in_delivery(d) == "race: acquire and release do not order two uses");
    }
    for (const defect d : {defect::ask_without_release, defect::take_without_acquire}) {
        planted = d;
        INFO("defect number ", static_cast<int>(d));
        const auto r = ask_for_old_and_new<spoiled_sync, spoiled_office>();
        CHECK(r.failure == "race: acquire and release do not order two uses");
    }
}

TEST_CASE("inbox: a request that is taken in two steps gets lost") {
    planted = defect::none;
    CHECK(ask_for_old_and_new<spoiled_sync, real_office>().passed());
    planted = defect::take_looks_then_stores;
    const auto r = ask_for_old_and_new<spoiled_sync, real_office>();
    CHECK(r.failure == "deadlock: no thread can go on");
}

TEST_SUITE_END();
