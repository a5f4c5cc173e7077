// What other threads do to a runtime: go, resume, stop; while it runs, sleeps, ends or is gone.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <wire/runtime.hpp>
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/failing_call.hpp"
#include "support/sim_poller.hpp"
#include "support/trace.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

TEST_CASE("remote: go starts wires in the order in which they were sent") {
    runtime rt;
    trace log;
    const remote r = rt.remote();
    std::jthread([&] {
        for (int i = 0; i < 5; ++i) CHECK(r.go([&log, i] { log("", i); }));
    }).join();
    CHECK(log.empty());
    CHECK(rt.run_once() == false);
    CHECK(log == trace{"0", "1", "2", "3", "4"});
}

TEST_CASE("remote: go passes arguments, move-only ones too, and names the wire") {
    runtime rt;
    const remote r = rt.remote();
    int sum = 0;
    std::jthread([&] {
        CHECK(r.go(
            [&](std::unique_ptr<int> a, int b) {
                sum = *a + b;
                CHECK(this_wire::name() == "remote");
            },
            std::make_unique<int>(3), 4));
    }).join();
    rt.run_once();
    CHECK(sum == 7);
}

TEST_CASE("remote: go works on the runtime's own thread, in a wire and outside") {
    runtime rt;
    trace log;
    auto r = std::make_unique<remote>(rt.remote());
    CHECK(r->go([&] {
        log("first");
        CHECK(r->go([&] {
            log("second");
            r.reset();
        }));
    }));
    CHECK(rt.run());
    CHECK(log == trace{"first", "second"});
}

TEST_CASE("remote: go wakes a runtime that sleeps") {
    runtime rt;
    bool ran = false;
    std::optional<work_guard> guard(rt);
    std::jthread other;
    rt.go([&] {
        other = std::jthread([&, r = rt.remote()] {
            std::this_thread::sleep_for(5ms);  // most likely it sleeps now; right in any case
            CHECK(r.go([&] {
                ran = true;
                guard.reset();
            }));
        });
    });
    CHECK(rt.run());
    CHECK(ran);
}

TEST_CASE("remote: resume wakes a wire, and what was written before is visible to it") {
    runtime rt;
    int message = 0;
    std::jthread other;
    rt.go([&] {
        other = std::jthread([&message, r = rt.remote(), me = this_wire::ref()] {
            message = 42;
            CHECK(r.resume(me));
        });
        CHECK(suspend());
        CHECK(message == 42);
    });
    CHECK(rt.run());
}

TEST_CASE("remote: a resume that comes before the suspend is remembered") {
    runtime rt;
    rt.go([&] {
        const wire_ref me = this_wire::ref();
        std::jthread([&] { CHECK(rt.remote().resume(me)); }).join();
        CHECK(suspend());
    });
    CHECK(rt.run());
}

TEST_CASE("remote: resumes that are on their way at once become one, and none is lost") {
    sim s;
    s.rt.go([&] {
        const wire_ref me = this_wire::ref();
        const remote r = s.rt.remote();
        for (int i = 0; i < 100; ++i) CHECK(r.resume(me));
        CHECK(suspend());
        CHECK(suspend(within(1ms)).code() == ETIMEDOUT);
        CHECK(r.resume(me));
        CHECK(suspend());
    });
    CHECK(s.rt.run());
}

TEST_CASE("remote: a resume of a wire that has ended meanwhile reaches nobody else") {
    sim s;
    s.rt.go([&] {
        const remote r = s.rt.remote();
        auto h = spawn([] {});
        const wire_ref old = h.ref();
        CHECK(h.join());
        auto successor = spawn([] { return suspend(within(1ms)).code(); });  // in the same slot
        CHECK(r.resume(old));  // the runtime is there; whether the wire is, nobody knows yet
        CHECK(*successor.join() == ETIMEDOUT);
    });
    CHECK(s.rt.run());
}

