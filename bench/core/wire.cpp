// Our own runtime.
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <thread>
#include <vector>

#include <timer_wheel.hpp>
#include <wire/mutex.hpp>
#include <wire/reactor.hpp>
#include <wire/runtime.hpp>
#include <wire/wait.hpp>
#include <wire/wait_fd.hpp>

#include "measure.hpp"
#include "round_trip.hpp"
#include "timers.hpp"
#include "wire_many.hpp"

namespace {

// Fills `rt` with `count` yielding wires and runs them; the first one measures.
template <int Depth>
double yields_on(wire::runtime& rt, std::size_t count) {
    double result = 0;
    bool stop = false;
    auto turn = [] { wire::yield(); };
    rt.go([&] {
        result =
            bench::ns_per_operation([&](std::uint64_t n) { bench::turns<Depth>(turn, n, stop); });
        stop = true;
        rt.cancel_all();
    });
    for (std::size_t i = 1; i < count; ++i)
        rt.go([&] { bench::turns<Depth>(turn, bench::for_ever, stop); });
    static_cast<void>(rt.run());
    return result / static_cast<double>(count);
}

template <int Depth>
double yield(std::size_t count) {
    wire::runtime rt({.wires = count});
    return yields_on<Depth>(rt, count);
}

double yield_fd_armed() {
    int ends[2];
    if (::pipe(ends) != 0) std::exit(1);
    wire::runtime rt({.wires = 1'001});
    wire::io::reactor reactor(rt);
    rt.go([&] { static_cast<void>(wire::io::wait_readable(ends[0])); });
    return yields_on<0>(rt, 1'000);
}

// One operation: a wire makes the other ready and parks.
double park_unpark() {
    struct turn {
        const wire::wire_ref& other;
        void operator()() const {
            wire::resume(other);
            static_cast<void>(wire::suspend());
        }
    };
    wire::runtime rt;
    wire::wire_ref refs[2];
    bool stop = false;
    double result = 0;
    rt.go([&] {
        refs[0] = wire::this_wire::ref();
        static_cast<void>(wire::suspend());
        bench::turns<0>(turn{refs[1]}, bench::for_ever, stop);
    });
    rt.go([&] {
        refs[1] = wire::this_wire::ref();
        result = bench::ns_per_operation(
            [&](std::uint64_t n) { bench::turns<0>(turn{refs[0]}, n, stop); });
        stop = true;
        wire::resume(refs[0]);
    });
    static_cast<void>(rt.run());
    return result / 2;
}

struct eight_waits {
    eight_waits() {
        for (wire::wait& w : waits) list.chain(w);
    }
    wire::wait waits[8];
    wire::wait_list list;
};

// One operation: a wire wakes one of the eight that the other waits for, and waits for its own.
double wait_list_8() {
    struct turn {
        eight_waits& mine;
        eight_waits& theirs;
        std::size_t at = 0;
        void operator()() {
            theirs.waits[at++ % 8].wake();
            mine.list.await().value()->reset();
        }
    };
    wire::runtime rt;
    eight_waits waits[2];
    bool stop = false;
    double result = 0;
    rt.go([&] {
        waits[0].list.await().value()->reset();
        bench::turns<0>(turn{waits[0], waits[1]}, bench::for_ever, stop);
    });
    rt.go([&] {
        result = bench::ns_per_operation([&](std::uint64_t n) {
            bench::turns<0>(turn{waits[1], waits[0]}, n, stop);
        });
        stop = true;
        waits[0].waits[0].wake();
    });
    static_cast<void>(rt.run());
    return result / 2;
}

double mutex_free() {
    wire::runtime rt;
    wire::mutex m;
    double result = 0;
    rt.go([&] { result = bench::ns_per_lock_and_unlock(m); });
    static_cast<void>(rt.run());
    return result;
}

// One operation: a wire gets the lock from the other, gives way while it has it, and hands it back.
double mutex_contended() {
    wire::mutex m;
    auto turn = [&] {
        m.lock();
        wire::yield();
        m.unlock();
    };
    wire::runtime rt;
    bool stop = false;
    double result = 0;
    rt.go([&] {
        result = bench::ns_per_operation([&](std::uint64_t n) { bench::turns<0>(turn, n, stop); });
        stop = true;
    });
    rt.go([&] { bench::turns<0>(turn, bench::for_ever, stop); });
    static_cast<void>(rt.run());
    return result / 2;
}

double spawn_run_join() {
    wire::runtime rt;
    double result = 0;
    rt.go([&] {
        result = bench::ns_per_operation([](std::uint64_t n) {
            for (; n > 0; --n) static_cast<void>(wire::spawn([] {}).join());
        });
    });
    static_cast<void>(rt.run());
    return result;
}

// A thread with a runtime and a wire that another thread wakes.
struct target {
    wire::remote rt;
    wire::wire_ref sleeper;
};

// A plain thread wakes a wire among two that yield all the time.
double wake_busy() {
    const bench::cores cores;
    bench::round_trip trip;
    std::atomic<bool> stop{false};
    std::promise<target> made;
    std::thread thread([&] {
        cores.pin(0);
        wire::runtime rt;
        rt.go([&] {
            made.set_value({rt.remote(), wire::this_wire::ref()});
            while (wire::suspend() && !stop) trip.answer();
        });
        for (int busy = 0; busy < 2; ++busy)
            rt.go([&] {
                while (!stop.load(std::memory_order_relaxed)) wire::yield();
            });
        static_cast<void>(rt.run());
    });
    cores.pin(1);
    const target to = made.get_future().get();
    const double ns = bench::ns_per_round_trip([&](std::uint64_t n) {
        for (; n > 0; --n) {
            to.rt.resume(to.sleeper);
            trip.await_next();
        }
    });
    stop = true;
    to.rt.resume(to.sleeper);
    thread.join();
    return ns;
}

// Two runtimes, each with nothing to do but one wire that the other one wakes.
double wake_sleeping() {
    const bench::cores cores;
    std::atomic<bool> stop{false};
    std::promise<target> asker;
    std::promise<target> answerer;
    std::thread thread([&] {
        cores.pin(1);
        wire::runtime rt;
        wire::io::reactor reactor(rt);
        rt.go([&] {
            answerer.set_value({rt.remote(), wire::this_wire::ref()});
            const target to = asker.get_future().get();
            while (wire::suspend() && !stop) to.rt.resume(to.sleeper);
        });
        static_cast<void>(rt.run());
    });
    cores.pin(0);
    wire::runtime rt;
    wire::io::reactor reactor(rt);
    double result = 0;
    rt.go([&] {
        asker.set_value({rt.remote(), wire::this_wire::ref()});
        const target to = answerer.get_future().get();
        result = bench::ns_per_round_trip([&](std::uint64_t n) {
            for (; n > 0; --n) {
                to.rt.resume(to.sleeper);
                static_cast<void>(wire::suspend());
            }
        });
        stop = true;
        to.rt.resume(to.sleeper);
    });
    static_cast<void>(rt.run());
    thread.join();
    return result;
}

class wheel_timers {
public:
    static constexpr std::int64_t start = 123'456'789'012'345;  // a clock of some days

    struct handle : wire::detail::timer {
        handle() : timer([](timer&) noexcept {}) {}
    };

    void arm(handle& t, std::int64_t at) { wheel_.arm(t, at); }
    void disarm(handle& t) { wheel_.disarm(t); }

private:
    wire::detail::timer_wheel wheel_{start};
};

double timers_100000() {
    wheel_timers timers;
    std::vector<wheel_timers::handle> handles(bench::armed_timers);
    return bench::set_and_cancel(timers, handles, wheel_timers::start);
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<bench::bench_case> cases;
    bench::add_yields(cases, []<int Depth>(std::size_t count) { return yield<Depth>(count); });
    cases.push_back({"yield-1000-fd-armed", &yield_fd_armed});
    cases.push_back({"park-unpark", &park_unpark});
    cases.push_back({"wait-list-8", &wait_list_8});
    cases.push_back({"mutex-free", &mutex_free});
    cases.push_back({"mutex-contended", &mutex_contended});
    cases.push_back({"spawn-run-join", &spawn_run_join});
    cases.push_back({"wake-busy", &wake_busy});
    cases.push_back({"wake-sleeping", &wake_sleeping});
    cases.push_back({"timers-100000", &timers_100000});
    bench::add_wire_channels(cases);
    bench::add_wire_many(cases);
    bench::add_wire_threads(cases);
    return bench::run_cases(cases, argc, argv);
}
