// wire::run on several threads: they end together, an idle one costs nothing, SIGQUIT shows all.
#include "support/io.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <atomic>
#include <cstdio>
#include <latch>
#include <mutex>
#include <optional>
#include <regex>
#include <set>
#include <stdexcept>
#include <thread>

#include <wire/dump_on_quit.hpp>
#include <wire/run.hpp>
#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>

#include "support/backend.hpp"
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/failing_call.hpp"
#include "support/threads.hpp"

namespace wire::test {
namespace {

const auto main_thread = std::this_thread::get_id();

bool on_main_thread() {
    return std::this_thread::get_id() == main_thread;
}

// ---- they end together

TEST_CASE("run: an exception on one thread cancels the wires of all, and gives 1") {
    for (const bool in_caller : {false, true}) {
        const caught_diagnostics said;
        std::atomic<int> cancelled{0}, thrown{0};
        const auto wait_for_ever = [&] {
            if (sleep(within(10s)).code() == ECANCELED) ++cancelled;
        };
        const auto main = [&] {
            go(wait_for_ever);
            yield();
            if (on_main_thread() == in_caller && thrown++ == 0) throw std::runtime_error("fire");
            wait_for_ever();
        };
        CHECK(run(main, {.threads = 3}) == 1);
        CHECK(cancelled == 5);
        CHECK(said.has(diagnostic::failure, "fire"));
        CHECK(said.of(diagnostic::failure).size() == 1);
    }
}

TEST_CASE("run: a deadlock on one thread cancels the wires of all, and gives 1") {
    const caught_diagnostics said;
    std::atomic<int> cancelled{0};
    const auto main = [&] {
        const auto outcome = on_main_thread() ? sleep(within(10s)) : suspend();
        if (outcome.code() == ECANCELED) ++cancelled;
    };
    CHECK(run(main, {.threads = 2}) == 1);
    CHECK(cancelled == 2);
    CHECK(said.has(diagnostic::deadlock, "deadlock"));
}

TEST_CASE("run: a code that is not 0 is no failure, the other threads go on") {
    std::atomic<int> slept{0};
    const auto main = [&] {
        if (!on_main_thread()) return 3;
        if (sleep(shortly())) ++slept;
        return 0;
    };
    CHECK(run(main, {.threads = 2}) == 3);
    CHECK(slept == 1);
}

TEST_CASE("run: stop on any thread, in a wire or outside, ends all; main says the code") {
    for (const int who : {0, 1, 2}) {
        CAPTURE(who);
        std::atomic<int> cancelled{0};
        std::jthread outsider;
        const auto main = [&] {
            if (who == 0 && on_main_thread()) CHECK(this_wire::remote().stop());
            if (who == 1 && !on_main_thread()) CHECK(this_wire::remote().stop());
            if (who == 2 && on_main_thread())
                outsider = std::jthread([r = this_wire::remote()] { CHECK(r.stop()); });
            if (sleep(within(10s)).code() == ECANCELED) ++cancelled;
            return on_main_thread() ? 0 : 4;
        };
        CHECK(run(main, {.threads = 3}) == 4);
        CHECK(cancelled == 3);
    }
}

TEST_CASE("run: a stop by the last wire of a thread ends the others, too") {
    std::atomic<int> cancelled{0};
    const auto main = [&] {
        if (!on_main_thread()) {
            static_cast<void>(this_wire::remote().stop());
            return;
        }
        if (sleep(within(10s)).code() == ECANCELED) ++cancelled;
    };
    CHECK(run(main, {.threads = 2}) == 0);
    CHECK(cancelled == 1);
}

TEST_CASE("run: the code is 1 if main does not end after a stop") {
    const caught_diagnostics said;
    const run_options options{.runtime = {.drain = 1ms}};
    CHECK(run(
              [] {
                  const shield protection;
                  CHECK(this_wire::remote().stop());
                  static_cast<void>(sleep(within(1h)));
              },
              options) == 1);
    CHECK(said.of(diagnostic::straggler).size() == 1);
}

TEST_CASE("run: threads call each other") {
    std::mutex mutex;
    std::vector<remote> all;
    std::latch entered(3);
    std::atomic<int> sum{0};
    const auto main = [&] {
        {
            const std::lock_guard guard(mutex);
            all.push_back(this_wire::remote());
        }
        entered.arrive_and_wait();  // once, at the start: it holds up nobody
        std::set<std::thread::id> seen;
        for (const remote& r : all) {
            const auto id = r.call(soon(), [] { return std::this_thread::get_id(); });
            if (id) seen.insert(*id);
        }
        sum += static_cast<int>(seen.size());
        // The others may still call here.
        while (sum < 9 && sleep(within(1ms))) {
        }
    };
    CHECK(run(main, {.threads = 3}) == 0);
    CHECK(sum == 9);
    all.clear();
}

// ---- an idle thread costs nothing

// How often the other threads of this process have gone to sleep or were made to wait so far.
long switches_of_others() {
    long sum = 0;
    for_each_thread([&](pid_t id, const std::string& folder) {
        std::FILE* const status =
            id == ::gettid() ? nullptr : std::fopen((folder + "/status").c_str(), "r");
        if (!status) return;
        char line[256];
        long n = 0;
        while (std::fgets(line, sizeof line, status))
            if (std::sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1) sum += n;
        std::fclose(status);
    });
    return sum;
}

// Whether they all sleep.
bool others_sleep() {
    bool all = true;
    for_each_thread([&](pid_t id, const std::string&) {
        all = all && (id == ::gettid() || state_of_thread(id) == 'S');
    });
    return all;
}

TEST_CASE("run: threads whose wires wait make no system call and do not wake up") {
    WIRE_LEAVE_OUT_IF(under_tsan || under_valgrind(), "it has threads or switches of its own");
    const int end = ::eventfd(0, EFD_CLOEXEC);
    std::atomic<int> polls{-1}, later{-1};
    long slept = -1, slept_later = -1;
    const failing_call counted(sleeping_call(), 0);
    std::atomic<int> waiting{0};
    std::jthread observer([&] {
        while (waiting < 4) std::this_thread::sleep_for(1ms);
        // Until all of them sleep, and have for a moment.
        for (long before = -1; before != switches_of_others() || !others_sleep();) {
            before = switches_of_others();
            std::this_thread::sleep_for(50ms);
        }
        polls = counted.calls();
        slept = switches_of_others();
        std::this_thread::sleep_for(200ms);
        slept_later = switches_of_others();
        later = counted.calls();
        ::eventfd_write(end, 1);
    });
    const auto main = [&] {
        for (int i = 0; i < 100; ++i) go([&] { CHECK(io::wait_readable(end)); });
        yield();
        ++waiting;
        CHECK(io::wait_readable(end));
    };
    CHECK(run(main, {.threads = 4}) == 0);
    CHECK(polls > 0);
    CHECK(later == polls);
    // The kernel may wake a thread in its ring for its own sake, without an end of the call.
    CHECK(slept_later - slept <= 2 * 4);
    observer.join();
    ::close(end);
}

// ---- SIGQUIT

// What `body` prints on standard error, in a child process.
template <class F>
std::string said_in_child(F body) {
    const death end = run_in_child([&] {
        ::signal(SIGQUIT, SIG_DFL);
        body();
    });
    INFO(end.said);
    CHECK(end.code == 0);
    CHECK(end.signal == 0);
    return end.said;
}

std::size_t count(const std::string& in, const std::string& pattern) {
    const std::regex wanted(pattern);
    return static_cast<std::size_t>(
        std::distance(std::sregex_iterator(in.begin(), in.end(), wanted), std::sregex_iterator()));
}

// Puts itself between this process and its standard error.
class standard_error_of_this_process {
public:
    standard_error_of_this_process() {
        int ends[2];
        must(::pipe(ends) == 0, "pipe");
        from_ = ends[0];
        to_ = ::dup(STDERR_FILENO);
        ::dup2(ends[1], STDERR_FILENO);
        ::close(ends[1]);
    }
    /// Passes on what comes, until all of it together is enough. Then it comes without help.
    template <class F>
    void pass_on(F is_enough) const {
        char buffer[4096];
        for (std::string all; !is_enough(all);) {
            const ssize_t n = ::read(from_, buffer, sizeof buffer);
            must(n > 0 && ::write(to_, buffer, static_cast<std::size_t>(n)) == n,
                 "all is passed on");
            all.append(buffer, static_cast<std::size_t>(n));
        }
        ::dup2(to_, STDERR_FILENO);
    }

private:
    int from_, to_;
};

TEST_CASE("run: SIGQUIT prints the wires of all threads, and they go on") {
    WIRE_LEAVE_OUT_IF(under_tsan, "it lets no child of threads start threads");
    const std::string said = said_in_child([] {
        std::mutex mutex;
        std::vector<std::pair<remote, wire_ref>> sleepers;
        std::jthread reader([&, prints = standard_error_of_this_process()] {
            prints.pass_on([](const std::string& all) { return count(all, "  wire ") == 6; });
            const std::lock_guard guard(mutex);
            for (const auto& [home, who] : sleepers) must(home.cancel(who), "they go on");
        });
        std::latch all(3);
        const auto main = [&] {
            auto sleeper = spawn({.name = "sleeper"}, [] { return sleep(within(1h)).code(); });
            {
                const std::lock_guard guard(mutex);
                sleepers.emplace_back(this_wire::remote(), sleeper.ref());
            }
            yield();
            all.arrive_and_wait();
            if (on_main_thread()) ::kill(::getpid(), SIGQUIT);
            return sleeper.join().value() == ECANCELED ? 0 : 1;
        };
        must(run(main, {.threads = 3, .dump_on_quit = true}) == 0, "exit code 0");
    });
    CHECK(count(said, "thread \\d+: 2 wires\n") == 3);
    CHECK(count(said, "  wire \\d+ \"main\" waits for join for \\d+\\.\\d{3} ms\n") +
              count(said, "  wire \\d+ \"main\" is ready\n") ==
          3);
    CHECK(count(said, "  wire \\d+ \"sleeper\" waits for sleep for \\d+\\.\\d{3} ms\n") == 3);
}

TEST_CASE("run: with dump_on_quit it ends with its last wire, and deadlocks are reported") {
    const caught_diagnostics said;
    CHECK(run([] { CHECK(sleep(shortly())); }, {.dump_on_quit = true}) == 0);
    CHECK(run([] { static_cast<void>(suspend()); }, {.dump_on_quit = true}) == 1);
    CHECK(said.has(diagnostic::deadlock, "deadlock"));
}

TEST_CASE(
    "dump on quit: a runtime of one's own prints, also in run_once, and several signals are one") {
    const std::string said = said_in_child([] {
        runtime rt;
        const io::dump_on_quit dumps(rt);
        rt.go({.name = "waits"}, [] { static_cast<void>(suspend()); });
        rt.run_once();
        for (int i = 0; i < 3; ++i) ::raise(SIGQUIT);
        rt.run_once();
        ::_exit(0);
    });
    CHECK(count(said, "thread \\d+: 1 wire\n") == 1);
    CHECK(count(said, "\"waits\" waits for resume") == 1);
}

TEST_CASE("dump on quit: the disposition from before is restored by the last one") {
    const auto is = [](void (*wanted)(int)) {
        struct sigaction now {};
        ::sigaction(SIGQUIT, nullptr, &now);
        return now.sa_handler == wanted;
    };
    ::signal(SIGQUIT, SIG_IGN);
    runtime rt;
    std::optional<io::dump_on_quit> one(rt), two(rt);
    one.reset();
    CHECK_FALSE(is(SIG_IGN));
    two.reset();
    CHECK(is(SIG_IGN));

    one.emplace(rt);
    ::signal(SIGQUIT, SIG_DFL);  // somebody else's business now
    one.reset();
    CHECK(is(SIG_DFL));

    const failing_call refused("sigaction", EINVAL);
    CHECK_THROWS_AS(io::dump_on_quit{rt}, std::system_error);
    CHECK(is(SIG_DFL));
}

TEST_CASE("dump on quit: signals and the ends of runtimes may meet in any way") {
    const auto before = ::signal(SIGQUIT, SIG_IGN);  // for those that come when nobody is there
    const int standard_error = ::dup(STDERR_FILENO);
    const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    ::dup2(null, STDERR_FILENO);
    std::atomic<bool> over{false};
    std::jthread sender([&] {
        while (!over) {
            ::kill(::getpid(), SIGQUIT);
            std::this_thread::yield();
        }
    });
    int codes = 0;
    for (int i = 0; i < 20; ++i)
        codes += run([] { static_cast<void>(sleep(within(100us))); },
                     {.threads = 3, .dump_on_quit = true});
    over = true;
    sender.join();
    ::dup2(standard_error, STDERR_FILENO);
    ::close(standard_error);
    ::close(null);
    ::signal(SIGQUIT, before);
    CHECK(codes == 0);
}

}  // namespace
}  // namespace wire::test
