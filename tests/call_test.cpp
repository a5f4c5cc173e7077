// remote::call: a thread, or a wire of any runtime, lets another runtime work and waits for it.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <wire/runtime.hpp>
#include "support/count_malloc.hpp"
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/sim_poller.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

// A runtime on a thread of its own, which runs until this object ends.
class server {
public:
    explicit server(const runtime_options& options = {})
        : thread_([this, options] { run(options); }) {
        up_.wait(false);
    }
    ~server() {
        if (thread_.joinable()) stop();
    }
    void stop() {
        static_cast<void>(remote_->stop());
        thread_.join();
    }
    const remote* operator->() const { return &*remote_; }
    const remote& operator*() const { return *remote_; }

private:
    void run(const runtime_options& options) {
        runtime rt(options);
        remote_.emplace(rt.remote());
        const work_guard guard(rt);
        up_ = true;
        up_.notify_one();
        CHECK(rt.run());
    }

    std::optional<remote> remote_;
    std::atomic<bool> up_{false};
    std::jthread thread_;
};

// Runs `body` on a wire of a runtime here.
template <class F>
void on_a_wire(F body) {
    runtime rt;
    rt.go({.name = "caller"}, std::move(body));
    CHECK(rt.run());
}

// Runs `body(server)` in a plain thread, and again on a wire of another runtime.
template <class F>
void from_each(F body) {
    for (const bool wire : {false, true}) {
        CAPTURE(wire);
        server s;
        if (wire)
            on_a_wire([&] { body(s); });
        else
            body(s);
    }
}

// Counts its objects.
struct counted {
    explicit counted(std::atomic<int>& n) : alive(&n) { ++*alive; }
    counted(const counted& o) : alive(o.alive) { ++*alive; }
    ~counted() { --*alive; }
    std::atomic<int>* alive;
};

}  // namespace

TEST_CASE("call: returns what the callable returned, on a wire of the other runtime") {
    from_each([](server& s) {
        const auto here = std::this_thread::get_id();
        std::string name;
        const result<int> r = s->call(
            never,
            [&](int a, std::unique_ptr<int> b) {
                name = this_wire::name();
                CHECK(std::this_thread::get_id() != here);
                return a + *b;
            },
            3, std::make_unique<int>(4));
        CHECK(r.value() == 7);
        CHECK(name == "call");
    });
}

TEST_CASE("call: returns nothing, or what only moves, or a failure of the callable") {
    from_each([](server& s) {
        int written = 0;
        CHECK(s->call(never, [&] { written = 1; }));
        CHECK(written == 1);
        auto moved = s->call(never, [] { return std::make_unique<int>(5); });
        CHECK(**moved == 5);
        const auto failed = s->call(never, [] { return result<int>(failure{ENOENT}); });
        CHECK(failed.has_value());
        CHECK(failed->code() == ENOENT);
    });
}

TEST_CASE("call: rethrows in the caller what the callable threw") {
    from_each([](server& s) {
        std::string said;
        try {
            static_cast<void>(
                s->call(never, []() -> int { throw std::runtime_error("far away"); }));
        } catch (const std::runtime_error& e) {
            said = e.what();
        }
        CHECK(said == "far away");
        CHECK(*s->call(never, [] { return 1; }) == 1);
    });
}

TEST_CASE("call: the callable may block, and other wires of the caller run meanwhile") {
    server s;
    trace log;
    on_a_wire([&] {
        go([&] { log("other"); });
        CHECK(s->call(never, [] { CHECK(sleep(within(1ms))); }));
        log("called");
    });
    CHECK(log == trace{"other", "called"});
}

TEST_CASE("call: a wire may call its own runtime") {
    trace log;
    on_a_wire([&] {
        const auto id = this_wire::id();
        const auto other = this_wire::remote().call(never, [&] {
            log("inside");
            return this_wire::id();
        });
        CHECK(*other != id);
        log("back");
    });
    CHECK(log == trace{"inside", "back"});
}

TEST_CASE("call: two runtimes may call each other to and fro") {
    server there;
    on_a_wire([&] {
        const remote here = this_wire::remote();
        const std::function<int(int)> bounce = [&](int n) -> int {
            if (n == 0) return 0;
            const remote& to = n % 2 ? *there : here;
            return 1 + to.call(never, bounce, n - 1).value();
        };
        CHECK(bounce(10) == 10);
    });
}

