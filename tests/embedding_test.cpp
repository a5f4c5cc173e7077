// A runtime in somebody else's loop: its descriptor is readable exactly when there is something to
// do, whatever that is, for loops that watch levels and for loops that watch edges.
//
// The loop here waits without a limit, so that a lost wake-up ends the test by its alarm; and it
// counts its turns, so that a descriptor that is readable for nothing is found, too.
#include "support/io.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <optional>
#include <thread>
#include <vector>

#include <wire/bridge.hpp>
#include <wire/channel.hpp>
#include <wire/offload.hpp>
#include <wire/pipe.hpp>
#include <wire/pollable.hpp>
#include <wire/pool.hpp>
#include <wire/wait_fd.hpp>

#include "support/backend.hpp"
#include "support/failing_call.hpp"
#include "support/raw_pipe.hpp"

namespace wire::test {
namespace {

enum class watching { levels, edges };

// The other loop, and the runtime in it.
class outer_loop {
public:
    explicit outer_loop(watching how) : edges_(how == watching::edges) {
        ::alarm(60);
        epoll_event event{};
        event.events = EPOLLIN | (edges_ ? EPOLLET : 0U);
        CHECK(::epoll_ctl(epoll_, EPOLL_CTL_ADD, door.fd(), &event) == 0);
        come_to_rest();
    }
    ~outer_loop() {
        ::close(epoll_);
        ::alarm(0);
    }

    // Sleeps until the descriptor is readable.
    void sleep() { CHECK(wait(-1)); }
    [[nodiscard]] bool is_readable() { return wait(0); }

    // One turn: sleeps, then calls, with a budget for the slowest machine. Returns what run_once()
    // returns.
    bool turn(std::chrono::nanoseconds budget = 10s) {
        sleep();
        ++turns;
        edge_seen_ = false;
        return rt.run_once(budget);
    }
    // Turns as long as the descriptor is readable: if it always is, the test ends by its alarm.
    void come_to_rest() {
        while (is_readable()) turn();
    }
    template <class F>
    void turn_until(F done) {
        while (!done()) turn();
    }
    // Until the last wire has ended.
    void finish() {
        turn_until([this] { return rt.size() == 0; });
        come_to_rest();
    }

    runtime rt{{.stack = {.size = 256 * 1024}}};
    std::optional<io::reactor> home{rt};
    io::pollable door{rt};
    int turns = 0;

private:
    bool wait(int patience) {
        if (edge_seen_) return true;
        epoll_event event{};
        int n = -1;
        do {
            n = ::epoll_wait(epoll_, &event, 1, patience);
        } while (n < 0 && errno == EINTR);
        edge_seen_ = edges_ && n == 1;
        return n == 1;
    }

