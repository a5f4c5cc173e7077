// The limits of the suite `core`: what the machine allows when nothing is scheduled.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include "guarded_stacks.hpp"
#include "ontop.hpp"
#include "round_trip.hpp"

namespace {

// The lock's own work that nobody can do without: take a flag if it is free, and clear it.
struct flag {
    void lock() {
        if (taken) std::abort();
        taken = true;
    }
    void unlock() { taken = false; }
    bool taken = false;
};

double flag_free() {
    flag f;
    return bench::ns_per_lock_and_unlock(f);
}

double bare_switch() {
    return bench::ring<bench::ontop_switch, 0>::measure(2);
}

// Two threads spin on each other's cache line.
double wake_busy() {
    const bench::cores cores;
    bench::round_trip trip;
    std::atomic<bool> stop{false};
    std::thread answerer([&] {
        cores.pin(0);
        while (!stop.load(std::memory_order_relaxed)) trip.answer_if_asked();
    });
    cores.pin(1);
    const double ns = bench::ns_per_round_trip([&](std::uint64_t n) {
        for (; n > 0; --n) trip.ask();
    });
    stop = true;
    answerer.join();
    return ns;
}

// An eventfd in an epoll set of its own.
class bell {
public:
    bell() : event_(::eventfd(0, EFD_NONBLOCK)), epoll_(::epoll_create1(0)) {
        epoll_event interest{};
        interest.events = EPOLLIN;
        ::epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &interest);
    }
    ~bell() {
        ::close(event_);
        ::close(epoll_);
    }
    bell(const bell&) = delete;
    bell& operator=(const bell&) = delete;

    void ring() const { ::eventfd_write(event_, 1); }

    void wait() const {
        epoll_event event;
        eventfd_t count;
        while (::epoll_wait(epoll_, &event, 1, -1) != 1) {
        }
        ::eventfd_read(event_, &count);
    }

private:
    int event_;
    int epoll_;
};

double wake_sleeping() {
    const bench::cores cores;
    const bell there;
    const bell back;
    std::atomic<bool> stop{false};
    std::thread answerer([&] {
        cores.pin(1);
        for (;;) {
            there.wait();
            if (stop) return;
            back.ring();
        }
    });
    cores.pin(0);
    const double ns = bench::ns_per_round_trip([&](std::uint64_t n) {
        for (; n > 0; --n) {
            there.ring();
            back.wait();
        }
    });
    stop = true;
    there.ring();
    answerer.join();
    return ns;
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<bench::bench_case> cases;
    bench::add_ring_yields<bench::ontop_switch>(cases);
    cases.push_back({"park-unpark", &bare_switch});
    cases.push_back({"mutex-free", &flag_free});
    cases.push_back({"mutex-contended", &bare_switch});
    cases.push_back({"spawn-run-join", &bare_switch});
    cases.push_back({"wait-list-8", &bare_switch});
    cases.push_back({"live-100000", [] { return bench::touch_stacks(100'000); }});
    cases.push_back({"live-1000000", [] { return bench::touch_stacks(1'000'000); }});
    for (const char* const name : {"rendezvous", "rendezvous-stream", "buffered-128", "sieve"})
        cases.push_back({name, &bare_switch});
    for (const char* const count : {"2", "8", "64"})
        for (const char* const how : {"-ready", "-woken"})
            cases.push_back({std::string("select-") + count + how, &bare_switch});
    cases.push_back({"wake-busy", &wake_busy});
    cases.push_back({"wake-sleeping", &wake_sleeping});
    return bench::run_cases(cases, argc, argv);
}
