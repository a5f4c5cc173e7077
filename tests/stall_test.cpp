// What a stall_watch says, and when. Wires hold their thread until the diagnostic about them has
// come, so nothing depends on how fast anything is.
#include <doctest/doctest.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <wire/diagnostics.hpp>
#include <wire/pollable.hpp>
#include <wire/run.hpp>
#include <wire/stall_watch.hpp>
#include "pulse.hpp"
#include "stall_evidence.hpp"
#include "support/dies.hpp"
#include "support/environment.hpp"

// Not in a namespace without a name: the backtrace is to name them.
namespace held {

bool released = false;

[[gnu::noinline]] bool by_reading(int fd) {
    char c = 0;
    return ::read(fd, &c, 1) == 1;
}

[[gnu::noinline]] bool by_computing() {
    // Not std::atomic, whose load() is a function of its own without optimisation.
    while (!__atomic_load_n(&released, __ATOMIC_RELAXED)) {
    }
    return true;
}

}  // namespace held

namespace wire::test {
namespace {

using namespace std::chrono_literals;
using io::stall_watch;

constexpr auto limit = 10ms;

// Takes the diagnostics, and releases those who hold a thread when that has been told of as many
// as there are at once.
class witness {
public:
    explicit witness(int at_once = 1, const char* where = "held::") {
        lines().clear();
        place() = where;
        named() = false;
        told() = 0;
        needed() = at_once;
        __atomic_store_n(&held::released, false, __ATOMIC_RELAXED);
        CHECK(::pipe(ends()) == 0);
        before_ = set_diagnostics_handler(&hear);
        ::alarm(60);
    }
    ~witness() {
        ::alarm(0);
        set_diagnostics_handler(before_);
        for (const int i : {0, 1}) ::close(ends()[i]);
    }
    witness(const witness&) = delete;
    witness& operator=(const witness&) = delete;

    /// Where a byte comes for each that is released. It blocks.
    [[nodiscard]] static int release() { return ends()[0]; }

