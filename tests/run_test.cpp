// wire::run: exit codes, what it says, threads. And the reactor's own life.
#include "support/io.hpp"

#include <pthread.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>

#include <wire/run.hpp>
#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>

#include "support/backend.hpp"
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/failing_call.hpp"
#include "support/trace.hpp"

namespace wire::test {
namespace {

// Recursion that no compiler turns into a loop.
int dig(int depth) {
    volatile char frame[1024];
    frame[0] = static_cast<char>(depth);
    return depth == 0 ? 0 : dig(depth + 1) + frame[0];
}

// First in this file: the handler is installed once in a process, and the child wants a fresh one.
// Sets a variable of the environment for a block.
class environment_variable {
public:
    environment_variable(const char* name, const char* value) : name_(name) {
        if (const char* const old = ::getenv(name)) before_ = old;
        ::setenv(name, value, 1);
    }
    ~environment_variable() {
        if (before_)
            ::setenv(name_, before_->c_str(), 1);
        else
            ::unsetenv(name_);
    }
    environment_variable(const environment_variable&) = delete;
    environment_variable& operator=(const environment_variable&) = delete;

private:
    const char* const name_;
    std::optional<std::string> before_;
};

TEST_CASE("run: a stack overflow of main is reported with its name") {
    const death end = run_in_child([] { static_cast<void>(run([] { return dig(1); })); });
    CHECK(end.signal == SIGSEGV);
    CHECK(end.says("main"));
    CHECK(end.says("overflow"));
}

TEST_CASE("run: returns what main returned, 0 for void") {
    CHECK(run([] { return 7; }) == 7);
    CHECK(run([] {}) == 0);
    CHECK(run([] { return true; }) == 1);
}

TEST_CASE("run: main is a wire of that name, with a reactor") {
    std::string name;
    std::string read;
    CHECK(run([&] {
              name = this_wire::name();
              auto [near, far] = unix_pair();
              put(near, "x");
              read = take(far);
          }) == 0);
    CHECK(name == "main");
    CHECK(read == "x");
}

TEST_CASE("run: returns when the last wire has ended, not when main has") {
    trace log;
    CHECK(run([&] {
              go([&] {
                  let_others_run();
                  log("other");
              });
              log("main");
              return 3;
          }) == 3);
    CHECK(log == trace{"main", "other"});
}

TEST_CASE("run: a callable that can only be called as an lvalue is called in place") {
    struct counter {
        int operator()() & { return ++n; }
        int n = 0;
    } count;
    CHECK(run(count) == 1);
    CHECK(run(count) == 2);
    CHECK(count.n == 2);
    const auto constant = [] { return 4; };
    CHECK(run(constant) == 4);
}

TEST_CASE("run: an exception from main gives 1 and its text, and cancels the other wires") {
    const caught_diagnostics said;
    std::string other;
    CHECK(run([&] {
              go([&] { other = error_name(sleep(never).code()); });
              yield();
              throw std::runtime_error("the disk is on fire");
          }) == 1);
    CHECK(other == "!ECANCELED");
    CHECK(said.has(diagnostic::failure, "the disk is on fire"));
    CHECK(said.size() == 1);

    CHECK(run([] { throw 42; }) == 1);
    CHECK(said.size() == 2);
}

TEST_CASE("run: without a handler the text goes to standard error") {
    const death end = run_in_child(
        [] { must(run([] { io::listen_tcp("192.0.2.1", 1).value(); }) == 1, "exit code 1"); });
    CHECK(end.code == 0);
    CHECK(end.says("Cannot assign requested address"));
}

TEST_CASE("run: a deadlock gives 1 and names who waits") {
    const caught_diagnostics said;
    CHECK(run([] { CHECK(suspend().code() == ECANCELED); }) == 1);
    CHECK(said.has(diagnostic::deadlock, "deadlock"));
    CHECK(said.has(diagnostic::deadlock, "\"main\""));
}

TEST_CASE("run: a kernel object that cannot be made gives 1 and names the call") {
    const auto on_epoll = io::backend_choice::epoll, on_ring = io::backend_choice::io_uring;
    std::vector<std::pair<std::string, io::backend_choice>> calls = {
        {"epoll_create1", on_epoll}, {"eventfd", on_epoll}, {"epoll_ctl", on_epoll}};
    if (on_io_uring()) {
        calls.emplace_back("io_uring_setup", on_ring);
        calls.emplace_back("eventfd", on_ring);
    }
    for (const auto& [call, backend] : calls) {
        CAPTURE(call);
        const caught_diagnostics said;
        const failing_call refused(call.c_str(), EMFILE);
        bool ran = false;
        CHECK(run([&] { ran = true; }, {.reactor = {.backend = backend}}) == 1);
        CHECK_FALSE(ran);
        CHECK(said.has(diagnostic::failure, call));
        CHECK(said.has(diagnostic::failure, "Too many open files"));
        CHECK(said.size() == 1);
    }
}

TEST_CASE("run: threads each run main, with a runtime of their own; the caller is one of them") {
    std::mutex mutex;
    std::set<std::thread::id> threads;
    const auto main_once = [&] {
        auto [near, far] = unix_pair();
        auto reader = spawn([&far] { return take(far); });
        CHECK(sleep(shortly()));
        put(near, "x");
        const bool ok = reader.join(soon()).value() == "x";
        const std::lock_guard guard(mutex);
        CHECK(ok);
        threads.insert(std::this_thread::get_id());
        return std::this_thread::get_id() == std::thread::id{} ? 1 : 0;
    };
    CHECK(run(main_once, {.threads = 3}) == 0);
    CHECK(threads.size() == 3);
    CHECK(threads.contains(std::this_thread::get_id()));
}

TEST_CASE("run: with threads it returns the first code that is not 0, the caller's before others") {
    const auto self = std::this_thread::get_id();
    const auto run_with_codes = [&](int mine, int theirs) {
        return run([&] { return std::this_thread::get_id() == self ? mine : theirs; },
                   {.threads = 3});
    };
    CHECK(run_with_codes(5, 6) == 5);
    CHECK(run_with_codes(0, 6) == 6);
    CHECK(run_with_codes(5, 0) == 5);
    CHECK(run_with_codes(0, 0) == 0);
}

TEST_CASE("run: if one of the threads has no kernel object, none calls main") {
    const caught_diagnostics said;
    std::atomic<int> ran{0};
    for (const int nth : {1, 2, 3}) {
        const failing_call refused("eventfd", EMFILE, nth, 1);
        CHECK(run([&] { ++ran; }, {.threads = 3}) == 1);
    }
    CHECK(ran == 0);
    CHECK(said.of(diagnostic::failure).size() == 3);
    CHECK(run([&] { ++ran; }, {.threads = 3}) == 0);
    CHECK(ran == 3);
}

TEST_CASE("run: if a thread cannot be started, none calls main") {
    const death end = run_in_child([] {
        pthread_attr_t attributes;
        ::pthread_attr_init(&attributes);
        ::pthread_attr_setstacksize(&attributes, std::size_t{1} << 46);  // more than there is
        must(::pthread_setattr_default_np(&attributes) == 0, "threads with absurd stacks");
        bool ran = false;
        must(run([&] { ran = true; }, {.threads = 3}) == 1, "exit code 1");
        must(!ran, "that main is not called");
    });
    INFO(end.said);
    CHECK(end.code == 0);
    CHECK(end.says("only 1 of 3 threads could be started"));
}

TEST_CASE("run: it may be called again, and from several threads") {
    std::jthread other([] { CHECK(run([] { return 1; }) == 1); });
    for (int i = 0; i < 3; ++i) CHECK(run([i] { return i; }) == i);
}

TEST_CASE("reactor: it says what it runs on") {
    runtime rt;
    const io::reactor on_epoll(rt, {.backend = io::backend_choice::epoll});
    CHECK(on_epoll.backend() == "epoll");
}

TEST_CASE("reactor: on a wire, io::backend() says what it runs on") {
    std::string said;
    CHECK(run([&] { said = io::backend(); }, {.reactor = {.backend = io::backend_choice::epoll}}) ==
          0);
    CHECK(said == "epoll");
    CHECK(run([&] { said = io::backend(); }) == 0);
    CHECK(said.starts_with(on_io_uring() ? "io_uring" : "epoll"));
}

TEST_CASE("reactor: where io_uring is refused it takes epoll, and says why") {
    WIRE_LEAVE_OUT_IF(under_valgrind(), "Valgrind gets epoll anyway");
    const environment_variable automatic("WIRE_REACTOR", "auto");
    for (const auto& [error, name] :
         {std::pair(EMFILE, "EMFILE"), {EPERM, "EPERM"}, {ENOSYS, "ENOSYS"}, {ENOMEM, "ENOMEM"}}) {
        const caught_diagnostics said;
        const failing_call refused("io_uring_setup", error);
        runtime rt;
        const io::reactor reactor(rt);
        CHECK(reactor.backend() == std::string("epoll: io_uring_setup: ") + name);
        CHECK(said.has(diagnostic::fallback, std::string(reactor.backend())));
        CHECK(rt.run());
        CHECK_THROWS_AS(io::reactor(rt, {.backend = io::backend_choice::io_uring}),
                        std::system_error);
    }
}

TEST_CASE("reactor: many threads say once that io_uring is refused") {
    WIRE_LEAVE_OUT_IF(under_valgrind(), "Valgrind gets epoll anyway");
    const environment_variable automatic("WIRE_REACTOR", "auto");
    const caught_diagnostics said;
    const failing_call refused("io_uring_setup", ENFILE);
    CHECK(run([] {}, {.threads = 4}) == 0);
    CHECK(said.of(diagnostic::fallback).size() == 1);
}

TEST_CASE("reactor: older kernels' io_uring will do") {
    WIRE_LEAVE_OUT_IF(!on_io_uring(), "io_uring is not in use");
    for (const int rung : {1, 2}) {
        const failing_call refused("io_uring_setup", EINVAL, 1, rung);
        runtime rt;
        const io::reactor reactor(rt, {.backend = io::backend_choice::io_uring});
        CHECK(reactor.backend() == "io_uring");
    }
}

TEST_CASE("reactor: WIRE_REACTOR chooses where the program does not") {
    const environment_variable chosen("WIRE_REACTOR", "epoll");
    {
        runtime rt;
        CHECK(io::reactor(rt).backend() == "epoll");
    }
    const environment_variable wrong("WIRE_REACTOR", "uring");
    runtime rt;
    CHECK_THROWS_WITH_AS(io::reactor{rt}, doctest::Contains("auto, io_uring or epoll"),
                         std::system_error);
    CHECK_NOTHROW(io::reactor(rt, {.backend = io::backend_choice::epoll}));
}

TEST_CASE("reactor: makes its kernel objects in run(), on the thread that runs") {
    const int before = open_descriptors();
    {
        runtime rt;
        const io::reactor reactor(rt);
        CHECK(open_descriptors() == before);
        CHECK(rt.run());
        CHECK(open_descriptors() == before + 2);
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("reactor: a failed start can be tried again") {
    runtime rt;
    const io::reactor reactor(rt);
    bool ran = false;
    rt.go([&] { ran = true; });
    const std::vector<const char*> on_epoll = {"epoll_create1", "eventfd", "epoll_ctl"};
    const std::vector<const char*> on_ring = {"eventfd", "io_uring_setup"};
    for (const char* call : on_io_uring() ? on_ring : on_epoll) {
        const failing_call refused(call, EMFILE, 1, 1);
        CHECK_THROWS_AS(rt.run().value(), std::system_error);
    }
    CHECK_FALSE(ran);
    CHECK(rt.run());
    CHECK(ran);
}

TEST_CASE("reactor: its end cancels wires that wait in it") {
    std::string read;
    {
        runtime rt;
        const io::reactor reactor(rt);
        rt.go([&] {
            auto [near, far] = unix_pair();
            read = take(far, 64, never);
        });
        rt.run_once();
    }
    CHECK(read == "!ECANCELED");
}

TEST_CASE("reactor: a wire that does not end is named once, not by its runtime again") {
    const caught_diagnostics said;
    {
        runtime rt({.drain = 10ms});
        const io::reactor reactor(rt);
        rt.go([] {
            const shield protection;
            static_cast<void>(sleep(within(1h)));
        });
        rt.run_once();
    }
    CHECK(said.of(diagnostic::straggler).size() == 1);
}

TEST_CASE("reactor: I/O in a wire that is sent after its end is cancelled, also behind a shield") {
    std::string read;
    std::string ready;
    {
        runtime rt;
        { const io::reactor reactor(rt); }
        CHECK(rt.remote().go([&] {
            const shield protection;
            auto [near, far] = unix_pair();
            put(near, "x");  // need not wait
            CHECK(take(far) == "x");
            read = take(far);
            ready = error_name(io::wait_readable(far.native_handle()).code());
        }));
    }
    CHECK(read == "!ECANCELED");
    CHECK(ready == "!ECANCELED");
}

TEST_CASE("reactor: a wait that an interrupted poll saw nothing of goes on") {
    on_wires([] {
        auto [near, far] = unix_pair();
        const failing_call interrupted(sleeping_call(), EINTR, 1, 5);
        auto reader = spawn([&far] { return take(far); });
        let_others_run();
        put(near, "x");
        CHECK(reader.join(soon()).value() == "x");
    });
}

TEST_CASE("reactor: another thread wakes a runtime that sleeps in it") {
    runtime rt;
    const io::reactor reactor(rt);
    std::jthread other;
    rt.go([&] {
        auto [near, far] = unix_pair();
        const auto send = [&near] { put(near, "x"); };
        other = std::jthread([send, r = rt.remote()] { CHECK(r.go(send)); });
        CHECK(take(far) == "x");
    });
    CHECK(rt.run());
}

TEST_CASE("reactor: wires that wait for descriptors are no deadlock, until the last one is gone") {
    const caught_diagnostics said;
    runtime rt;
    const io::reactor reactor(rt);
    rt.go([] {
        auto [near, far] = unix_pair();
        go([s = std::move(near)]() mutable {
            let_others_run();
            put(s, "x");
        });
        CHECK(take(far) == "x");
        CHECK(suspend().code() == ECANCELED);
    });
    CHECK(rt.run().code() == EDEADLK);
    CHECK(said.of(diagnostic::deadlock).size() == 2);
}

}  // namespace
}  // namespace wire::test
