// The report of a fault on a wire. Each fault happens in a child, in code compiled without and with
// optimisation, and must end it by SIGSEGV as if there were no report.
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>

#include <wire/fault_report.hpp>
#include <wire/runtime.hpp>
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/overflow.hpp"
#include "support/sim_poller.hpp"

using namespace wire;
using namespace wire::test;

namespace {

struct faults {
    const char* name;
    std::size_t (*descend)(int);
    void (*enter_large_frame)();
    void (*write_to)(std::size_t);
    void (*write_to_constant)();
};

constexpr faults builds[] = {
    {"-O0", unoptimised::descend, unoptimised::enter_large_frame, unoptimised::write_to,
     unoptimised::write_to_constant},
    {"-O2", optimised::descend, optimised::enter_large_frame, optimised::write_to,
     optimised::write_to_constant},
};

constexpr int endless = 1'000'000;

// Runs `fn` on a wire with the report installed.
template <class F>
death fault_on_wire(const spawn_options& options, F fn) {
    return run_in_child([&] {
        must(install_fault_report(), "the report can be installed");
        runtime rt;
        rt.go(options, fn);
        static_cast<void>(rt.run());
    });
}

void handler_with_info(int, siginfo_t* info, void*) {
    const char* const text = info->si_addr == reinterpret_cast<void*>(64)
                                 ? "earlier handler, address 64\n"
                                 : "earlier handler, another address\n";
    static_cast<void>(!::write(STDERR_FILENO, text, std::strlen(text)));
    ::_exit(42);
}

void plain_handler(int) {
    const char text[] = "plain handler\n";
    static_cast<void>(!::write(STDERR_FILENO, text, sizeof text - 1));
    ::_exit(43);
}

void install_earlier(void (*with_info)(int, siginfo_t*, void*), void (*plain)(int)) {
    struct sigaction action {};
    if (with_info) {
        action.sa_flags = SA_SIGINFO;
        action.sa_sigaction = with_info;
    } else {
        action.sa_handler = plain;
    }
    ::sigaction(SIGSEGV, &action, nullptr);
}

}  // namespace

TEST_CASE("fault report: the recursion of these tests is one (canary)") {
    for (const faults& f : builds) {
        CAPTURE(std::string(f.name));
        CHECK(f.descend(100) >= 100 * 128);
    }
}

TEST_CASE("fault report: a stack overflow names the wire, its stack's size and the guard") {
    for (const faults& f : builds) {
        CAPTURE(std::string(f.name));
        const death d = fault_on_wire({.name = "digger", .stack = 32 * 1024},
                                      [&] { static_cast<void>(f.descend(endless)); });
        CAPTURE(d.said);
        CHECK(d.signal == SIGSEGV);
        CHECK(d.says("wire: fault in wire \"digger\" (stack of 32768 bytes, 0x"));
        CHECK(d.says("wire: SIGSEGV at address 0x"));
        CHECK(d.says(": guard hit: stack overflow; "));
        CHECK(d.times("fault in wire") == 1);
    }
}

TEST_CASE("fault report: a backtrace follows") {
    const death d = fault_on_wire({}, [] { builds[1].write_to(64); });
    const auto at = d.said.find("wire: backtrace:\n");
    CHECK(at != std::string::npos);
    CHECK(d.said.find("[0x", at) != std::string::npos);
}

TEST_CASE("fault report: a frame larger than the guard hits it, too") {
    // Thanks to -fstack-clash-protection, with which wire.pc makes users compile.
    WIRE_LEAVE_OUT_IF(under_asan, "its frames are not probed");
    for (const faults& f : builds) {
        CAPTURE(std::string(f.name));
        const death d = fault_on_wire({.name = "wide"}, [&] { f.enter_large_frame(); });
        CAPTURE(d.said);
        CHECK(d.signal == SIGSEGV);
        CHECK(d.says("\"wide\""));
        CHECK(d.says("guard hit: stack overflow"));
    }
}

TEST_CASE("fault report: a wild pointer is told from an overflow") {
    for (const faults& f : builds) {
        CAPTURE(std::string(f.name));
        const death d = fault_on_wire({.name = "wild"}, [&] { f.write_to(64); });
        CAPTURE(d.said);
        CHECK(d.signal == SIGSEGV);
        CHECK(d.says("fault in wire \"wild\" (stack of "));
        CHECK(d.says("SIGSEGV at address 0x40: nothing is mapped there"));
        CHECK_FALSE(d.says("overflow"));
    }
}

TEST_CASE("fault report: a write to read-only memory is reported as such") {
    for (const faults& f : builds) {
        CAPTURE(std::string(f.name));
        const death d = fault_on_wire({.name = "scribe"}, [&] { f.write_to_constant(); });
        CAPTURE(d.said);
        CHECK(d.signal == SIGSEGV);
        CHECK(d.says("\"scribe\""));
        CHECK(d.says("no permission for that access"));
    }
}

