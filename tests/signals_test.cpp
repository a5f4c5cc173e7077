// Signals as something to wait for.
#include "support/io.hpp"

#include <pthread.h>
#include <signal.h>

#include <future>
#include <optional>
#include <set>
#include <thread>

#include <wire/signals.hpp>
#include <wire/spawn.hpp>
#include <wire/wait.hpp>

#include "support/dies.hpp"
#include "support/failing_call.hpp"

namespace wire::test {
namespace {

std::string outcome(const result<int>& r) {
    return error_name(r.code());
}

bool is_blocked(int number) {
    sigset_t mask;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    return ::sigismember(&mask, number) == 1;
}

TEST_CASE("signals: wait returns the number of a signal that comes") {
    on_wires([] {
        io::signals set{SIGUSR1, SIGUSR2};
        auto waiting = spawn([&] { return set.wait(soon()).value(); });
        let_others_run();
        CHECK_FALSE(waiting.finished());
        ::kill(::getpid(), SIGUSR2);
        CHECK(waiting.join(soon()).value() == SIGUSR2);
    });
}

TEST_CASE("signals: one that came before the wait is not lost") {
    on_wires([] {
        io::signals set{SIGUSR1};
        ::raise(SIGUSR1);
        let_others_run();
        CHECK(*set.wait(soon()) == SIGUSR1);
        CHECK(outcome(set.wait(shortly())) == "!ETIMEDOUT");
    });
}

TEST_CASE("signals: several kinds are each told once") {
    on_wires([] {
        io::signals set{SIGUSR1, SIGUSR2, SIGHUP};
        for (const int n : {SIGHUP, SIGUSR1, SIGUSR2}) ::raise(n);
        std::set<int> told;
        for (int i = 0; i < 3; ++i) told.insert(set.wait(soon()).value());
        CHECK(told == std::set<int>{SIGHUP, SIGUSR1, SIGUSR2});
        CHECK(outcome(set.wait(shortly())) == "!ETIMEDOUT");
    });
}

TEST_CASE("signals: a wait ends at its deadline or by cancellation, and can be begun again") {
    on_wires([] {
        io::signals set{SIGUSR1};
        CHECK(outcome(set.wait(shortly())) == "!ETIMEDOUT");
        auto waiting = spawn([&] { return outcome(set.wait()); });
        let_others_run();
        waiting.cancel();
        CHECK(waiting.join(soon()).value() == "!ECANCELED");
        ::raise(SIGUSR1);
        CHECK(*set.wait(soon()) == SIGUSR1);
    });
}

TEST_CASE("signals: two wires that wait share what comes") {
    on_wires([] {
        io::signals set{SIGUSR1, SIGUSR2};
        auto one = spawn([&] { return set.wait(soon()).value(); });
        auto two = spawn([&] { return set.wait(soon()).value(); });
        let_others_run();
        ::raise(SIGUSR1);
        ::raise(SIGUSR2);
        CHECK(std::set{one.join(soon()).value(), two.join(soon()).value()} ==
              std::set<int>{SIGUSR1, SIGUSR2});
    });
}

TEST_CASE("signals: in a list with a timer, again and again") {
    on_wires([] {
        io::signals set{SIGUSR1, SIGUSR2};
        io::signal_wait arrival(set);
        wire::timer limit(within(1h));
        wait_list either;
        either.chain(limit);
        either.chain(arrival);
        for (const int n : {SIGUSR2, SIGUSR1, SIGUSR2}) {
            go([n] { ::kill(::getpid(), n); });
            CHECK(either.await(soon()).value() == &arrival);
            CHECK(set.try_wait().value() == n);
            CHECK(outcome(set.try_wait()) == "!EAGAIN");
            arrival.reset();
            CHECK_FALSE(arrival.triggered());
        }
        limit.arm(within(1ms));
        CHECK(either.await(soon()).value() == &limit);
    });
}

TEST_CASE("signals: one that came before triggers a wait, and stays until it is fetched") {
    on_wires([] {
        io::signals set{SIGUSR1};
        ::raise(SIGUSR1);
        io::signal_wait arrival(set);
        CHECK(arrival.await(soon()));
        arrival.reset();
        CHECK(arrival.await(soon()));
        CHECK(set.wait(soon()).value() == SIGUSR1);
        CHECK(arrival.status());
    });
}

TEST_CASE("signals: a wire and a list may wait for one set") {
    on_wires([] {
        io::signals set{SIGUSR1};
        auto waiting = spawn([&] { return set.wait(soon()).value(); });
        let_others_run();
        io::signal_wait arrival(set);
        CHECK_FALSE(arrival.triggered());
        ::raise(SIGUSR1);
        CHECK(waiting.join(soon()).value() == SIGUSR1);
        CHECK(arrival.await(soon()));
        CHECK(outcome(set.try_wait()) == "!EAGAIN");
    });
}

TEST_CASE("signals: they are blocked while the object lives, and only then") {
    CHECK_FALSE(is_blocked(SIGUSR1));
    {
        const io::signals set{SIGUSR1};
        CHECK(is_blocked(SIGUSR1));
        std::jthread([] { CHECK(is_blocked(SIGUSR1)); }).join();  // inherited
    }
    CHECK_FALSE(is_blocked(SIGUSR1));
}

TEST_CASE("signals: what was blocked before stays blocked after") {
    sigset_t usr2;
    ::sigemptyset(&usr2);
    ::sigaddset(&usr2, SIGUSR2);
    ::pthread_sigmask(SIG_BLOCK, &usr2, nullptr);
    { const io::signals set{SIGUSR1, SIGUSR2}; }
    CHECK(is_blocked(SIGUSR2));
    CHECK_FALSE(is_blocked(SIGUSR1));
    ::pthread_sigmask(SIG_UNBLOCK, &usr2, nullptr);
}

TEST_CASE("signals: objects of disjoint sets end in any order") {
    std::optional<io::signals> one, two;
    one.emplace({SIGUSR1});
    two.emplace({SIGUSR2});
    one.reset();
    CHECK_FALSE(is_blocked(SIGUSR1));
    CHECK(is_blocked(SIGUSR2));
    two.reset();
    CHECK_FALSE(is_blocked(SIGUSR2));
}

TEST_CASE("signals: in threads that were started meanwhile they stay blocked after the end") {
    std::promise<void> ended;
    std::optional<io::signals> set;
    set.emplace({SIGUSR1});
    std::jthread other([&] {
        ended.get_future().wait();
        CHECK(is_blocked(SIGUSR1));
    });
    set.reset();
    ended.set_value();
    CHECK_FALSE(is_blocked(SIGUSR1));
}

TEST_CASE("signals: a number that is no signal is refused with one sentence") {
    CHECK(dies([] { const io::signals set{0}; }, "a number that is none"));
    CHECK(dies([] { const io::signals set{SIGUSR1, 1000}; }, "a number that is none"));
}

TEST_CASE(
    "signals: if the kernel refuses, the exception names the call and the mask is as before") {
    const failing_call refused("signalfd", EMFILE);
    try {
        const io::signals set{SIGUSR1};
        FAIL("no exception");
    } catch (const std::system_error& e) {
        CHECK(e.code().value() == EMFILE);
        CHECK(std::string(e.what()).find("signalfd") != std::string::npos);
    }
    CHECK_FALSE(is_blocked(SIGUSR1));
}

}  // namespace
}  // namespace wire::test