TEST_CASE("remote: a resume of a newer wire is not lost to one of an older in the same slot") {
    sim s;
    s.rt.go([&] {
        const remote r = s.rt.remote();
        auto h = spawn([] {});
        const wire_ref old = h.ref();
        CHECK(h.join());
        auto successor = spawn([] { return suspend(within(1ms)).code(); });
        CHECK(r.resume(old));
        CHECK(r.resume(successor.ref()));
        CHECK(r.resume(old));
        CHECK(*successor.join() == 0);
    });
    CHECK(s.rt.run());
}

TEST_CASE("remote: a wire gets that of its own runtime by this_wire::remote") {
    runtime rt;
    trace log;
    std::jthread other;
    rt.go([&] {
        other = std::jthread([&log, home = this_wire::remote(), me = this_wire::ref()] {
            CHECK(home.go([&log] { log("sent"); }));
            CHECK(home.resume(me));
        });
        CHECK(suspend());
        log("resumed");
    });
    CHECK(rt.run());
    CHECK(log == trace{"sent", "resumed"});
}

TEST_CASE("remote: it does not keep run from returning, a work_guard does") {
    runtime rt;
    const remote r = rt.remote();
    CHECK(rt.run());
    bool ran = false;
    CHECK(r.go([&] { ran = true; }));
    CHECK_FALSE(ran);
    CHECK(rt.run());
    CHECK(ran);
}

TEST_CASE("remote: stop ends a run that sleeps") {
    runtime rt;
    const work_guard guard(rt);
    std::jthread other;
    rt.go([&] {
        other = std::jthread([r = rt.remote()] { CHECK(r.stop()); });
        static_cast<void>(suspend());
    });
    CHECK(rt.run());
    CHECK(rt.size() == 1);
}

TEST_CASE("remote: stop ends a run that is busy") {
    runtime rt;
    std::jthread other;
    bool ending = false;
    rt.go([&] {
        other = std::jthread([r = rt.remote()] { CHECK(r.stop()); });
        while (!ending) yield();
    });
    CHECK(rt.run());
    ending = true;
    CHECK(rt.run());
}

TEST_CASE("remote: every call says false once the runtime is gone, each time") {
    remote r;
    wire_ref a;
    {
        runtime rt;
        r = rt.remote();
        rt.go([&] { a = this_wire::ref(); });
        rt.run_once();
        CHECK(r.resume(a));
    }
    for (int i = 0; i < 3; ++i) {
        CHECK_FALSE(r.go([] { CHECK(false); }));
        CHECK_FALSE(r.resume(a));
        CHECK_FALSE(r.stop());
    }
    CHECK(r);  // it still refers to that runtime
}

TEST_CASE("remote: a callable that is refused is destroyed by the caller") {
    const auto token = std::make_shared<int>(1);
    std::optional<runtime> rt(std::in_place);
    const remote r = rt->remote();
    rt.reset();
    CHECK_FALSE(r.go([token] {}));
    CHECK(token.use_count() == 1);
}

TEST_CASE("remote: what was sent before the end of the runtime runs, cancelled") {
    trace log;
    const auto token = std::make_shared<int>(1);
    {
        runtime rt;
        CHECK(rt.remote().go([&, token] {
            CHECK(this_wire::cancelled());
            log("ran");
        }));
    }
    CHECK(log == trace{"ran"});
    CHECK(token.use_count() == 1);
}

namespace {

// Calls `moment` whenever the runtime has just emptied its inbox and looks for events.
struct watching_poller final : poller {
    void poll(deadline) override {}
    void notify() noexcept override {}
    [[nodiscard]] bool armed() const noexcept override {
        if (moment) moment();
        return false;
    }
    [[nodiscard]] std::int64_t now() const noexcept override { return at_ns; }
    [[nodiscard]] bool has_clock() const noexcept override { return true; }

    std::function<void()> moment;
    std::int64_t at_ns = 0;
};

}  // namespace

