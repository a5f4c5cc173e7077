// Calls on helper threads: order, bounds, errors, and the ways in which a wait for one may end.
#include "support/io.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include <memory>
#include <semaphore>
#include <stdexcept>
#include <thread>
#include <vector>

#include <wire/diagnostics.hpp>
#include <wire/offload.hpp>
#include <wire/run.hpp>
#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>

#include "support/count_malloc.hpp"
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/failing_call.hpp"
#include "support/on_wire.hpp"
#include "support/threads.hpp"

namespace wire::test {
namespace {

using std::chrono_literals::operator""ms;
using io::offload;

// Holds helpers up until they are let go, for at most 20 s each.
class gate {
public:
    void pass() {
        ++entered_;
        CHECK(open_.try_acquire_for(std::chrono::seconds(20)));
    }
    void let(int n) { open_.release(n); }
    /// Lets the wires run until so many helpers stand here.
    void await(int n) {
        let_others_run_until([&] { return entered_ >= n; });
        CHECK(entered_ == n);
    }

private:
    std::atomic<int> entered_{0};
    std::counting_semaphore<> open_{0};
};

int helpers() {
    return threads_named("wire helper");
}

/// Waits until there are `n`: the kernel shows a thread for a while that has been joined.
bool helpers_fall_to(int n) {
    return comes_true([n] { return helpers() <= n; }) && helpers() == n;
}

TEST_CASE("offload: runs on another thread, with arguments in place, and brings back the value") {
    on_wires([] {
        const auto here = std::this_thread::get_id();
        CHECK(offload([] { return std::this_thread::get_id(); }).value() != here);
        CHECK(offload([](int a, int b) { return a + b; }, 2, 3).value() == 5);
        auto box = std::make_unique<int>(7);
        const int* const inside = box.get();
        auto back = offload([](std::unique_ptr<int>& p) { return std::move(p); }, box);
        CHECK(back.value().get() == inside);
        bool ran = false;
        CHECK(offload(soon(), [&] { ran = true; }));
        CHECK(ran);
    });
}

TEST_CASE("offload: what the callable throws is thrown on the wire") {
    on_wires([] {
        std::string said;
        try {
            static_cast<void>(offload([]() -> int { throw std::runtime_error("no luck"); }));
        } catch (const std::runtime_error& e) {
            said = e.what();
        }
        CHECK(said == "no luck");
        CHECK(offload([] { return 1; }).value() == 1);
    });
}

TEST_CASE("offload: other wires run while a helper is blocked, and their wait is no deadlock") {
    on_wires([] {
        gate g;
        auto blocked = spawn([&] { return offload([&] { g.pass(); }).code(); });
        g.await(1);
        CHECK_FALSE(blocked.finished());
        g.let(1);
        CHECK(blocked.join(soon()).value() == 0);
    });
    // Without any timer: the runtime sleeps until the helper has an answer.
    const caught_diagnostics said;
    CHECK(run([] { return offload([] { std::this_thread::sleep_for(20ms); }).code(); }) == 0);
    CHECK(said.size() == 0);
}

TEST_CASE("offload: calls begin in the order in which they were made") {
    const auto in_order = [] {
        gate g;
        std::vector<int> begun;
        std::vector<handle<int>> all;
        all.push_back(spawn([&] { return offload([&] { g.pass(); }).code(); }));
        g.await(1);
        for (int i = 0; i < 10; ++i)
            all.push_back(spawn([&, i] { return offload([&] { begun.push_back(i); }).code(); }));
        yield();
        g.let(1);
        for (auto& h : all) CHECK(h.join(soon()).value() == 0);
        CHECK(begun == std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    };
    on_wires(in_order, {.helpers = 1});
}

TEST_CASE("offload: helpers are started as they are needed, up to the bound") {
    CHECK(helpers_fall_to(0));
    const auto grow = [] {
        gate g;
        CHECK(helpers() == 0);
        std::vector<handle<int>> all;
        for (int i = 1; i <= 3; ++i) {
            all.push_back(spawn([&] { return offload([&] { g.pass(); }).code(); }));
            g.await(i);
            CHECK(helpers() == i);
        }
        for (int i = 0; i < 5; ++i)
            all.push_back(spawn([&] { return offload([&] { g.pass(); }).code(); }));
        let_others_run();
        CHECK(helpers() == 3);
        g.await(3);
        g.let(8);
        for (auto& h : all) CHECK(h.join(soon()).value() == 0);
        g.await(8);
    };
    on_wires(grow, {.helpers = 3});
    CHECK(helpers_fall_to(0));
}

TEST_CASE("offload: a helper that rests is called again, before another is started") {
    on_wires([] {
        const auto first = offload([] { return std::this_thread::get_id(); }).value();
        for (int i = 0; i < 50; ++i) {
            let_others_run();  // it has gone to rest
            if (offload([] { return std::this_thread::get_id(); }).value() == first) return;
        }
        CHECK_MESSAGE(false, "it was never called again");
    });
}

TEST_CASE("offload: helpers end when they have been idle for long, and are started again") {
    CHECK(helpers_fall_to(0));
    const auto shrink = [] {
        for (int round = 0; round < 3; ++round) {
            CHECK(offload([] { return 1; }).value() == 1);
            CHECK(helpers_fall_to(0));
        }
    };
    on_wires(shrink, {.helpers = 2, .helpers_idle = 1ms});
}

TEST_CASE("offload: helpers block all signals but those of their own faults") {
    on_wires([] {
        sigset_t here;
        ::pthread_sigmask(SIG_BLOCK, nullptr, &here);
        const sigset_t there = offload([] {
                                   sigset_t set;
                                   ::pthread_sigmask(SIG_BLOCK, nullptr, &set);
                                   return set;
                               }).value();
        for (const int n : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1, SIGALRM, SIGPIPE, SIGPROF})
            CHECK(::sigismember(&there, n) == 1);
        CHECK(::sigismember(&there, SIGSEGV) == 0);
        sigset_t after;
        ::pthread_sigmask(SIG_BLOCK, nullptr, &after);
        for (int n = 1; n < 32; ++n) CHECK(::sigismember(&here, n) == ::sigismember(&after, n));
    });
}

TEST_CASE("offload: one that waits for a helper can be cancelled or time out, and never runs") {
    const auto give_up = [] {
        gate g;
        bool ran = false;
        auto first = spawn([&] { return offload([&] { g.pass(); }).code(); });
        g.await(1);
        auto second = spawn([&] { return offload([&] { ran = true; }).code(); });
        yield();
        second.cancel();
        CHECK(error_name(second.join(soon()).value()) == "!ECANCELED");
        CHECK(error_name(offload(shortly(), [&] { ran = true; }).code()) == "!ETIMEDOUT");
        g.let(1);
        CHECK(first.join(soon()).value() == 0);
        CHECK(offload([] { return 1; }).value() == 1);
        CHECK_FALSE(ran);
    };
    on_wires(give_up, {.helpers = 1});
}

TEST_CASE("offload: one that runs is waited for, whatever happens, and its value counts") {
    on_wires([] {
        gate g;
        auto cancelled = spawn([&] { return offload([&] { return g.pass(), 1; }).value(); });
        g.await(1);
        auto late = spawn([&] {
            for (auto delay = 10ms;; delay *= 2)  // it may have to be longer for a helper to begin
                if (const auto n = offload(within(delay), [&] { return g.pass(), 2; })) return *n;
        });
        g.await(2);
        cancelled.cancel();
        let_others_run();
        CHECK_FALSE(cancelled.finished());
        CHECK_FALSE(late.finished());
        g.let(2);
        CHECK(cancelled.join(soon()).value() == 1);
        CHECK(late.join(soon()).value() == 2);
    });
}

TEST_CASE("offload: in a cancelled scope nothing is begun") {
    on_wires([] {
        bool ran = false;
        cancel_scope inside;
        inside.cancel();
        CHECK(error_name(offload([&] { ran = true; }).code()) == "!ECANCELED");
        CHECK_FALSE(ran);
    });
}

TEST_CASE("offload: the end of a runtime waits for the call that runs, and refuses the others") {
    const caught_diagnostics said;
    const auto waited_in_vain = [&] { return said.has(diagnostic::straggler, "a helper thread"); };
    bool done = false, ran = false;
    std::vector<int> codes;
    {
        // The wires have it twice: until the reactor ends, and for what they do then.
        runtime rt({.drain = 500ms});
        const io::reactor reactor(rt, {.helpers = 1});
        std::binary_semaphore begun{0};
        rt.go([&] {
            const auto r = offload([&] {
                begun.release();
                // Until the runtime's thread waits for nothing but this helper.
                static_cast<void>(comes_true(
                    [&] { return waited_in_vain() && state_of_thread(::getpid()) == 'S'; }));
                done = true;
            });
            codes.push_back(r.code());
        });
        rt.go([&] {
            const shield from_the_end;
            codes.push_back(offload([&] { ran = true; }).code());
        });
        rt.run_once();
        begun.acquire();
    }
    CHECK(done);
    CHECK_FALSE(ran);
    std::sort(codes.begin(), codes.end());
    CHECK(codes == std::vector{0, ECANCELED});
    CHECK(waited_in_vain());
}

TEST_CASE("offload: without a thread to run on it fails, and says why") {
    const caught_diagnostics said;
    on_wires([] {
        {
            const failing_call no_thread("pthread_create", EAGAIN);
            bool ran = false;
            CHECK(error_name(offload([&] { ran = true; }).code()) == "!ENOMEM");
            CHECK_FALSE(ran);
        }
        CHECK(offload([] { return 1; }).value() == 1);
    });
    CHECK(said.has(diagnostic::fallback, "0 of 8 helper threads: pthread_create"));
}

TEST_CASE("offload: goes on with the helpers that there are if no more can be started") {
    const caught_diagnostics said;
    on_wires([] {
        gate g;
        auto first = spawn([&] { return offload([&] { g.pass(); }).code(); });
        g.await(1);
        const failing_call no_thread("pthread_create", EAGAIN);
        auto second = spawn([&] { return offload([] { return 2; }).value(); });
        auto third = spawn([&] { return offload([] { return 3; }).value(); });
        let_others_run();
        CHECK(no_thread.calls() == 2);
        g.let(1);
        CHECK(first.join(soon()).value() == 0);
        CHECK(second.join(soon()).value() == 2);
        CHECK(third.join(soon()).value() == 3);
    });
    CHECK(said.size() == 1);
    CHECK(said.has(diagnostic::fallback, "1 of 8 helper threads: pthread_create"));
}

TEST_CASE("offload: allocates nothing once it is warm") {
    if (!counts_allocations()) return;
    on_wires([] {
        int failures = 0;
        const auto once = [&] { failures += offload(soon(), [] { return 1; }).value() != 1; };
        for (int i = 0; i < 10; ++i) once();
        const allocation_count allocated;
        for (int i = 0; i < 100; ++i) once();
        CHECK(allocated.value() == 0);
        CHECK(failures == 0);
    });
}

TEST_CASE("offload: 20,000 calls on two helpers while a descriptor is waited for") {
    const auto many = [] {
        int ends[2];
        CHECK(::pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
        auto armed = spawn([&] { return io::wait_readable(ends[0]).code(); });
        std::vector<handle<long>> callers;
        for (int w = 0; w < 20; ++w)
            callers.push_back(spawn([] {
                long sum = 0;
                for (int i = 0; i < 1000; ++i) sum += offload([](int n) { return n; }, i).value();
                return sum;
            }));
        for (auto& c : callers) CHECK(c.join(within(60s)).value() == 1000 * 999 / 2);
        CHECK_FALSE(armed.finished());
        CHECK(::write(ends[1], "x", 1) == 1);
        CHECK(armed.join(soon()).value() == 0);
        ::close(ends[0]);
        ::close(ends[1]);
    };
    on_wires(many, {.helpers = 2});
}

TEST_CASE("offload: outside a wire, or without a reactor, it is refused") {
    CHECK(dies([] { static_cast<void>(offload([] {})); }, "from a wire"));
    CHECK(wire_dies([] { static_cast<void>(offload([] {})); }, "without a reactor"));
    CHECK(dies(
        [] {
            runtime rt;
            const io::reactor reactor(rt, {.helpers = 0});
        },
        "at least one helper thread"));
}

// ---- io::call

TEST_CASE("io::call: returns the value of a C function, or its errno") {
    on_wires([] {
        const int fd = io::call(::open, "/dev/null", O_RDWR | O_CLOEXEC).value();
        CHECK(io::call(soon(), ::write, fd, "x", 1).value() == 1);
        CHECK(io::call(::close, fd).value() == 0);
        CHECK(error_name(io::call(::close, -1).code()) == "!EBADF");
        CHECK(error_name(io::call(::open, "/nonexistent/file", O_RDONLY).code()) == "!ENOENT");
        CHECK(error_name(io::call(::opendir, "/nonexistent").code()) == "!ENOENT");
        CHECK(error_name(io::call(soon(), ::mkdir, "/proc/x", 0700).code()) == "!ENOENT");
    });
}

TEST_CASE("io::call: a null pointer or -1 that is no error is a value") {
    on_wires([] {
        DIR* const root = io::call(::opendir, "/proc/self/task").value();
        while (io::call(::readdir, root).value()) continue;  // null at the end, errno 0
        CHECK(io::call(::closedir, root).value() == 0);
        CHECK(io::call([] { return -1; }).value() == -1);
        CHECK(io::call(::posix_fadvise, -1, 0, 0, POSIX_FADV_NORMAL).value() == EBADF);
    });
}

TEST_CASE("io::call: repeats what a signal has interrupted") {
    on_wires([] {
        int calls = 0;
        const auto interrupted = [&] {
            errno = EINTR;
            return ++calls < 3 ? -1 : 5;
        };
        CHECK(io::call(interrupted).value() == 5);
        CHECK(calls == 3);
    });
}

}  // namespace
}  // namespace wire::test
