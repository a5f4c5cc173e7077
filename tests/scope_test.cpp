// with_scope: wires that end before their block does, and what becomes of failures.
#include <wire/scope.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <string>

#include <wire/runtime.hpp>
#include "support/count_malloc.hpp"
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/fifo.hpp"
#include "support/on_wire.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

// What an exception that leaves `fn` says; empty if none does.
template <class F>
std::string thrown_by(F fn) {
    try {
        fn();
    } catch (const std::exception& e) {
        return e.what();
    }
    return {};
}

// Notes its name when it is destroyed.
struct witness {
    trace& log;
    std::string name;
    ~witness() { log(name); }
};

}  // namespace

TEST_CASE("scope: leaving it waits for its wires") {
    trace log;
    on_wire([&](sim& s) {
        const auto done = with_scope(never, [&](scope& sc) {
            for (const int n : {3, 1, 2})
                sc.go([&log, n] {
                    CHECK(sleep(within(std::chrono::milliseconds(n))));
                    log("wire", n);
                });
            log("body");
        });
        CHECK(done);
        log("left");
        CHECK(s.ms() == 3);
    });
    CHECK(log == trace{"body", "wire1", "wire2", "wire3", "left"});
}

TEST_CASE("scope: without wires it is what its body returns") {
    on_wire([](sim&) {
        CHECK(with_scope(never, [](scope&) {}));
        CHECK(with_scope(never, [](scope&) { return result<int>(7); }));
        const auto failed = with_scope(never, [](scope&) -> result<int> { return failure{EPIPE}; });
        CHECK(failed.code() == EPIPE);
        CHECK(thrown_by([] {
                  static_cast<void>(
                      with_scope(never, [](scope&) { throw std::runtime_error("body"); }));
              }) == "body");
    });
}

TEST_CASE("scope: a failed result of a wire cancels the others and is reported" * fifo) {
    trace log;
    on_wire([&](sim& s) {
        const auto r = with_scope(never, [&](scope& sc) {
            sc.go([&] {
                const witness w{log, "sibling"};
                CHECK(sleep(within(1h)).code() == ECANCELED);
            });
            sc.go([]() -> result<void> {
                CHECK(sleep(within(2ms)));
                return failure{ECONNRESET};
            });
            CHECK(sleep(within(1h)).code() == ECANCELED);
            log("body");
        });
        CHECK(r.code() == ECONNRESET);
        CHECK(s.ms() == 2);
        CHECK_FALSE(this_wire::cancelled());
        CHECK(sleep(within(1ms)));
    });
    CHECK(log == trace{"body", "sibling"});
}

TEST_CASE("scope: an exception of a wire cancels the others and is rethrown") {
    trace log;
    on_wire([&](sim&) {
        CHECK(thrown_by([&] {
                  static_cast<void>(with_scope(never, [&](scope& sc) {
                      sc.go([&] {
                          const witness w{log, "sibling"};
                          CHECK(sleep(within(1h)).code() == ECANCELED);
                      });
                      sc.go([] { throw std::runtime_error("first"); });
                  }));
              }) == "first");
        log("caller");
        CHECK_FALSE(this_wire::cancelled());
    });
    CHECK(log == trace{"sibling", "caller"});
}

TEST_CASE("scope: the first failure counts, and a later exception is not silent" * fifo) {
    const caught_diagnostics said;
    on_wire([](sim&) {
        const auto r = with_scope(never, [](scope& sc) {
            sc.go([]() -> result<void> { return failure{EIO}; });
            sc.go([]() -> result<void> { return failure{EPIPE}; });
            sc.go([] { throw std::runtime_error("too late"); });
        });
        CHECK(r.code() == EIO);
    });
    CHECK(said.has(diagnostic::failure, "too late"));
}

TEST_CASE("scope: cancelling it is no failure, nor is listening to that") {
    on_wire([](sim& s) {
        int answer = 0;
        const auto r = with_scope(within(2s), [&](scope& sc) {
            for (const int n : {30, 10, 20})
                sc.go([&, n]() -> result<void> {
                    if (auto slept = sleep(within(std::chrono::milliseconds(n))); !slept)
                        return slept;
                    answer = n;
                    sc.cancel();
                    return {};
                });
        });
        CHECK(r);
        CHECK(answer == 10);
        CHECK(s.ms() == 10);
    });
}

TEST_CASE("scope: its deadline cancels body and wires, and it fails with ETIMEDOUT") {
    on_wire([](sim& s) {
        int cancelled = 0;
        const auto r = with_scope(within(5ms), [&](scope& sc) {
            for (int i = 0; i < 3; ++i)
                sc.go([&]() -> result<void> {
                    auto slept = sleep(within(1h));
                    cancelled += slept.code() == ECANCELED;
                    return slept;
                });
            CHECK(sleep(within(1h)).code() == ECANCELED);
            CHECK(sc.cancelled());
        });
        CHECK(r.code() == ETIMEDOUT);
        CHECK(cancelled == 3);
        CHECK(s.ms() == 5);
    });
}

TEST_CASE("scope: a deadline that passes after the body has ended still cancels the wires") {
    on_wire([](sim& s) {
        const auto r = with_scope(within(5ms), [&](scope& sc) {
            sc.go([] { CHECK(sleep(within(1h)).code() == ECANCELED); });
        });
        CHECK(r.code() == ETIMEDOUT);
        CHECK(s.ms() == 5);
    });
}