TEST_CASE("remote: what is accepted while the runtime looks for the last time runs, too") {
    trace log;
    watching_poller watch;
    remote r;
    {
        runtime rt;
        rt.attach(&watch);
        r = rt.remote();
        rt.go([&] { log("first"); });
        int sent = 0;
        watch.moment = [&] {
            if (rt.size() > 0 || sent == 3) return;
            CHECK(r.go([&log, nth = ++sent] {
                CHECK(this_wire::cancelled());
                log("late ", nth);
            }));
        };
    }
    CHECK(log == trace{"first", "late 1", "late 2", "late 3"});
    CHECK_FALSE(r.go([] {}));
}

TEST_CASE("remote: what the end of a runtime has no time for is destroyed, and said") {
    const caught_diagnostics said;
    watching_poller watch;
    const auto token = std::make_shared<int>(1);
    remote r;
    {
        runtime rt;
        rt.attach(&watch);
        r = rt.remote();
        rt.go([] {
            for (;;) yield();
        });
        watch.moment = [&] {
            if (watch.at_ns == 0) CHECK(r.go([token] { CHECK(false); }));
            watch.at_ns += 6'000'000'000;
        };
    }
    CHECK(token.use_count() == 1);
    CHECK(said.has(diagnostic::straggler, "remote::go is destroyed unrun"));
    CHECK(said.of(diagnostic::straggler).size() == 2);
    CHECK_FALSE(r.go([] {}));
}

TEST_CASE("remote: copies and moves refer to the same runtime") {
    runtime rt;
    int n = 0;
    remote a = rt.remote();
    const remote b = a;
    remote c = std::move(a);
    CHECK_FALSE(a);
    CHECK(b);
    a = c;
    c = remote();
    CHECK_FALSE(c);
    for (const remote* r : {&static_cast<const remote&>(a), &b}) CHECK(r->go([&] { ++n; }));
    rt.run_once();
    CHECK(n == 2);
}

TEST_CASE("remote: an exception in a wire that another thread sent ends the program") {
    CHECK(dies(
        [] {
            runtime rt;
            static_cast<void>(rt.remote().go([] { throw std::runtime_error("from afar"); }));
            static_cast<void>(rt.run());
        },
        "exception left the detached wire \"remote\": from afar"));
}

TEST_CASE(
    "remote: when there is no stack for a wire that was sent, run throws and nothing is lost") {
    runtime rt;
    trace log;
    const remote r = rt.remote();
    for (int i = 0; i < 3; ++i) CHECK(r.go([&log, i] { log("", i); }));
    {
        const failing_call full("mmap", ENOMEM, 1, 2);
        CHECK_THROWS_AS(rt.run_once(), std::system_error);
        CHECK(log.empty());
        CHECK(r.go([&log] { log("3"); }));  // behind those that wait
        CHECK_THROWS_AS(static_cast<void>(rt.run()), std::system_error);
    }
    CHECK_FALSE(rt.run_once());
    CHECK(log == trace{"0", "1", "2", "3"});
}

namespace {

// Room for two wires, in the caller's memory.
struct room_for_two {
    static constexpr std::size_t size = 64 * 1024;
    std::vector<std::byte> memory = std::vector<std::byte>(3 * size);
    runtime_options options = {.stack = {.size = size, .memory = aligned()}};

    std::span<std::byte> aligned() {
        void* at = memory.data();
        std::size_t left = memory.size();
        std::align(4096, 2 * size, at, left);
        return {static_cast<std::byte*>(at), 2 * size};
    }
};

}  // namespace

TEST_CASE("remote: a wire for which there is no stack is started when another has ended") {
    for (const bool by_run : {true, false}) {
        CAPTURE(by_run);
        const caught_diagnostics said;
        room_for_two room;
        trace log;
        sim s(room.options);
        for (const int ms : {1, 2})
            s.rt.go([&, ms] {
                for (int i = 0; i < 3; ++i) CHECK(sleep(within(ms * 1ms)));
                log("", ms);
            });
        for (const char* name : {"third", "fourth"})
            CHECK(s.rt.remote().go([&, name] { log(name); }));
        if (by_run) CHECK(s.rt.run());
        for (; s.rt.size() > 0 && s.ms() < 100; s.clock.advance(1ms))
            while (s.rt.run_once()) {
            }
        CHECK(log == trace{"1", "third", "fourth", "2"});
        CHECK(said.of(diagnostic::back_off).size() == 1);
        CHECK(said.has(diagnostic::back_off, "room for 2 stacks"));
    }
}

