// remote::cancel and cancel_all: cancellation that comes from another thread.
#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#include <wire/runtime.hpp>
#include "support/count_malloc.hpp"
#include "support/dies.hpp"
#include "support/sim_poller.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

TEST_CASE("remote: cancel ends what the wire waits for, and what was written before is visible") {
    runtime rt;
    int message = 0;
    std::jthread other;
    rt.go([&] {
        other = std::jthread([&message, r = this_wire::remote(), me = this_wire::ref()] {
            message = 42;
            CHECK(r.cancel(me));
        });
        CHECK(sleep(never).code() == ECANCELED);
        CHECK(message == 42);
        CHECK(sleep(never).code() == ECANCELED);  // level-triggered
    });
    CHECK(rt.run());
}

TEST_CASE("remote: cancel does not enter a shield") {
    sim s;
    s.rt.go([&] {
        auto wire = spawn([&] {
            const shield protection;
            CHECK(sleep(within(1ms)));
            return s.ms();
        });
        yield();
        CHECK(this_wire::remote().cancel(wire.ref()));
        CHECK(wire.join().value() == 1);
    });
    CHECK(s.rt.run());
}

TEST_CASE("remote: a resume and a cancel that are on their way at once both arrive") {
    for (const bool resume_first : {false, true}) {
        CAPTURE(resume_first);
        sim s;
        s.rt.go([&] {
            const remote r = this_wire::remote();
            auto wire = spawn([] {
                const bool resumed = suspend().has_value();
                return resumed && suspend().code() == ECANCELED;
            });
            yield();
            if (resume_first) CHECK(r.resume(wire.ref()));
            CHECK(r.cancel(wire.ref()));
            if (!resume_first) CHECK(r.resume(wire.ref()));
            CHECK(wire.join().value());
        });
        CHECK(s.rt.run());
    }
}

TEST_CASE("remote: a cancel of a wire that has ended reaches nobody else") {
    sim s;
    s.rt.go([&] {
        const remote r = this_wire::remote();
        auto h = spawn([] {});
        const wire_ref old = h.ref();
        CHECK(h.join());
        auto successor = spawn([] { return sleep(within(1ms)).code(); });  // in the same slot
        CHECK(r.cancel(old));
        CHECK(successor.join().value() == 0);
    });
    CHECK(s.rt.run());
}

TEST_CASE("remote: a cancel of a newer wire is not lost to one of an older in the same slot") {
    sim s;
    s.rt.go([&] {
        const remote r = this_wire::remote();
        auto h = spawn([] {});
        const wire_ref old = h.ref();
        CHECK(h.join());
        auto successor = spawn([] { return sleep(within(1ms)).code(); });
        CHECK(r.resume(old));
        CHECK(r.cancel(successor.ref()));
        CHECK(r.cancel(old));
        CHECK(successor.join().value() == ECANCELED);
    });
    CHECK(s.rt.run());
}

TEST_CASE("remote: cancel_all cancels every wire, not those that start later") {
    runtime rt;
    std::vector<int> codes;
    std::jthread other;
    for (int i = 0; i < 3; ++i) rt.go([&] { codes.push_back(sleep(never).code()); });
    rt.go([&] {
        other = std::jthread([r = this_wire::remote()] { CHECK(r.cancel_all()); });
        codes.push_back(suspend().code());
        go([&] { codes.push_back(sleep(within(0s)).code()); });
    });
    CHECK(rt.run());
    CHECK(codes == std::vector<int>{ECANCELED, ECANCELED, ECANCELED, ECANCELED, 0});
}

TEST_CASE("remote: cancel says false once the runtime is gone, each time") {
    remote r;
    wire_ref a;
    {
        runtime rt;
        r = rt.remote();
        rt.go([&] { a = this_wire::ref(); });
        rt.run_once();
        CHECK(r.cancel(a));
    }
    for (int i = 0; i < 3; ++i) {
        CHECK_FALSE(r.cancel(a));
        CHECK_FALSE(r.cancel_all());
    }
}

TEST_CASE("remote: resume, cancel, cancel_all and stop allocate nothing") {
    if (!counts_allocations()) return;
    runtime rt;
    wire_ref a;
    rt.go([&] {
        a = this_wire::ref();
        while (suspend()) {
        }
    });
    rt.run_once();
    const remote r = rt.remote();
    std::size_t count = 1;
    std::jthread([&] {
        const allocation_count allocated;
        for (int i = 0; i < 100; ++i) {
            CHECK(r.resume(a));
            CHECK(r.cancel(a));
            CHECK(r.cancel_all());
            CHECK(r.stop());
        }
        count = allocated.value();
    }).join();
    CHECK(count == 0);
    const allocation_count served;
    rt.run_once();
    CHECK(rt.run());
    CHECK(served.value() == 0);
}

TEST_CASE("remote: cancel wants a wire of its runtime") {
    CHECK(dies([] { static_cast<void>(runtime().remote().cancel(wire_ref())); },
               "remote::cancel() of an empty reference"));
    CHECK(dies(
        [] {
            runtime one, two;
            wire_ref a;
            one.go([&] { a = this_wire::ref(); });
            one.run_once();
            static_cast<void>(two.remote().cancel(a));
        },
        "remote::cancel() of a wire of another runtime"));
}

TEST_CASE("misuse: a wire is woken and cancelled on its own thread only") {
    CHECK(dies(
        [] {
            runtime rt;
            rt.go([] {
                auto h = spawn([] { static_cast<void>(suspend()); });
                yield();
                std::thread([&] { h.cancel(); }).join();
            });
            static_cast<void>(rt.run());
        },
        "a wire is cancelled on its own thread only: from others use remote::cancel"));
    CHECK(dies(
        [] {
            runtime rt;
            wire_ref a;
            rt.go([&] {
                a = this_wire::ref();
                static_cast<void>(suspend());
            });
            rt.run_once();
            std::thread([&] {
                runtime other;
                other.go([&] { resume(a); });
                static_cast<void>(other.run());
            }).join();
        },
        "resume() of a wire of another runtime: use the remote of its runtime"));
}
