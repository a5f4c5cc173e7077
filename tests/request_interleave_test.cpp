// Requests to resume and to cancel that share a word, stops, and the end of a runtime, under every
// schedule. Then the same again with one thing spoiled at a time: each such defect must be found.
//
// WIRE_EXPLORE=long in the environment allows more preemptions.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <inbox.hpp>
#include <string>

#include "support/environment.hpp"
#include "support/planted_defects.hpp"

using namespace interleave;

namespace {

using wire::detail::basic_request;
using wire::detail::basic_stop;

template <class Sync>
class spoiled_request : public basic_request<Sync> {
    using base = basic_request<Sync>;

public:
    using base::base;

    bool ask(std::uint64_t id, request_kind what) noexcept {
        if (has(defect::second_kind_dropped) && last_id_ >= id) return false;
        if (has(defect::kinds_not_merged) && last_id_ == id) static_cast<void>(base::take());
        if (has(defect::older_replaces_newer) && last_id_ > id) {
            static_cast<void>(base::take());
            return base::ask(id, what), false;
        }
        last_id_ = id;
        return base::ask(id, what);
    }
    auto take() noexcept {
        last_id_ = 0;
        return base::take();
    }

private:
    std::uint64_t last_id_ = 0;
};

template <class Sync>
struct request_desk {
    office post;
    spoiled_request<Sync> request{nullptr};
    tracked<bool> said[4];  // by the thread that has asked
    tracked<inbox_node*>
        link;  // stands for inbox_node::next, which is the pusher's, then the owner's

    bool ask(std::uint64_t id, request_kind what) {
        if (!request.ask(id, what)) return !post.inbox.is_closed();
        link.set(&request);
        return post.post(request);
    }
    // As serve_requests(); the node is read before it is taken.
    auto take() {
        static_cast<void>(link.get());
        return request.take();
    }
};

struct wish {
    std::uint64_t id;
    request_kind what;
};

// Each thread asks for one thing, of the wire with the highest id or of one before it; what the
// newest wire is asked for must come, with what was done before, and nothing else.
template <class Sync, std::size_t N>
result ask_for(const std::array<wish, N>& wishes, const options& o) {
    std::uint64_t newest = 0, all = 0;
    for (const wish& w : wishes) newest = std::max(newest, w.id);
    for (const wish& w : wishes)
        if (w.id == newest) all |= static_cast<std::uint64_t>(w.what);
    return explore(o, [&] {
        request_desk<Sync> desk;
        const auto ask = [&](std::size_t i) {
            return [&, i] {
                desk.said[i].set(true);
                check(desk.ask(wishes[i].id, wishes[i].what), "the runtime exists");
            };
        };
        std::uint64_t got = 0;
        const auto serve = [&](inbox_node* n) {
            if (!n) return;
            const auto asked = desk.take();
            check(asked.id > 0 && asked.kinds > 0, "what comes is a request");
            for (std::size_t i = 0; i < N; ++i) {
                if (wishes[i].id != asked.id || !asked.has(wishes[i].what)) continue;
                bool alone = true;  // the only one who asks for this
                for (std::size_t j = 0; j < N; ++j)
                    alone = alone && (j == i || wishes[j].id != wishes[i].id ||
                                      wishes[j].what != wishes[i].what);
                if (alone) check(desk.said[i].get(), "what was said before is known");
            }
            if (asked.id == newest) got |= asked.kinds;
            check((got & ~all) == 0, "nobody is asked for what nobody wanted");
        };
        const auto own = [&] { desk.post.serve_while([&] { return got != all; }, serve); };
        if constexpr (N == 2)
            run(ask(0), ask(1), own);
        else
            run(ask(0), ask(1), ask(2), own);
    });
}

constexpr std::array both{wish{5, request_kind::wake}, wish{5, request_kind::cancel}};
constexpr std::array old_and_new{wish{4, request_kind::wake}, wish{5, request_kind::cancel}};
constexpr std::array three{wish{4, request_kind::cancel}, wish{5, request_kind::cancel},
                           wish{5, request_kind::wake}};

template <class Sync>
std::string failure_of_requests(defect d, int preemptions) {
    planted = d;
    std::string found = failure_of(ask_for<Sync>(both, {.preemptions = preemptions}));
    if (found.empty()) found = failure_of(ask_for<Sync>(old_and_new, {.preemptions = preemptions}));
    planted = defect::none;
    return found;
}

}  // namespace