TEST_CASE("call: fails with ETIMEDOUT, and the wire there is cancelled") {
    from_each([](server& s) {
        std::atomic<int> code{-1};
        std::atomic<bool> begun{false};
        while (!begun) {
            const auto r = s->call(within(5ms), [&] {
                begun = true;
                code = sleep(never).code();
            });
            CHECK(r.code() == ETIMEDOUT);
        }
        // In order: when this one begins the cancellation has been served, and its wire runs next.
        CHECK(s->call(never, [] { yield(); }));
        CHECK(code == ECANCELED);
    });
}

TEST_CASE("call: fails with ECANCELED if its wire is cancelled, before and during the wait") {
    server s;
    std::atomic<int> code{-1};
    std::atomic<bool> begun{false};
    on_a_wire([&] {
        auto caller = spawn([&] {
            return s
                ->call(never,
                       [&] {
                           begun = true;
                           code = sleep(never).code();
                       })
                .code();
        });
        while (!begun) CHECK(sleep(within(1ms)));
        caller.cancel();
        CHECK(caller.join().value() == ECANCELED);
        CHECK(s->call(never, [] { yield(); }));
        CHECK(code == ECANCELED);

        cancel_scope scope;
        scope.cancel();
        CHECK(s->call(never, [] { CHECK(false); }).code() == ECANCELED);
    });
}

TEST_CASE("call: one that was given up before it began does not begin") {
    runtime callee;  // does not run yet
    const auto token = std::make_shared<int>(1);
    std::jthread([&, r = callee.remote()] {
        CHECK(r.call(within(0s), [token] { CHECK(false); }).code() == ETIMEDOUT);
        CHECK(r.call(within(1ms), [token] { CHECK(false); }).code() == ETIMEDOUT);
    }).join();
    CHECK(token.use_count() == 3);
    CHECK(callee.run());
    CHECK(token.use_count() == 1);
}

TEST_CASE("call: it waits for the next run of a runtime that does not run") {
    runtime callee;
    std::atomic<int> answer{0};
    const std::jthread other(
        [&, r = callee.remote()] { answer = r.call(never, [] { return 5; }).value(); });
    while (answer == 0) {
        callee.run_once();
        std::this_thread::yield();
    }
    CHECK(answer == 5);
}

TEST_CASE("call: a result and an exception that come too late are dropped, once") {
    sim s;
    std::atomic<int> alive{0};
    s.rt.go([&] {
        const remote self = this_wire::remote();
        for (const bool throws : {false, true}) {
            // It cannot be cancelled, so it ends long after its caller has given up.
            const auto late = self.call(within(1ms), [&alive, throws, c = counted(alive)] {
                const shield protection;
                CHECK(sleep(within(10ms)));
                if (throws) throw counted(alive);
                return counted(alive);
            });
            CHECK(late.code() == ETIMEDOUT);
            CHECK(alive == 1);
            CHECK(sleep(within(20ms)));
            CHECK(alive == 0);
        }
    });
    CHECK(s.rt.run());
    CHECK(alive == 0);
}

TEST_CASE("call: an outcome that is there when the deadline passes wins") {
    sim s;
    s.rt.go([&] {
        const auto r = this_wire::remote().call(within(5ms), [&] {
            s.clock.advance(10ms);
            return 3;
        });
        CHECK(*r == 3);
    });
    CHECK(s.rt.run());
}

TEST_CASE("call: fails with EPIPE if the runtime is gone, and destroys the callable") {
    std::optional<runtime> rt(std::in_place);
    const remote r = rt->remote();
    rt.reset();
    const auto token = std::make_shared<int>(1);
    CHECK(r.call(never, [token] { CHECK(false); }).code() == EPIPE);
    CHECK(token.use_count() == 1);
    on_a_wire([&] { CHECK(r.call(never, [token] { CHECK(false); }).code() == EPIPE); });
    CHECK(token.use_count() == 1);
}