TEST_CASE("remote: what others do to the wires that live passes a wire that has no stack") {
    const caught_diagnostics said;
    room_for_two room;
    trace log;
    wire_ref first, second;
    runtime rt(room.options);
    const remote r = rt.remote();
    rt.go([&] {
        first = this_wire::ref();
        CHECK(suspend());
        log("resumed");
    });
    rt.go([&] {
        second = this_wire::ref();
        CHECK(suspend().code() == ECANCELED);
        log("cancelled");
    });
    while (rt.run_once()) {
    }
    CHECK(r.go([&] { log("sent"); }));
    CHECK(r.resume(first));
    CHECK(r.cancel(second));
    CHECK(rt.run());
    CHECK(log == trace{"resumed", "cancelled", "sent"});
}

TEST_CASE("remote: wires end in their own time although one that was sent has no stack") {
    const caught_diagnostics said;
    room_for_two room;
    trace log;
    {
        sim s(room.options);
        for (const char* name : {"first", "second"})
            s.rt.go([&, name] {
                CHECK(sleep(never).code() == ECANCELED);
                const shield last_words;
                for (int i = 0; i < 3; ++i) CHECK(sleep(within(1ms)));
                log(name);
            });
        s.rt.run_once();
        CHECK(s.rt.remote().go([&] { log("sent"); }));
    }
    CHECK(log == trace{"first", "second", "sent"});
    CHECK(said.of(diagnostic::straggler).empty());
}

TEST_CASE("remote: what could not be opened is tried again at the end of the runtime") {
    for (const bool still_full : {false, true}) {
        CAPTURE(still_full);
        const auto token = std::make_shared<int>(1);
        const caught_diagnostics said;
        int ran = 0;
        std::optional<failing_call> full;
        {
            runtime rt;
            const remote r = rt.remote();
            for (int i = 0; i < 3; ++i) CHECK(r.go([&ran, token] { ++ran; }));
            full.emplace("mmap", ENOMEM);
            CHECK_THROWS_AS(rt.run_once(), std::system_error);
            if (!still_full) full.reset();
        }
        CHECK(token.use_count() == 1);
        CHECK(ran == (still_full ? 0 : 3));
        // Why, and then each that is lost.
        CHECK(said.of(diagnostic::straggler).size() == (still_full ? 4 : 0));
    }
}

TEST_CASE("remote: a stack that fails while the runtime sleeps loses nothing either") {
    sim s;
    trace log;
    const remote r = s.rt.remote();
    std::optional<work_guard> guard(s.rt);
    std::optional<failing_call> full;
    s.clock.idle = [&] {
        full.emplace("mmap", ENOMEM);
        CHECK(r.go([&] { log("sent"); }));
    };
    CHECK_THROWS_AS(static_cast<void>(s.rt.run()), std::system_error);
    full.reset();
    guard.reset();
    CHECK_FALSE(s.rt.run_once());
    CHECK(log == trace{"sent"});
}

TEST_CASE("remote: a poller that throws loses nothing that came while it slept") {
    sim s;
    trace log;
    const remote r = s.rt.remote();
    std::optional<work_guard> guard(s.rt);
    s.clock.idle = [&] {
        CHECK(r.go([&] { log("sent"); }));
        throw std::runtime_error("the kernel is out of something");
    };
    CHECK_THROWS_AS(static_cast<void>(s.rt.run()), std::runtime_error);
    guard.reset();
    CHECK_FALSE(s.rt.run_once());
    CHECK(log == trace{"sent"});
}
