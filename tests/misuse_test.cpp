// Broken contracts end the program with one sentence that says what to do, in every build type.
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <thread>

#include <wire/detail/park.hpp>
#include <wire/runtime.hpp>
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/on_wire.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

TEST_CASE("misuse: calls that need a wire say so outside of one") {
    CHECK(dies([] { yield(); }, "yield() outside a wire"));
    CHECK(dies([] { static_cast<void>(sleep(within(1ms))); }, "only a wire can wait"));
    CHECK(dies([] { static_cast<void>(suspend()); }, "suspend() outside a wire"));
    CHECK(dies([] { go([] {}); }, "go() outside a wire: use runtime::go or remote::go"));
    CHECK(dies([] { go({.name = "x"}, [] {}); }, "go() outside a wire"));
    CHECK(dies([] { spawn([] {}).detach(); }, "spawn() outside a wire: use runtime::spawn"));
    CHECK(dies([] { static_cast<void>(this_wire::name()); }, "wire::this_wire outside a wire"));
    CHECK(dies([] { static_cast<void>(this_wire::id()); }, "wire::this_wire outside a wire"));
    CHECK(dies([] { static_cast<void>(this_wire::ref()); }, "wire::this_wire outside a wire"));
    CHECK(dies([] { static_cast<void>(this_wire::cancelled()); }, "this_wire outside a wire"));
    CHECK(dies([] { this_wire::slot() = nullptr; }, "wire::this_wire outside a wire"));
    CHECK(dies([] { static_cast<void>(this_wire::remote()); }, "wire::this_wire outside a wire"));
    CHECK(dies([] { const cancel_scope scope; }, "a scope outside a wire"));
    CHECK(dies([] { const shield protection; }, "a scope outside a wire"));
    CHECK(dies([] { static_cast<void>(wire::detail::check_cancelled()); }, "call it from a wire"));
    CHECK(dies([] { const wire::detail::waiter w; }, "only a wire can wait here"));
}

TEST_CASE("misuse: after run has returned a call outside a wire is still told so, and no crash") {
    // In libwire any overridden call crashed here (B10), as did yield in main (B15).
    CHECK(dies(
        [] {
            runtime rt;
            rt.go([] { yield(); });
            static_cast<void>(rt.run());
            yield();
        },
        "yield() outside a wire"));
    CHECK(dies(
        [] {
            runtime rt;
            rt.go([] { yield(); });
            static_cast<void>(rt.run());
            static_cast<void>(sleep(within(1ms)));
        },
        "only a wire can wait"));
    CHECK(dies(
        [] {
            sim s;
            s.clock.idle = [] { yield(); };  // in the runtime's own flow
            s.rt.go([] { static_cast<void>(sleep(within(1ms))); });
            static_cast<void>(s.rt.run());
        },
        "yield() outside a wire"));
}

TEST_CASE("misuse: a runtime stays with the thread of its first run") {
    CHECK(dies(
        [] {
            runtime rt;
            static_cast<void>(rt.run());
            std::thread([&] { static_cast<void>(rt.run()); }).join();
        },
        "a runtime belongs to the thread of its first run()"));
    CHECK(dies(
        [] {
            runtime rt;
            rt.run_once();
            std::thread([&] { rt.run_once(); }).join();
        },
        "a runtime belongs to the thread of its first run()"));
    CHECK(dies(
        [] {
            runtime rt;
            static_cast<void>(rt.run());
            std::thread([&] { rt.go([] {}); }).join();
        },
        "a wire is started on its runtime's own thread: from others use remote::go"));
    CHECK(dies(
        [] {
            runtime rt;
            static_cast<void>(rt.run());
            std::thread([&] { rt.attach(nullptr); }).join();
        },
        "a poller is attached on the runtime's own thread"));
}

TEST_CASE("misuse: a thread runs one runtime at a time") {
    const char* const sentence = "run() while a runtime runs on this thread";
    CHECK(dies(
        [&] {
            runtime rt;
            rt.go([&] { static_cast<void>(rt.run()); });
            static_cast<void>(rt.run());
        },
        sentence));
    CHECK(dies(
        [&] {
            runtime rt;
            rt.go([&] { rt.run_once(); });
            static_cast<void>(rt.run());
        },
        sentence));
    CHECK(wire_dies(
        [] {
            runtime inner;
            static_cast<void>(inner.run());
        },
        sentence));
}