    const bool edges_;
    bool edge_seen_ = false;  // since the last turn
    const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
};

template <class F>
void in_each(F body) {
    for (const watching how : {watching::levels, watching::edges}) {
        CAPTURE(static_cast<int>(how));
        const int before = open_descriptors();
        {
            outer_loop loop(how);
            loop.turns = 0;
            body(loop);
        }
        CHECK(open_descriptors() == before);
    }
}

TEST_CASE("embedding: a runtime without wires is not readable") {
    in_each([](outer_loop& loop) {
        CHECK_FALSE(loop.is_readable());
        CHECK_FALSE(loop.rt.run_once());  // for no reason
        CHECK_FALSE(loop.is_readable());
    });
}

TEST_CASE("embedding: wires that were started before make it readable") {
    runtime rt;
    const io::reactor home(rt);
    bool ran = false;
    rt.go([&] { ran = true; });
    const io::pollable door(rt);
    pollfd watched{.fd = door.fd(), .events = POLLIN, .revents = 0};
    CHECK(::poll(&watched, 1, 0) == 1);
    CHECK_FALSE(rt.run_once());
    CHECK(ran);
}

TEST_CASE("embedding: a timer makes it readable, and nothing before") {
    in_each([](outer_loop& loop) {
        const auto begin = std::chrono::steady_clock::now();
        loop.rt.go([] { CHECK(sleep(within(20ms))); });
        loop.finish();
        CHECK(std::chrono::steady_clock::now() - begin >= 20ms);
        CHECK(loop.turns <= 4);
    });
}

TEST_CASE("embedding: many timers, the earlier ones set last") {
    in_each([](outer_loop& loop) {
        bool in_time = false;  // all are set before the first of them is due
        while (!in_time) {
            in_time = true;
            std::vector<int> order;
            std::array<deadline, 6> due;
            for (int i = 0; auto& d : due) d = within(std::chrono::milliseconds(10 * i++));
            for (int i = 5; i > 0; --i)
                loop.rt.go([&, i, until = due[static_cast<std::size_t>(i)]] {
                    for (int j = 5; j >= i; --j) yield();
                    in_time = in_time && within(0s) < due[1];
                    static_cast<void>(sleep(until));
                    order.push_back(i);
                });
            loop.finish();
            if (in_time) CHECK(order == std::vector{1, 2, 3, 4, 5});
        }
    });
}

TEST_CASE("embedding: the timer is set again only for an earlier time") {
    const bool ring = on_io_uring();
    in_each([&](outer_loop& loop) {
        const failing_call set(ring ? "io_uring_enter" : "timerfd_settime", 0);
        auto asleep = loop.rt.spawn([] { static_cast<void>(sleep(within(1h))); });
        loop.come_to_rest();
        const int once = set.calls();
        CHECK(once > 0);
        for (int i = 0; i < 20; ++i) {  // of so few timers the earliest is known exactly
            // Later; and what has no time limit at all.
            loop.rt.go([] { static_cast<void>(sleep(within(2h))); });
            loop.rt.go([] { yield(); });
            loop.turn();
            loop.come_to_rest();
        }
        CHECK(set.calls() == once);
        loop.rt.go([] { static_cast<void>(sleep(within(1min))); });
        loop.come_to_rest();
        CHECK(set.calls() == once + 1);
        loop.rt.cancel_all();
        asleep.detach();
        loop.finish();
    });
}

TEST_CASE("embedding: a timer that the kernel has refused is set by a later turn") {
    in_each([](outer_loop& loop) {
        const failing_call set(on_io_uring() ? "io_uring_enter" : "timerfd_settime", EPERM, 1, 2);
        loop.rt.go([] { static_cast<void>(sleep(within(1h))); });
        for (int i = 0; i < 2; ++i) CHECK_THROWS_AS(loop.turn(), std::system_error);
        loop.come_to_rest();
        CHECK(set.calls() > 2);
        loop.rt.cancel_all();
        loop.finish();
    });
}

// ---- What comes from elsewhere: by a thread, while the loop is at rest

template <class F>
void by_another_thread(outer_loop& loop, F act) {
    CHECK_FALSE(loop.is_readable());
    std::thread(act).join();
    CHECK(loop.is_readable());
    CHECK_FALSE(loop.turn());
    CHECK_FALSE(loop.is_readable());
}

TEST_CASE("embedding: a wire that another thread starts makes it readable") {
    in_each([](outer_loop& loop) {
        const remote r = loop.rt.remote();
        int ran = 0;
        for (int i = 0; i < 100; ++i) by_another_thread(loop, [&] { CHECK(r.go([&] { ++ran; })); });
        CHECK(ran == 100);
        CHECK(loop.turns == 100);
    });
}

TEST_CASE("embedding: many wires that others start make it readable once") {
    in_each([](outer_loop& loop) {
        const remote r = loop.rt.remote();
        int ran = 0;
        by_another_thread(loop, [&] {
            for (int i = 0; i < 50; ++i) CHECK(r.go([&] { ++ran; }));
        });
        CHECK(ran == 50);
    });
}

TEST_CASE("embedding: a wire that another thread resumes, or cancels, makes it readable") {
    in_each([](outer_loop& loop) {
        const remote r = loop.rt.remote();
        wire_ref me;
        int resumed = 0;
        loop.rt.go([&] {
            me = this_wire::ref();
            while (suspend()) ++resumed;
        });
        loop.come_to_rest();
        for (int i = 1; i <= 20; ++i) {
            by_another_thread(loop, [&] { CHECK(r.resume(me)); });
            CHECK(resumed == i);
        }
        by_another_thread(loop, [&] { CHECK(r.cancel(me)); });
        CHECK(loop.rt.size() == 0);
    });
}

TEST_CASE("embedding: a stop by another thread makes it readable, and wires run in the next turn") {
    in_each([](outer_loop& loop) {
        const remote r = loop.rt.remote();
        CHECK(r.stop());
        bool ran = false;
        loop.rt.go([&] { ran = true; });
        loop.turn();
        CHECK_FALSE(ran);
        loop.turn();
        CHECK(ran);
        loop.come_to_rest();
    });
}

TEST_CASE("embedding: bridges and pools make it readable") {
    in_each([](outer_loop& loop) {
        bridge<int> in(4);
        pool<int> parts(4);
        int sum = 0;
        loop.rt.go([&] {
            for (const int value : in) sum += value;
        });
        loop.rt.go([&] {
            while (const auto part = parts.take()) sum += *part;
        });
        loop.come_to_rest();
        by_another_thread(loop, [&] { CHECK(in.send(1)); });
        CHECK(sum == 1);
        by_another_thread(loop, [&] { CHECK(parts.put(10)); });
        CHECK(sum == 11);
        by_another_thread(loop, [&] {
            in.close();
            parts.close();
        });
        CHECK(loop.rt.size() == 0);
    });
}

TEST_CASE("embedding: the end of a call on a helper thread makes it readable") {
    in_each([](outer_loop& loop) {
        int returned = 0;
        loop.rt.go([&] {
            for (int i = 0; i < 20; ++i) returned += io::offload([] { return 1; }).value();
        });
        loop.finish();
        CHECK(returned == 20);
        CHECK(loop.turns <= 2 * 20 + 2);
    });
}

// ---- Descriptors

TEST_CASE("embedding: data, room and the peer's end make it readable") {
    in_each([](outer_loop& loop) {
        std::string got;
        auto [near, far] = io::make_stream_pair().value();
        loop.rt.go([&, mine = std::move(near)]() mutable { got = take_all(mine, never); });
        loop.come_to_rest();
        for (const char* part : {"one ", "two"}) {
            CHECK_FALSE(loop.is_readable());
            CHECK(::send(far.native_handle(), part, std::strlen(part), 0) > 0);
            CHECK(loop.is_readable());
            loop.come_to_rest();
        }
        CHECK(loop.turns <= 2 * 2 + 1);
        far.close();
        loop.finish();
        CHECK(got == "one two");
    });
}

TEST_CASE("embedding: somebody else's descriptor makes it readable as often as it is waited for") {
    in_each([](outer_loop& loop) {
        const raw_pipe pipe;  // of an eventfd the kernel tells the ring's when RCU permits it
        int waits = 0;
        loop.rt.go([&] {
            for (; waits < 10; ++waits) {
                CHECK(io::wait_readable(pipe.fds[0]));
                CHECK(pipe.take());
            }
        });
        loop.come_to_rest();
        for (int i = 1; i <= 10; ++i) {
            by_another_thread(loop, [&] { pipe.put(); });
            CHECK(waits == i);
        }
        CHECK(loop.rt.size() == 0);
    });
}

TEST_CASE("embedding: more events at once than one system call fetches are all served") {
    in_each([](outer_loop& loop) {
        std::vector<int> counters;
        std::size_t served = 0;
        for (int i = 0; i < 1200; ++i) counters.push_back(::eventfd(0, EFD_CLOEXEC));
        for (const int counter : counters)
            loop.rt.go({.stack = 32 * 1024}, [&served, counter] {
                if (io::wait_readable(counter)) ++served;
            });
        loop.come_to_rest();
        for (const int counter : counters) ::eventfd_write(counter, 1);
        loop.finish();
        CHECK(served == counters.size());
        for (const int counter : counters) ::close(counter);
    });
}

TEST_CASE("embedding: a send that went along and must wait lets the runtime rest") {
    in_each([](outer_loop& loop) {
        auto [near, far] = io::make_stream_pair().value();
        const std::string much(std::size_t{4} << 20, 'x');
        loop.rt.go([&, &mine = near] { CHECK(mine.write_all(much)); });
        loop.come_to_rest();
        std::vector<char> taken(much.size());
        for (std::size_t left = much.size(); left > 0;) {
            // The second turn of this wire is behind the writer's, whose send goes along with it.
            loop.rt.go([] { yield(); });
            const auto n = ::recv(far.native_handle(), taken.data(), left, MSG_DONTWAIT);
            CHECK(n > 0);
            left -= static_cast<std::size_t>(n);
            loop.come_to_rest();
        }
        loop.finish();
    });
}

// ---- What is left over, and what comes from the loop itself

TEST_CASE("embedding: ready wires left over after the budget keep it readable") {
    in_each([](outer_loop& loop) {
        bool over = false;
        loop.rt.go([&] {
            while (!over) yield();
        });
        for (int i = 0; i < 20; ++i) {
            CHECK(loop.turn(0ns));
            CHECK(loop.is_readable());
        }
        over = true;
        loop.finish();
        CHECK_FALSE(loop.is_readable());
    });
}

// Something comes with each look for more, as from a thread that calls without end; but it ends.
struct flood {
    explicit flood(runtime& rt) {
        home = &rt;
        calls = 0;
        wire::detail::sys::hook = [](const char* call) noexcept {
            const bool looks = std::string_view(call).starts_with("epoll_");
            if (looks && ++calls < 100'000) home->stop();
            return 0;
        };
    }
    ~flood() { wire::detail::sys::hook = nullptr; }
    flood(const flood&) = delete;
    flood& operator=(const flood&) = delete;

    static inline runtime* home;
    static inline int calls;
};

TEST_CASE("embedding: the budget also ends a turn in which no wire runs") {
    in_each([](outer_loop& loop) {
        loop.rt.stop();
        {
            const flood f(loop.rt);
            CHECK(loop.turn(0ns));
            CHECK(flood::calls < 10);
        }
        CHECK(loop.is_readable());
    });
}

TEST_CASE("embedding: a wire that the loop starts, wakes or cancels makes it readable") {
    in_each([](outer_loop& loop) {
        channel<int> numbers;
        int got = 0;
        auto receiver = loop.rt.spawn([&] {
            while (const auto n = numbers.recv()) got += *n;
        });
        CHECK(loop.is_readable());
        loop.come_to_rest();
        CHECK(numbers.try_send(7));
        CHECK(loop.is_readable());
        loop.come_to_rest();
        CHECK(got == 7);
        receiver.cancel();
        CHECK(loop.is_readable());
        loop.finish();
    });
}

TEST_CASE("embedding: a descriptor that the loop closes wakes its wire") {
    in_each([](outer_loop& loop) {
        auto [near, far] = io::make_stream_pair().value();
        std::string got;
        loop.rt.go([&, &mine = near] { got = take(mine, 64, never); });
        loop.come_to_rest();
        near.close();
        CHECK(loop.is_readable());
        loop.finish();
        CHECK(got == "!EBADF");
    });
}

TEST_CASE("embedding: a descriptor that the loop closes wakes who waits for its number only") {
    in_each([](outer_loop& loop) {
        auto [near, far] = io::make_stream_pair().value();
        result<void> waited;
        loop.rt.go([&, fd = near.native_handle()] { waited = io::wait_readable(fd); });
        loop.come_to_rest();
        near.close();
        CHECK(loop.is_readable());
        loop.finish();
        CHECK(waited.code() == EBADF);
    });
}

TEST_CASE("embedding: two runtimes in one loop wake each other") {
    runtime one, two;
    const io::reactor reactor_one(one), reactor_two(two);
    const io::pollable door_one(one), door_two(two);
    bridge<int> to_one(1), to_two(1);
    int trips = 0;
    one.go([&] {
        for (int i = 0; i < 100; ++i) {
            CHECK(to_two.send(i));
            trips += to_one.recv().value() == i;
        }
        to_two.close();
    });
    two.go([&] {
        for (const int i : to_two) CHECK(to_one.send(i));
    });
    ::alarm(60);
    std::array<pollfd, 2> both{};
    both[0] = {.fd = door_one.fd(), .events = POLLIN, .revents = 0};
    both[1] = {.fd = door_two.fd(), .events = POLLIN, .revents = 0};
    while (one.size() + two.size() > 0) {
        CHECK(::poll(both.data(), both.size(), -1) > 0);
        if (both[0].revents) one.run_once();
        if (both[1].revents) two.run_once();
    }
    ::alarm(0);
    CHECK(trips == 100);
}

}  // namespace
}  // namespace wire::test
