// Threads that wake a runtime while the loop around it sleeps, in every way there is.
//
// The loop sleeps without a limit, so a lost wake-up is a hang, which the alarm ends. Every other
// time a thread waits until its message has arrived, so that the loop goes to sleep between; the
// other times messages meet the runtime in the middle of a turn, or on its way to sleep.
#include "support/io.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <thread>
#include <vector>

#include <wire/bridge.hpp>
#include <wire/offload.hpp>
#include <wire/pollable.hpp>
#include <wire/wait_fd.hpp>

namespace wire::test {
namespace {

constexpr int rounds = 2000;

// One way in: a message goes, and `arrived` counts it.
struct lane {
    std::atomic<int> arrived{0};
    void arrive() {
        // [A] release: nothing but the count itself. Pairs with [A'].
        arrived.fetch_add(1, std::memory_order_release);
        arrived.notify_one();
    }
    void wait_for(int n) const {
        // [A'] acquire: see [A]. Pairs with [A].
        for (int now = 0; (now = arrived.load(std::memory_order_acquire)) < n;) arrived.wait(now);
    }
};

// Sends `rounds` messages with `send(i)`.
template <class F>
std::thread sender(const lane& to, F send) {
    return std::thread([&to, send] {
        for (int i = 1; i <= rounds; ++i) {
            send(i);
            if (i % 2) to.wait_for(i);
        }
    });
}

// What the wires of the runtime wait for.
struct doors {
    lane started, resumed, bridged, written;
    bridge<int> numbers{8};
    const int counter = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    wire_ref waiter;

    ~doors() { ::close(counter); }

    void receive(runtime& rt) {
        rt.go([this] {
            waiter = this_wire::ref();
            for (int i = 0; i < rounds; ++i) {
                CHECK(suspend());
                resumed.arrive();
            }
        });
        rt.go([this] {
            for ([[maybe_unused]] const int n : numbers) bridged.arrive();
        });
        rt.go([this] {
            for (eventfd_t sum = 0, n = 0; sum < rounds; sum += n) {
                CHECK(io::wait_readable(counter));
                CHECK(::eventfd_read(counter, &n) == 0);
                for (eventfd_t i = 0; i < n; ++i) written.arrive();
            }
        });
        rt.go([] {
            for (int i = 0; i < rounds; ++i) CHECK(io::offload([] { return 1; }));
        });
    }

    std::vector<std::thread> send(const remote& r) {
        std::vector<std::thread> threads;
        threads.push_back(
            sender(started, [this, &r](int) { CHECK(r.go([this] { started.arrive(); })); }));
        threads.push_back(sender(resumed, [this, &r](int i) {
            resumed.wait_for(i - 1);  // two before it runs would be one
            CHECK(r.resume(waiter));
        }));
        threads.push_back(sender(bridged, [this](int i) {
            CHECK(numbers.send(i));
            if (i == rounds) numbers.close();
        }));
        threads.push_back(
            sender(written, [this](int) { CHECK(::eventfd_write(counter, 1) == 0); }));
        return threads;
    }

    [[nodiscard]] bool all_arrived() const {
        return started.arrived == rounds && resumed.arrived == rounds &&
               bridged.arrived == rounds && written.arrived == rounds;
    }
};

void from_everywhere(std::chrono::nanoseconds budget) {
    ::alarm(120);
    runtime rt({.stack = {.size = 256 * 1024}});
    const io::reactor home(rt);
    const io::pollable door(rt);
    const remote r = rt.remote();
    doors all;
    all.receive(rt);
    rt.run_once();
    auto threads = all.send(r);
    pollfd watched{.fd = door.fd(), .events = POLLIN, .revents = 0};
    while (rt.size() > 0 || !all.all_arrived()) {
        CHECK(::poll(&watched, 1, -1) > 0);
        rt.run_once(budget);
    }
    for (auto& t : threads) t.join();
    ::alarm(0);
}

TEST_CASE("embedding: no wake-up of another thread is lost") {
    from_everywhere(1ms);
}

TEST_CASE("embedding: no wake-up is lost if turns are as short as possible") {
    from_everywhere(0ns);
}

}  // namespace
}  // namespace wire::test
