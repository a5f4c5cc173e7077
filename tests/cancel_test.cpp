// Cancellation: scopes, shields, deadlines, and what wins when several things come at once.
#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>

#include <wire/detail/park.hpp>
#include <wire/runtime.hpp>
#include "support/diagnostics.hpp"
#include "support/fifo.hpp"
#include "support/on_wire.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

bool cancelled(const result<void>& r) {
    return r.code() == ECANCELED;
}

}  // namespace

TEST_CASE("cancel: every call that may block fails with ECANCELED until the scope is left" * fifo) {
    on_wire([](sim& s) {
        auto target = spawn([] {});
        {
            cancel_scope scope;
            CHECK_FALSE(scope.cancelled());
            scope.cancel();
            CHECK(scope.cancelled());
            CHECK(this_wire::cancelled());
            for (int i = 0; i < 3; ++i) {
                CHECK(cancelled(sleep(within(1ms))));
                CHECK(cancelled(sleep(within(-1ms))));
                CHECK(cancelled(suspend()));
                CHECK(cancelled(target.join()));
                CHECK(wire::detail::check_cancelled() == ECANCELED);
            }
            yield();  // is no such call
            CHECK(target.finished());
            CHECK(cancelled(target.join()));  // also where it would not have to wait
            CHECK_FALSE(scope.expired());
        }
        CHECK_FALSE(this_wire::cancelled());
        CHECK(target.join());
        CHECK(sleep(within(1ms)));
        CHECK(s.ms() == 1);
    });
}

TEST_CASE("cancel: a resume that was remembered is not eaten by a cancelled suspend") {
    on_wire([](sim&) {
        CHECK(resume(this_wire::ref()));
        {
            cancel_scope scope;
            scope.cancel();
            CHECK(cancelled(suspend()));
        }
        CHECK(suspend());
    });
}

TEST_CASE("cancel: wakes a wire that waits inside the scope" * fifo) {
    on_wire([](sim&) {
        trace log;
        cancel_scope* inner = nullptr;
        auto h = spawn([&] {
            {
                cancel_scope scope;
                inner = &scope;
                CHECK(cancelled(suspend()));
                log("left the wait");
            }
            yield();
            CHECK_FALSE(this_wire::cancelled());
        });
        yield();
        inner->cancel();
        log("cancelled");
        CHECK(h.join());
        CHECK(log == trace{"cancelled", "left the wait"});
    });
}

TEST_CASE("cancel: a scope's deadline cancels what is inside, and says that it expired") {
    on_wire([](sim& s) {
        {
            const cancel_scope scope(within(5ms));
            CHECK(sleep(within(2ms)));
            CHECK_FALSE(scope.expired());
            CHECK(cancelled(sleep(within(1h))));
            CHECK(s.ms() == 5);
            CHECK(scope.expired());
            CHECK(scope.cancelled());
            CHECK(cancelled(sleep(within(1ms))));
        }
        CHECK(sleep(within(1ms)));
    });
}

TEST_CASE("cancel: a scope that is left in time has no deadline any more") {
    on_wire([](sim& s) {
        {
            const cancel_scope scope(within(5ms));
            CHECK(sleep(within(1ms)));
        }
        CHECK(sleep(within(20ms)));
        CHECK(s.ms() == 21);
    });
}

TEST_CASE("cancel: a scope that is left keeps no timer armed") {
    const caught_diagnostics said;
    runtime rt;
    rt.go([] {
        { const cancel_scope scope(within(1h)); }
        static_cast<void>(suspend());
    });
    CHECK(rt.run().code() == EDEADLK);  // nothing can wake the wire any more
    rt.cancel_all();
    CHECK(rt.run());
}

TEST_CASE("cancel: a scope whose deadline has passed already fails its first wait") {
    on_wire([](sim& s) {
        const cancel_scope scope(within(-1s));
        CHECK(cancelled(suspend()));
        CHECK(scope.expired());
        CHECK(s.ms() == 0);
    });
}

TEST_CASE("cancel: of nested deadlines the earlier one acts, and only its scope expired") {
    on_wire([](sim& s) {
        const cancel_scope outer(within(10ms));
        {
            const cancel_scope inner(within(3ms));
            CHECK(cancelled(sleep(within(1h))));
            CHECK(s.ms() == 3);
            CHECK(inner.expired());
            CHECK_FALSE(outer.cancelled());
        }
        {
            const cancel_scope inner(within(1h));
            CHECK(cancelled(sleep(within(2h))));
            CHECK(s.ms() == 10);
            CHECK(outer.expired());
            CHECK(inner.cancelled());
            CHECK_FALSE(inner.expired());
        }
    });
}

TEST_CASE("cancel: a scope that was cancelled before its deadline has not expired") {
    on_wire([](sim&) {
        cancel_scope scope(within(5ms));
        scope.cancel();
        {
            const shield protection;
            CHECK(sleep(within(10ms)));
        }
        CHECK(scope.cancelled());
        CHECK_FALSE(scope.expired());
    });
}

TEST_CASE("cancel: goes down to scopes inside, not up or sideways") {
    on_wire([](sim&) {
        cancel_scope outer;
        {
            cancel_scope inner;
            inner.cancel();
            CHECK(cancelled(sleep(within(1ms))));
        }
        CHECK(sleep(within(1ms)));
        {
            const cancel_scope sibling;
            CHECK_FALSE(sibling.cancelled());
        }
        const cancel_scope a, b, c;
        outer.cancel();
        CHECK(a.cancelled());
        CHECK(b.cancelled());
        CHECK(c.cancelled());
    });
}

