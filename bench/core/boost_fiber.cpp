// Peer: Boost.Fiber with its default scheduler and pooled stacks.
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <boost/fiber/buffered_channel.hpp>
#include <boost/fiber/condition_variable.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/mutex.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>
#include <boost/fiber/unbuffered_channel.hpp>

#include "channels.hpp"
#include "many.hpp"
#include "round_trip.hpp"

namespace {

namespace bf = boost::fibers;

constexpr std::size_t stack_size = 64 * 1024;

template <int Depth>
double yield(std::size_t count) {
    bf::pooled_fixedsize_stack memory(stack_size);
    std::vector<bf::fiber> others;
    double result = 0;
    bool stop = false;
    auto turn = [] { boost::this_fiber::yield(); };
    bf::fiber first(std::allocator_arg, memory, [&] {
        result =
            bench::ns_per_operation([&](std::uint64_t n) { bench::turns<Depth>(turn, n, stop); });
        stop = true;
    });
    for (std::size_t i = 1; i < count; ++i)
        others.emplace_back(std::allocator_arg, memory,
                            [&] { bench::turns<Depth>(turn, bench::for_ever, stop); });
    first.join();
    for (auto& f : others) f.join();
    return result / static_cast<double>(count);
}

// What a fiber parks in: it has no lower public primitive.
class baton {
public:
    void post() {
        {
            const std::lock_guard guard(mutex_);
            posted_ = true;
        }
        changed_.notify_one();
    }

    void wait() {
        std::unique_lock guard(mutex_);
        changed_.wait(guard, [this] { return posted_; });
        posted_ = false;
    }

private:
    bf::mutex mutex_;
    bf::condition_variable changed_;
    bool posted_ = false;
};

// One operation: a fiber makes the other ready and parks.
double park_unpark() {
    struct turn {
        baton& mine;
        baton& theirs;
        void operator()() const {
            theirs.post();
            mine.wait();
        }
    };
    baton batons[2];
    bool stop = false;
    double result = 0;
    bf::fiber other([&] {
        batons[0].wait();
        bench::turns<0>(turn{batons[0], batons[1]}, bench::for_ever, stop);
    });
    bf::fiber first([&] {
        result = bench::ns_per_operation([&](std::uint64_t n) {
            bench::turns<0>(turn{batons[1], batons[0]}, n, stop);
        });
        stop = true;
        batons[0].post();
    });
    first.join();
    other.join();
    return result / 2;
}

double mutex_free() {
    bf::mutex m;
    return bench::ns_per_lock_and_unlock(m);
}

double mutex_contended() {
    bf::mutex m;
    auto turn = [&] {
        m.lock();
        boost::this_fiber::yield();
        m.unlock();
    };
    bool stop = false;
    double result = 0;
    bf::fiber first([&] {
        result = bench::ns_per_operation([&](std::uint64_t n) { bench::turns<0>(turn, n, stop); });
        stop = true;
    });
    bf::fiber other([&] { bench::turns<0>(turn, bench::for_ever, stop); });
    first.join();
    other.join();
    return result / 2;
}

double spawn_run_join() {
    bf::pooled_fixedsize_stack memory(stack_size);
    return bench::ns_per_operation([&](std::uint64_t n) {
        for (; n > 0; --n) bf::fiber(std::allocator_arg, memory, [] {}).join();
    });
}

double wake_busy() {
    const bench::cores cores;
    bench::round_trip trip;
    baton wake;
    std::atomic<bool> stop{false};
    std::thread target([&] {
        cores.pin(0);
        auto busy = [&] {
            while (!stop) boost::this_fiber::yield();
        };
        bf::fiber busy1(busy);
        bf::fiber busy2(busy);
        bf::fiber sleeper([&] {
            for (wake.wait(); !stop; wake.wait()) trip.answer();
        });
        sleeper.join();
        busy1.join();
        busy2.join();
    });
    cores.pin(1);
    const double ns = bench::ns_per_round_trip([&](std::uint64_t n) {
        for (; n > 0; --n) {
            wake.post();
            trip.await_next();
        }
    });
    stop = true;
    wake.post();
    target.join();
    return ns;
}

double wake_sleeping() {
    const bench::cores cores;
    baton there;
    baton back;
    std::atomic<bool> stop{false};
    std::thread answerer([&] {
        cores.pin(1);
        for (there.wait(); !stop; there.wait()) back.post();
    });
    cores.pin(0);
    const double ns = bench::ns_per_round_trip([&](std::uint64_t n) {
        for (; n > 0; --n) {
            there.post();
            back.wait();
        }
    });
    stop = true;
    there.post();
    answerer.join();
    return ns;
}

bench::figures live_100000() {
    constexpr std::size_t count = 100'000;
    bench::cost_of_each cost(count);
    bf::pooled_fixedsize_stack memory(stack_size);
    std::vector<bf::fiber> all;
    bf::mutex mutex;
    bf::condition_variable end;
    bool ended = false;
    for (std::size_t n = 0; n < count; ++n)
        all.emplace_back(std::allocator_arg, memory, [&] {
            std::unique_lock guard(mutex);
            end.wait(guard, [&] { return ended; });
        });
    boost::this_fiber::yield();
    cost.made();
    ended = true;
    end.notify_all();
    for (auto& f : all) f.join();
    return cost.get();
}

double sleep_all() {
    bf::pooled_fixedsize_stack memory(stack_size);
    std::vector<bf::fiber> all;
    bench::sleeping those;
    for (std::size_t n = 0; n < bench::sleepers; ++n)
        all.emplace_back(std::allocator_arg, memory, [&] {
            while (!those.stopped())
                boost::this_fiber::sleep_for(std::chrono::microseconds(those.length_us()));
        });
    const double result =
        those.measure([](int ms) { boost::this_fiber::sleep_for(std::chrono::milliseconds(ms)); });
    for (auto& f : all) f.join();
    return result;
}

template <class Channel>
struct channel : Channel {
    using Channel::Channel;
    bool send(int value) { return this->push(value) == bf::channel_op_status::success; }
    bool receive(int& value) { return this->pop(value) == bf::channel_op_status::success; }
};

struct channels {
    using rendezvous = channel<bf::unbuffered_channel<int>>;
    struct buffered_128 : channel<bf::buffered_channel<int>> {
        buffered_128() : channel(128) {}  // it holds 127: one place of the ring stays empty
    };
    using task = bf::fiber;

    template <class F>
    static task start(F& f) {
        static bf::pooled_fixedsize_stack memory(stack_size);
        return {std::allocator_arg, memory, [&f] { f(); }};
    }
    static void join(task& t) { t.join(); }

    template <class F>
    static void run(F& f) {
        start(f).join();
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::vector<bench::bench_case> cases;
    bench::add_yields(cases, []<int Depth>(std::size_t count) { return yield<Depth>(count); });
    cases.push_back({"park-unpark", &park_unpark});
    cases.push_back({"mutex-free", &mutex_free});
    cases.push_back({"mutex-contended", &mutex_contended});
    cases.push_back({"spawn-run-join", &spawn_run_join});
    cases.push_back({"wake-busy", &wake_busy});
    cases.push_back({"wake-sleeping", &wake_sleeping});
    cases.push_back({"live-100000", &live_100000});
    cases.push_back({"sleepers-100000", &sleep_all});
    bench::add_channels<channels>(cases);
    return bench::run_cases(cases, argc, argv);
}