TEST_CASE("fault report: an address that no page can have is reported as such") {
    const death d = fault_on_wire({}, [] { builds[1].write_to(0xdead'beef'dead'beef); });
    CAPTURE(d.said);
    CHECK(d.signal == SIGSEGV);
    CHECK(d.says("not an ordinary access"));
}

TEST_CASE("fault report: a fault outside wires ends the program without a word") {
    for (const faults& f : builds) {
        CAPTURE(std::string(f.name));
        const death before = run_in_child([&] {
            install_fault_report();
            f.write_to(64);
        });
        CHECK(before.signal == SIGSEGV);
        CHECK_FALSE(before.says("wire:"));

        const death after = run_in_child([&] {
            install_fault_report();
            runtime rt;
            rt.go([] { yield(); });
            static_cast<void>(rt.run());
            f.write_to(64);
        });
        CHECK(after.signal == SIGSEGV);
        CHECK_FALSE(after.says("wire:"));
    }
}

TEST_CASE("fault report: a fault in a poller is none of a wire") {
    const death d = run_in_child([] {
        install_fault_report();
        sim s;
        s.clock.idle = [] { builds[1].write_to(64); };
        s.rt.go([] { static_cast<void>(sleep(within(std::chrono::seconds(1)))); });
        static_cast<void>(s.rt.run());
    });
    CHECK(d.signal == SIGSEGV);
    CHECK_FALSE(d.says("fault in wire"));
}

TEST_CASE("fault report: a fault outside wires reaches an earlier handler untouched") {
    const death with_info = run_in_child([] {
        install_earlier(handler_with_info, nullptr);
        install_fault_report();
        builds[1].write_to(64);
    });
    CHECK(with_info.code == 42);
    CHECK(with_info.says("earlier handler, address 64\n"));
    CHECK_FALSE(with_info.says("wire:"));

    const death plain = run_in_child([] {
        install_earlier(nullptr, plain_handler);
        install_fault_report();
        builds[1].write_to(64);
    });
    CHECK(plain.code == 43);
    CHECK(plain.says("plain handler\n"));
    CHECK_FALSE(plain.says("wire:"));
}

TEST_CASE("fault report: after the report of a wire's fault an earlier handler runs") {
    const death d = run_in_child([] {
        install_earlier(handler_with_info, nullptr);
        install_fault_report();
        runtime rt;
        rt.go({.name = "faulty"}, [] { builds[1].write_to(64); });
        static_cast<void>(rt.run());
    });
    CHECK(d.code == 42);
    CHECK(d.says("fault in wire \"faulty\""));
    CHECK(d.says("earlier handler, address 64\n"));
}

TEST_CASE("fault report: a SIGSEGV that somebody sent is passed on, not reported") {
    const death d = fault_on_wire({}, [] { ::raise(SIGSEGV); });
    CHECK(d.signal == SIGSEGV);
    CHECK_FALSE(d.says("fault in wire"));
}

TEST_CASE("fault report: installing it twice changes nothing") {
    const death d = run_in_child([] {
        must(install_fault_report() && install_fault_report(), "both succeed");
        runtime rt;
        rt.go({.name = "once"}, [] { builds[1].write_to(64); });
        static_cast<void>(rt.run());
    });
    CHECK(d.signal == SIGSEGV);
    CHECK(d.times("fault in wire") == 1);
}

TEST_CASE("fault report: it works on every thread that asked for it") {
    const death d = run_in_child([] {
        install_fault_report();
        std::thread([] {
            install_fault_report();
            runtime rt;
            rt.go({.name = "second", .stack = 16 * 1024},
                  [] { static_cast<void>(builds[1].descend(endless)); });
            static_cast<void>(rt.run());
        }).join();
    });
    CAPTURE(d.said);
    CHECK(d.signal == SIGSEGV);
    CHECK(d.says("fault in wire \"second\" (stack of 16384 bytes"));
    CHECK(d.says("guard hit"));
}

TEST_CASE("fault report: without it an overflow dies just the same, silently") {
    const death d = run_in_child([] {
        runtime rt;
        rt.go([] { static_cast<void>(builds[1].descend(endless)); });
        static_cast<void>(rt.run());
    });
    CHECK(d.signal == SIGSEGV);
    CHECK_FALSE(d.says("wire:"));
}

TEST_CASE("fault report: the running wire is named, not one that ran before") {
    const death d = run_in_child([] {
        install_fault_report();
        runtime rt;
        rt.go({.name = "first"}, [] {
            for (int i = 0; i < 10; ++i) yield();
        });
        rt.go({.name = "culprit"}, [] {
            for (int i = 0; i < 3; ++i) yield();
            builds[1].write_to(64);
        });
        static_cast<void>(rt.run());
    });
    CHECK(d.says("\"culprit\""));
    CHECK_FALSE(d.says("\"first\""));
}