    [[nodiscard]] static std::vector<std::string> all() {
        const std::lock_guard lock(mutex());
        return lines();
    }
    /// Whether a line has contained `where`. Needs little stack.
    [[nodiscard]] static std::atomic<bool>& named() {
        static std::atomic<bool> has_been;
        return has_been;
    }
    /// How many lines contain it.
    [[nodiscard]] static int times(std::string_view text) {
        int n = 0;
        for (const std::string& line : all())
            if (line.find(text) != std::string::npos) ++n;
        return n;
    }

private:
    static void hear(diagnostic kind, std::string_view text) noexcept {
        if (kind != diagnostic::stall) return;
        if (text.find(place()) != std::string_view::npos) named() = true;
        {
            const std::lock_guard lock(mutex());
            lines().emplace_back(text);
        }
        if (text.find(" held ") == std::string_view::npos) return;
        __atomic_store_n(&held::released, true, __ATOMIC_RELAXED);
        if (++told() % needed() != 0) return;
        for (int i = 0; i < needed(); ++i) static_cast<void>(!::write(ends()[1], "x", 1));
    }
    static std::mutex& mutex() {
        static std::mutex m;
        return m;
    }
    static std::vector<std::string>& lines() {
        static std::vector<std::string> all;
        return all;
    }
    static const char*& place() {
        static const char* where;
        return where;
    }
    static int& told() {
        static int n;
        return n;
    }
    static int& needed() {
        static int n;
        return n;
    }
    static int* ends() {
        static int both[2];
        return both;
    }
    diagnostics_handler before_;
};

// How a wire is told. ThreadSanitizer keeps a signal back until a system call that it knows to
// block, so that the thread says neither name nor place.
std::string told(const std::string& name) {
    return under_tsan ? "a wire" : "\"" + name + "\"";
}

std::string this_thread() {
    return "thread " + std::to_string(::gettid());
}

// Runs `body` as a wire named "holder", watched.
template <class F>
void watched(F body, const spawn_options& options = {.name = "holder"},
             std::chrono::nanoseconds longest = limit) {
    runtime rt;
    const stall_watch watch(rt, longest);
    rt.go(options, std::move(body));
    CHECK(rt.run());
}

// Holds its thread by `hold()` in one turn after another until a backtrace names where: on a busy
// machine the thread may be asked before it is there. Returns in how many turns.
template <class Hold>
int hold_until_named(Hold hold) {
    for (int turns = 1;; ++turns) {
        CHECK(hold());
        if (under_tsan || witness::named()) return turns;
        __atomic_store_n(&held::released, false, __ATOMIC_RELAXED);
        yield();
    }
}

bool watcher_sleeps() {
    return wire::detail::watcher_does == static_cast<std::uint32_t>(wire::detail::watcher::sleeps);
}

// Each look that finds no wire running brings it nearer: eight of them have been.
void let_watcher_sleep() {
    while (!watcher_sleeps()) std::this_thread::yield();
}

TEST_CASE("stall: a wire that blocks in a system call is told with name and backtrace, once") {
    const char* const place = "held::by_reading(int)+0x";
    const witness w(1, place);
    int turns = 0;
    watched([&] { turns = hold_until_named([] { return held::by_reading(witness::release()); }); },
            {.name = "holder", .stack = stack_size_min});
    const std::string who = "wire 1 \"holder\" ";
    const auto lines = witness::all();
    CHECK(witness::times(" has held ") == turns);
    CHECK(witness::times(" back after ") == turns);
    WIRE_LEAVE_OUT_IF(under_tsan, "it keeps the signal back");
    CHECK(lines.size() > 2);
    CHECK(lines.front().starts_with(who + "has held " + this_thread() + " for "));
    CHECK(lines.front().find(" ms of them on the processor:") != std::string::npos);
    CHECK(lines.back().starts_with(who + "gave " + this_thread() + " back after "));
    CHECK(witness::times(place) >= 1);
}

TEST_CASE("stall: a wire that computes is told with name and backtrace") {
    const char* const place = "held::by_computing()+0x";
    const witness w(1, place);
    int turns = 0;
    watched([&] { turns = hold_until_named(held::by_computing); });
    CHECK(witness::times("back after") == turns);
    WIRE_LEAVE_OUT_IF(under_tsan, "it keeps the signal back");
    CHECK(witness::times("wire 1 \"holder\" has held") == turns);
    CHECK(witness::times(place) >= 1);
}

TEST_CASE("stall: the backtrace begins where the thread was, not in the signal handler") {
    const char* const first = "  #0 held::by_computing()+0x";
    const witness w(1, first);
    watched([] { hold_until_named(held::by_computing); });
    WIRE_LEAVE_OUT_IF(under_tsan, "it keeps the signal back");
    CHECK(witness::times(first) >= 1);
}

// Counts how often its runtime serves.
struct served final : poller {
    void poll(deadline) override { ++times; }
    void notify() noexcept override {}
    [[nodiscard]] bool armed() const noexcept override { return true; }
    int times = 0;
};

TEST_CASE("stall: the turn ends at the next switch, so that no other wire is taken for the first") {
    const witness w;
    served service;
    runtime rt;
    rt.attach(&service);
    {
        const stall_watch watch(rt, limit);
        rt.go([&] {
            CHECK(held::by_reading(witness::release()));
            const int before = service.times;
            yield();
            CHECK(service.times > before);
        });
        rt.go([] { yield(); });
        CHECK(rt.run());
    }
    rt.attach(nullptr);
}

TEST_CASE("stall: a sleep ends early when its thread is asked, and the wire is told all the same") {
    const witness w;
    watched([] {
        // On a busy machine the thread may be asked before it sleeps: then that is told.
        const timespec second{.tv_sec = 1, .tv_nsec = 0};
        while (::nanosleep(&second, nullptr) == 0) yield();
        CHECK(errno == EINTR);
    });
    CHECK(witness::times("\"holder\" has held ") >= 1);
    CHECK(witness::times(" gave ") == witness::times(" has held "));
}

TEST_CASE("stall: each is told, also of the same wire") {
    const witness w;
    watched([] {
        CHECK(held::by_reading(witness::release()));
        yield();
        CHECK(held::by_reading(witness::release()));
    });
    CHECK(witness::times(told("holder") + " has held ") == 2);
    CHECK(witness::times(" gave ") == 2);
}

TEST_CASE("stall: one thread watches many runtimes, and tells which of them is held") {
    const witness w;
    runtime idle;
    idle.go({.name = "innocent"}, [] { static_cast<void>(suspend()); });
    CHECK_FALSE(idle.run_once());  // unwatched: on a busy machine its turn may be long
    const stall_watch watch(idle, limit);
    std::string other;
    std::jthread([&other, home = idle.remote()] {
        other = this_thread();
        watched([] { CHECK(held::by_reading(witness::release())); });
        static_cast<void>(home.stop());
    });
    CHECK(idle.run());
    CHECK(witness::times(told("holder") + " has held " + other) == 1);
    CHECK(witness::times(" gave " + other) == 1);
    CHECK(witness::times(" held ") == 1);
    CHECK(witness::times("innocent") == 0);
}

TEST_CASE("stall: two runtimes may be held at once") {
    const witness w(2);
    const auto hold = [] { watched([] { CHECK(held::by_reading(witness::release())); }); };
    std::jthread other(hold);
    hold();
    other.join();
    CHECK(witness::times(told("holder") + " has held ") == 2);
    CHECK(witness::times(" gave ") == 2);
}

TEST_CASE("stall: a thread that does something else than to run wires is not held") {
    const witness w;
    runtime rt;
    const stall_watch watch(rt, limit);
    for (bool in_time = false; !in_time;) {  // on a busy machine wires may hold it too long
        const std::size_t told_before = witness::all().size();
        const auto begin = std::chrono::steady_clock::now();
        rt.go([] { yield(); });
        CHECK(rt.run());
        in_time = std::chrono::steady_clock::now() - begin < limit;
        let_watcher_sleep();
        if (in_time) CHECK(witness::all().size() == told_before);
    }
}

TEST_CASE("stall: a watch that sleeps sees the next turn") {
    const witness w;
    runtime rt;
    const stall_watch watch(rt, limit);
    const work_guard guard(rt);
    std::jthread other([home = rt.remote()] {
        let_watcher_sleep();
        CHECK(home.call(never, [] { return held::by_reading(witness::release()); }).value());
        CHECK(home.stop());
    });
    CHECK(rt.run());
    CHECK(witness::times(told("call") + " has held ") == 1);
}

TEST_CASE("stall: a thread that takes no signal is told without name") {
    const witness w;
    watched([] {
        sigset_t urgent;
        ::sigemptyset(&urgent);
        ::sigaddset(&urgent, SIGURG);
        ::pthread_sigmask(SIG_BLOCK, &urgent, nullptr);
        CHECK(held::by_reading(witness::release()));
        ::pthread_sigmask(SIG_UNBLOCK, &urgent, nullptr);
    });
    CHECK(witness::times("a wire has held " + this_thread()) == 1);
    CHECK(witness::times("the thread did not take SIGURG") == 1);
    CHECK(witness::times(" gave " + this_thread() + " back after ") == 1);
    CHECK(witness::all().size() == 2);
}

std::atomic<int> urgent_signals{0};

TEST_CASE("stall: signals of others go to the handler that was there, and it comes back") {
    const witness w;
    urgent_signals = 0;
    ::signal(SIGURG, [](int) { ++urgent_signals; });
    watched([] {
        CHECK(::raise(SIGURG) == 0);
        CHECK(held::by_reading(witness::release()));
    });
    CHECK(urgent_signals == 1);
    CHECK(witness::times(told("holder") + " has held ") == 1);
    ::raise(SIGURG);
    CHECK(urgent_signals == 2);
    ::signal(SIGURG, SIG_DFL);
}

struct sigaction below_theirs {};

TEST_CASE("stall: a handler that has been put over ours, and passes on, is asked once") {
    const witness w;
    urgent_signals = 0;
    const auto unasked = [](auto body) { watched(body, {.name = "holder"}, 10s); };
    unasked([] {
        struct sigaction theirs {};
        theirs.sa_flags = SA_SIGINFO | SA_ONSTACK;
        theirs.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
            ++urgent_signals;
            below_theirs.sa_sigaction(signal, info, context);
        };
        CHECK(::sigaction(SIGURG, &theirs, &below_theirs) == 0);
    });
    for (int i = 1; i <= 2; ++i)
        unasked([i] {
            CHECK(::raise(SIGURG) == 0);  // the watch's own is over theirs now
            CHECK(urgent_signals == i);
        });
    CHECK(witness::all().empty());
    ::signal(SIGURG, SIG_DFL);
}

TEST_CASE("stall: wire::run watches each of its threads if asked to") {
    const witness w(2);
    std::atomic<int> read{0};
    const auto fn = [&] {
        if (held::by_reading(witness::release())) ++read;
    };
    CHECK(run(fn, {.threads = 2, .stall = limit}) == 0);
    CHECK(read == 2);
    CHECK(witness::times(told("main") + " has held ") == 2);
}

TEST_CASE("stall: a wire is told in the loop of another, which the watch lets sleep") {
    const witness w;
    runtime rt;
    const io::reactor home(rt);
    const io::pollable door(rt);
    pollfd watched{.fd = door.fd(), .events = POLLIN, .revents = 0};
    {
        const stall_watch watch(rt, limit);
        rt.go({.name = "holder"}, [] { CHECK(held::by_reading(witness::release())); });
        while (rt.size() > 0) {
            CHECK(::poll(&watched, 1, -1) == 1);
            rt.run_once();
        }
        int turns = 0;  // for what the watch has sent while the wire ran; for the budget's end
        while (!watcher_sleeps()) {
            if (::poll(&watched, 1, 0) == 0) continue;
            rt.run_once();
            ++turns;
        }
        CHECK(turns <= 3);
    }
    CHECK(witness::times(told("holder") + " has held ") == 1);
    CHECK(witness::times(" gave ") == 1);
}

TEST_CASE("stall: a limit below a millisecond and a second watch are bugs") {
    CHECK(dies(
        [] {
            runtime rt;
            const stall_watch watch(rt, 999us);
        },
        "a stall_watch with a limit below a millisecond"));
    CHECK(dies(
        [] {
            runtime rt;
            const stall_watch one(rt, 1s);
            const stall_watch two(rt, 1s);
        },
        "a runtime has two stall_watch objects"));
}

using evidence = io::detail::stall_evidence;
using verdict = evidence::verdict;

TEST_CASE("stall evidence: time counts from the first look at a turn") {
    evidence e;
    CHECK(e.look(0, 100) == verdict::idle);
    CHECK(e.look(1, 200) == verdict::turn);
    CHECK(e.held(200) == 0);
    CHECK(e.look(1, 300) == verdict::same);
    CHECK(e.held(300) == 100);
    CHECK(e.look(3, 400) == verdict::turn);
    CHECK(e.held(400) == 0);
    CHECK(e.look(4, 500) == verdict::rest);
    CHECK(e.look(4, 600) == verdict::idle);
}

TEST_CASE("stall evidence: time in which nobody looked is not counted") {
    evidence e;
    CHECK(e.look(1, 200) == verdict::turn);
    e.skip(100, 100);
    CHECK(e.look(1, 300) == verdict::same);
    CHECK(e.held(300) == 100);
    e.skip(1'000'000, 100);  // the process was stopped
    CHECK(e.look(1, 1'000'300) == verdict::same);
    CHECK(e.held(1'000'300) == 200);
    e.skip(199, 100);  // a little late
    CHECK(e.look(1, 1'000'499) == verdict::same);
    CHECK(e.held(1'000'499) == 399);
}

}  // namespace
}  // namespace wire::test