TEST_CASE("misuse: resume wants a wire of the runtime that runs") {
    CHECK(wire_dies([] { resume(wire_ref()); }, "resume() of an empty reference"));
    CHECK(dies(
        [] {
            runtime one, two;
            wire_ref a;
            one.go([&] { a = this_wire::ref(); });
            static_cast<void>(one.run());
            two.go([&] { resume(a); });
            static_cast<void>(two.run());
        },
        "resume() of a wire of another runtime: use the remote of its runtime"));
    CHECK(dies(
        [] {
            runtime rt;
            wire_ref a;
            rt.go([&] { a = this_wire::ref(); });
            static_cast<void>(rt.run());
            resume(a);
        },
        "resume() outside a runtime's thread: use remote::resume"));
}

TEST_CASE("misuse: a handle that has no wire says so") {
    const char* const sentence = "this handle has no wire: it was joined, detached or moved from";
    CHECK(wire_dies([] { static_cast<void>(handle<int>().join()); }, sentence));
    CHECK(wire_dies([] { handle<int>().cancel(); }, sentence));
    CHECK(wire_dies([] { handle<int>().detach(); }, sentence));
    CHECK(wire_dies([] { static_cast<void>(handle<int>().finished()); }, sentence));
    CHECK(wire_dies([] { static_cast<void>(handle<int>().ref()); }, sentence));
    CHECK(wire_dies(
        [] {
            auto h = spawn([] {});
            static_cast<void>(h.join());
            static_cast<void>(h.join());
        },
        sentence));
    CHECK(wire_dies(
        [] {
            auto h = spawn([] {});
            h.detach();
            h.detach();
        },
        sentence));
}

TEST_CASE("misuse: an unfinished wire can be waited for in a wire only") {
    CHECK(dies(
        [] {
            runtime rt;
            auto h = rt.spawn([] {});
            static_cast<void>(h.join());
        },
        "only a wire can wait here"));
    CHECK(dies(
        [] {
            runtime rt;
            auto h = rt.spawn([] { static_cast<void>(suspend()); });
            rt.run_once();
        },
        "a handle of an unfinished wire is destroyed outside a wire: join or detach it"));
}

TEST_CASE("misuse: a wire is joined by one other wire of its runtime") {
    CHECK(wire_dies(
        [] {
            handle<void> h;
            h = spawn([&] { static_cast<void>(h.join()); });
            yield();
        },
        "a wire joins itself and would wait for ever"));
    CHECK(wire_dies(
        [] {
            auto h = spawn([] { static_cast<void>(sleep(within(1ms))); });
            auto other = spawn([&] { static_cast<void>(h.join()); });
            static_cast<void>(h.join());
        },
        "two wires join one wire through one handle"));
    CHECK(dies(
        [] {
            runtime one, two;
            auto h = one.spawn([] { static_cast<void>(suspend()); });
            two.go([&] { static_cast<void>(h.join()); });
            static_cast<void>(two.run());
        },
        "join() of a wire of another runtime"));
}

TEST_CASE("misuse: a handle does not outlive its runtime") {
    CHECK(dies(
        [] {
            handle<int> h;
            runtime rt;
            h = rt.spawn([] { return 1; });
            static_cast<void>(rt.run());
        },
        "a handle outlives its runtime"));
}

TEST_CASE("misuse: scopes nest like blocks") {
    CHECK(wire_dies(
        [] {
            auto outer = std::make_unique<cancel_scope>();
            const cancel_scope inner;
            outer.reset();
        },
        "a scope is left that is not the innermost: scopes nest like blocks"));
    CHECK(wire_dies([] { static_cast<void>(new cancel_scope); },
                    "a wire ends inside a scope of its own"));
}

TEST_CASE("misuse: a remote that refers to no runtime says so") {
    const char* const sentence = "this remote refers to no runtime";
    CHECK(dies([] { remote().go([] {}); }, sentence));
    CHECK(dies([] { remote().stop(); }, sentence));
    CHECK(dies([] { remote().resume(wire_ref()); }, sentence));
    CHECK(dies(
        [] {
            runtime rt;
            rt.remote().resume(wire_ref());
        },
        "remote::resume() of an empty reference"));
    CHECK(dies(
        [] {
            runtime one, two;
            wire_ref a;
            one.go([&] { a = this_wire::ref(); });
            static_cast<void>(one.run());
            two.remote().resume(a);
        },
        "remote::resume() of a wire of another runtime"));
}

TEST_CASE("misuse: a result's value is there before it is read") {
    CHECK(dies([] { static_cast<void>(*result<int>(failure{EPIPE})); }, "read of a failed result"));
    CHECK(dies([] { *result<void>(failure{EPIPE}); }, "read of a failed result"));
    CHECK(dies([] { static_cast<void>(result<int>(failure{0})); }, "needs a positive errno"));
    CHECK(dies([] { static_cast<void>(result<void>(failure{-1})); }, "needs a positive errno"));
}