TEST_CASE("call: one that the end of the runtime still finds runs cancelled, and answers") {
    std::optional<runtime> rt(std::in_place);
    std::atomic<bool> sent{false};
    int code = 0;
    std::jthread other([&, r = rt->remote()] {
        sent = true;
        const auto answer = r.call(never, [] { return sleep(never).code(); });
        code = answer ? *answer : answer.code();
    });
    while (!sent) std::this_thread::yield();
    rt.reset();
    other.join();
    CHECK((code == ECANCELED || code == EPIPE));
}

TEST_CASE("call: fails with EPIPE if its wire does not end when the runtime does") {
    const caught_diagnostics said;
    for (const bool caller_is_wire : {false, true}) {
        std::optional<runtime> rt(std::in_place, runtime_options{.drain = 1ms});
        std::atomic<bool> runs{false};
        int code = 0;
        std::jthread other([&, r = rt->remote()] {
            const auto ask = [&] {
                code = r.call(never, [&runs] {
                            runs = true;
                            const shield protection;
                            static_cast<void>(suspend());
                        }).code();
            };
            if (caller_is_wire)
                on_a_wire(ask);
            else
                ask();
        });
        while (!runs) rt->run_once();
        rt.reset();
        other.join();
        CHECK(code == EPIPE);
    }
    CHECK(said.of(diagnostic::straggler).size() == 2);
}

TEST_CASE("call: a wire that waits in it is no deadlock, one that has given up may be") {
    server s;
    const caught_diagnostics said;
    runtime rt;
    std::atomic<bool> leave{false};
    rt.go([&] {
        const auto r = s->call(within(1ms), [&leave] {
            const shield protection;
            while (!leave) CHECK(sleep(within(1ms)));
        });
        CHECK(r.code() == ETIMEDOUT);
        CHECK(suspend().code() == ECANCELED);
    });
    CHECK(rt.run().code() == EDEADLK);
    leave = true;
}

TEST_CASE("call: the remote that is called through may be gone before the call is over") {
    server s;
    on_a_wire([&] {
        auto r = std::make_unique<remote>(*s);
        go([&] { r.reset(); });
        CHECK(*r->call(never, [] {
            CHECK(sleep(within(1ms)));
            return 1;
        }) == 1);
        CHECK_FALSE(r);
    });
}

TEST_CASE("call: callables of any alignment") {
    from_each([](server& s) {
        struct alignas(128) wide {
            std::array<char, 128> bytes{};
        };
        const auto r =
            s->call(never, [w = wide()] { return reinterpret_cast<std::uintptr_t>(&w) % 128; });
        CHECK(r.value() == 0);
    });
}

TEST_CASE("call: costs one allocation, on each side none") {
    if (!counts_allocations()) return;
    on_a_wire([&] {
        const remote self = this_wire::remote();
        CHECK(self.call(never, [] {}));  // the first wire of its kind may need a stack
        const allocation_count count;
        for (int i = 0; i < 100; ++i) static_cast<void>(self.call(never, [i] { return i; }));
        CHECK(count.value() == 100);
    });
}

TEST_CASE("call: a callable that throws when it is moved leaves nothing behind") {
    struct restless {
        restless() = default;
        restless(restless&& o) : moves(o.moves + 1) {
            if (moves == 2) throw std::runtime_error("moved too often");
        }
        void operator()() const {}
        int moves = 0;
    };
    server s;
    CHECK_THROWS_AS(static_cast<void>(s->call(never, restless())), std::runtime_error);
    CHECK(*s->call(never, [] { return 1; }) == 1);
}

TEST_CASE("call: a runtime's thread outside its wires may not wait for itself") {
    const char* const sentence = "remote::call() on a runtime's thread outside its wires";
    CHECK(dies(
        [] {
            runtime rt;
            rt.run_once();
            static_cast<void>(rt.remote().call(never, [] {}));
        },
        sentence));
    CHECK(dies(
        [] {
            sim s;
            const work_guard guard(s.rt);
            runtime other;
            s.clock.idle = [&] { static_cast<void>(other.remote().call(never, [] {})); };
            static_cast<void>(s.rt.run());
        },
        sentence));
    CHECK(dies([] { static_cast<void>(remote().call(never, [] {})); }, "refers to no runtime"));
}