TEST_CASE("request: under ThreadSanitizer" * doctest::skip(!wire::test::under_tsan)) {
    MESSAGE("left out: see interleave.hpp");
}

TEST_SUITE_BEGIN("interleave" * doctest::skip(wire::test::under_tsan));

TEST_CASE("request: resume and cancel share a word, and neither is lost") {
    for (const auto& wishes : {both, old_and_new}) {
        const auto r = ask_for<interleave::sync>(wishes, bounds(4));
        CHECK_MESSAGE(r.passed(), r.report());
    }
    const auto r = ask_for<interleave::sync>(three, bounds(3));
    CHECK_MESSAGE(r.passed(), r.report());
}

TEST_CASE("request: every memory order and every step is needed") {
    CHECK(failure_of_requests<spoiled_sync>(defect::none, 3) == "");
    for (const defect d : {defect::ask_without_release, defect::ask_without_acquire,
                           defect::take_without_acquire, defect::take_without_release}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(failure_of_requests<spoiled_sync>(d, 3) == race);
    }
    for (const defect d :
         {defect::ask_looks_then_stores, defect::take_looks_then_stores, defect::kinds_not_merged,
          defect::second_kind_dropped, defect::older_replaces_newer}) {
        INFO("defect number ", static_cast<int>(d));
        CHECK(failure_of_requests<spoiled_sync>(d, 3) != "");
    }
}

// ---- stop and close

namespace {

template <class Sync>
struct stop_cast {
    office post;
    basic_stop<Sync> stop;
    basic_request<interleave::sync> nudger{nullptr};
    tracked<bool> said{false};
    bool accepted = false;

    // As shared_state::ask_to_stop().
    void ask() {
        said.set(true);
        if (has(defect::stop_after_nudge)) accepted = nudge();
        stop.raise();
        if (!has(defect::stop_after_nudge)) accepted = nudge();
    }
    bool nudge() {
        return nudger.ask(1, request_kind::wake) ? post.post(nudger) : !post.inbox.is_closed();
    }
    void open(inbox_node* n) {
        if (n) static_cast<void>(nudger.take());
    }

    // As scheduler::run(), until a stop.
    void run() {
        for (;;) {
            if (stop.take()) return check(said.get(), "what came before the stop is known");
            if (post.inbox.any())
                open(post.inbox.take_all());
            else if (post.inbox.try_sleep()) {
                post.sleeps_in.get()->poll();
                open(post.inbox.wake_up());
            }
        }
    }
    void end() {
        post.end([this](inbox_node* n) { open(n); });
    }
};

template <class Sync>
result stop_once(const options& o) {
    return explore(o, [] {
        stop_cast<Sync> c;
        run([&] { c.ask(); }, [&] { static_cast<void>(c.nudge()); }, [&] { c.run(); });
        check(c.accepted, "the runtime exists");
    });
}

// The runtime ends meanwhile. A stop that was accepted is known afterwards.
template <class Sync>
result stop_at_the_end(const options& o) {
    return explore(o, [] {
        stop_cast<Sync> c;
        bool seen = false;
        run([&] { c.ask(); }, [&] { static_cast<void>(c.nudge()); },
            [&] {
                c.end();
                seen = c.stop.take();
            });
        check(seen || !c.accepted, "a stop that was accepted is seen");
    });
}

}  // namespace

TEST_CASE("stop: ends a run that sleeps or is about to, and is not overheard at the end") {
    for (const auto& r :
         {stop_once<interleave::sync>(bounds(4)), stop_at_the_end<interleave::sync>(bounds(4))}) {
        CHECK_MESSAGE(r.passed(), r.report());
    }
}

TEST_CASE("stop: every memory order and step is needed") {
    CHECK(failure_of(stop_once<spoiled_sync>({})) == "");
    for (const defect d : {defect::stop_without_release, defect::stop_taken_without_acquire}) {
        planted = d;
        CHECK(failure_of(stop_once<spoiled_sync>({})) == race);
    }
    planted = defect::stop_after_nudge;
    CHECK(failure_of(stop_once<spoiled_sync>({})) == deadlock);
    planted = defect::none;
}

TEST_SUITE_END();