TEST_CASE("cancel: a scope opened inside a cancelled one is cancelled from its start") {
    on_wire([](sim&) {
        cancel_scope outer;
        outer.cancel();
        const cancel_scope inner;
        CHECK(inner.cancelled());
        CHECK(cancelled(suspend()));
    });
}

TEST_CASE("shield: suspends cancellation for its block") {
    on_wire([](sim& s) {
        cancel_scope scope;
        scope.cancel();
        {
            const shield protection;
            CHECK_FALSE(this_wire::cancelled());
            CHECK(sleep(within(2ms)));
            CHECK(suspend(within(1ms)).code() == ETIMEDOUT);
        }
        CHECK(cancelled(sleep(within(1ms))));
        CHECK(s.ms() == 3);
    });
}

TEST_CASE("shield: a cancel that comes while a wire waits behind it is seen after it") {
    on_wire([](sim& s) {
        auto h = spawn([&] {
            {
                const shield protection;
                CHECK(sleep(within(5ms)));
                CHECK(s.ms() == 5);
            }
            CHECK(cancelled(sleep(within(1ms))));
        });
        yield();
        h.cancel();
        CHECK(h.join());
    });
}

TEST_CASE("shield: a scope inside it can be cancelled and can expire") {
    on_wire([](sim& s) {
        cancel_scope outer;
        outer.cancel();
        const shield protection;
        {
            const cancel_scope farewell(within(5ms));
            CHECK(sleep(within(2ms)));
            CHECK(cancelled(sleep(within(1h))));
            CHECK(farewell.expired());
        }
        {
            cancel_scope inner;
            inner.cancel();
            CHECK(cancelled(suspend()));
        }
        CHECK(sleep(within(1ms)));
        CHECK(s.ms() == 6);
    });
}

TEST_CASE(
    "shield: a cancelled parent does not reach scopes behind it, nor a wire that waits there" *
    fifo) {
    on_wire([](sim& s) {
        cancel_scope* outer = nullptr;
        auto h = spawn([&] {
            cancel_scope scope;
            outer = &scope;
            const shield protection;
            const cancel_scope inner;
            CHECK(sleep(within(5ms)));
            CHECK(scope.cancelled());
            CHECK_FALSE(inner.cancelled());
        });
        yield();
        outer->cancel();
        CHECK(h.join());
        CHECK(s.ms() == 5);
    });
}

TEST_CASE("cancel: of a wire that never ran: it runs, and its first wait fails") {
    // libwire ran such a wire to its first yield and no further (W9).
    on_wire([](sim&) {
        trace log;
        auto h = spawn([&] {
            log("ran");
            CHECK(this_wire::cancelled());
            CHECK(cancelled(suspend()));
            yield();
            log("to its end");
        });
        h.cancel();
        CHECK(h.join());
        CHECK(log == trace{"ran", "to its end"});
    });
}

TEST_CASE("cancel: of a suspended wire wakes it") {
    // libwire never noticed (W9).
    on_wire([](sim&) {
        auto h = spawn([] { CHECK(cancelled(suspend())); });
        yield();
        h.cancel();
        CHECK(h.join());
    });
}

TEST_CASE("cancel: of the wire itself, with no other ready, is noticed at the next wait") {
    // libwire never noticed (W9).
    on_wire([](sim&) {
        handle<void> h;
        h = spawn([&] {
            h.cancel();
            yield();
            CHECK(this_wire::cancelled());
            CHECK(cancelled(sleep(never)));
        });
        CHECK(h.join());
    });
}

TEST_CASE("cancel: of a sleeping wire disarms its timer") {
    sim s;
    s.rt.go([&] {
        auto h = spawn([] { CHECK(cancelled(sleep(within(1h)))); });
        yield();
        h.cancel();
        CHECK(h.join());
    });
    CHECK(s.rt.run());
    CHECK(s.ms() == 0);
}

TEST_CASE("cancel: of a joining wire leaves the other running and joinable") {
    on_wire([](sim& s) {
        auto h = spawn([] {
            CHECK(sleep(within(5ms)));
            return 4;
        });
        auto joiner = spawn([&] { CHECK(h.join().code() == ECANCELED); });
        yield();
        joiner.cancel();
        CHECK(joiner.join());
        CHECK(s.ms() == 0);
        CHECK(*h.join() == 4);
        CHECK(s.ms() == 5);
    });
}

TEST_CASE("cancel: of a wire that has ended does nothing, and its result is kept") {
    on_wire([](sim&) {
        auto h = spawn([] { return 9; });
        yield();
        h.cancel();
        h.cancel();
        CHECK(*h.join() == 9);
    });
}

TEST_CASE("cancel: of one wire does not touch the wires that it started") {
    on_wire([](sim& s) {
        handle<void> child;
        auto parent = spawn([&] {
            child = spawn([] { CHECK(sleep(within(3ms))); });
            CHECK(cancelled(suspend()));
        });
        yield();
        parent.cancel();
        CHECK(parent.join());
        CHECK(child.join());
        CHECK(s.ms() == 3);
    });
}

TEST_CASE("cancel: twice is once") {
    on_wire([](sim&) {
        auto h = spawn([] {
            CHECK(cancelled(suspend()));
            CHECK(cancelled(suspend()));
        });
        yield();
        h.cancel();
        h.cancel();
        CHECK(h.join());
    });
}

TEST_CASE("cancel: unwinding by an exception leaves scopes properly") {
    on_wire([](sim&) {
        try {
            cancel_scope outer(within(1h));
            const shield protection;
            const cancel_scope inner(within(2h));
            outer.cancel();
            throw std::runtime_error("x");
        } catch (const std::runtime_error&) {
        }
        CHECK_FALSE(this_wire::cancelled());
        CHECK(sleep(within(1ms)));
    });
}