TEST_CASE("scope: cancelling the wire around it cancels all, and is not swallowed") {
    on_wire([](sim&) {
        int inner = 0;
        auto h = spawn([&] {
            const auto r = with_scope(never, [&](scope& sc) {
                sc.go([&] {
                    CHECK(sleep(within(1h)).code() == ECANCELED);
                    // What it starts belongs to the scope, and is cancelled from its start.
                    sc.go([&] { inner = sleep(within(1h)).code(); });
                });
                CHECK(sleep(within(1h)).code() == ECANCELED);
            });
            CHECK(r.code() == ECANCELED);
            CHECK(this_wire::cancelled());
        });
        yield();
        yield();
        h.cancel();
        CHECK(h.join());
        CHECK(inner == ECANCELED);
    });
}

TEST_CASE("scope: an outer cancel is reported although everything inside came to a good end") {
    on_wire([](sim&) {
        auto h = spawn([] {
            CHECK(with_scope(never, [](scope& sc) { sc.go([] { yield(); }); }).code() == ECANCELED);
        });
        h.cancel();
        CHECK(h.join());
    });
}

TEST_CASE("scope: nested scopes are cancelled from the outside in, and fail from the inside out") {
    trace log;
    on_wire([&](sim& s) {
        const auto outer = with_scope(never, [&](scope& a) {
            a.go([&]() -> result<void> {
                auto inner = with_scope(never, [&](scope& b) {
                    b.go([&] {
                        CHECK(sleep(within(1h)).code() == ECANCELED);
                        log("deep");
                    });
                    b.go([]() -> result<void> {
                        CHECK(sleep(within(3ms)));
                        return failure{ENOENT};
                    });
                });
                log("inner");
                CHECK_FALSE(this_wire::cancelled());
                return inner;
            });
            a.go([&] {
                CHECK(sleep(within(1h)).code() == ECANCELED);
                log("uncle");
            });
        });
        CHECK(outer.code() == ENOENT);
        CHECK(s.ms() == 3);
    });
    CHECK(log == trace{"deep", "inner", "uncle"});
}

TEST_CASE("scope: a shield keeps its cancellation away from a farewell") {
    on_wire([](sim& s) {
        const auto r = with_scope(within(5ms), [&](scope& sc) {
            sc.go([] {
                CHECK(sleep(within(1h)).code() == ECANCELED);
                const shield farewell;
                CHECK(sleep(within(10ms)));
            });
        });
        CHECK(r.code() == ETIMEDOUT);
        CHECK(s.ms() == 15);
    });
}

TEST_CASE("scope: spawn gives a handle, which may outlive it") {
    on_wire([](sim&) {
        handle<int> late;
        const auto r = with_scope(never, [&](scope& sc) {
            auto h = sc.spawn([](int n) { return 2 * n; }, 21);
            CHECK(h.join().value() == 42);
            late = sc.spawn({.name = "late"}, [] {
                CHECK(this_wire::name() == "late");
                return 7;
            });
        });
        CHECK(r);
        CHECK(late.finished());
        CHECK(late.join().value() == 7);
    });
}

TEST_CASE("scope: what a spawned wire throws fails the scope, also when its handle has it") {
    const caught_diagnostics said;
    on_wire([](sim&) {
        CHECK(thrown_by([] {
                  static_cast<void>(with_scope(never, [](scope& sc) {
                      auto h = sc.spawn([] { throw std::runtime_error("spawned"); });
                      CHECK(thrown_by([&] { static_cast<void>(h.join()); }).empty());
                      // Cancelled by the failure: the join says so, and the handle still has it.
                      CHECK(h.finished());
                  }));
              }) == "spawned");
    });
    CHECK(said.size() == 0);
}

TEST_CASE("scope: its wires may start others, which it waits for, too") {
    trace log;
    on_wire([&](sim&) {
        CHECK(with_scope(never, [&](scope& sc) {
            sc.go([&] {
                sc.go([&] {
                    yield();
                    log("grandchild");
                });
                log("child");
            });
        }));
        log("left");
    });
    CHECK(log == trace{"child", "grandchild", "left"});
}

TEST_CASE("scope: cancelled wires run all the same, and destroy what they hold once") {
    trace log;
    on_wire([&](sim&) {
        CHECK(with_scope(never, [&](scope& sc) {
            sc.go([&, w = std::make_unique<witness>(log, "held")] {
                log(this_wire::cancelled() ? "cancelled" : "free");
            });
            sc.cancel();
        }));
    });
    CHECK(log == trace{"cancelled", "held"});
}

TEST_CASE("scope: in steady state it allocates nothing") {
    on_wire([](sim&) {
        const auto round = [] {
            CHECK(with_scope(within(1s), [](scope& sc) {
                for (int i = 0; i < 8; ++i) sc.go([] { yield(); });
            }));
        };
        round();
        const allocation_count taken;
        for (int i = 0; i < 100; ++i) round();
        if (counts_allocations()) CHECK(taken.value() == 0);
    });
}

TEST_CASE("scope: outside a wire it is an assertion with a sentence") {
    CHECK(dies([] { static_cast<void>(with_scope(never, [](scope&) {})); },
               "a scope outside a wire"));
}
