// Peer: State Threads. One thread per process; its yield is a sleep of no length.
#include <st.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "channels.hpp"
#include "many.hpp"

namespace {

constexpr int stack_size = 64 * 1024;

void init() {
    if (st_set_eventsys(ST_EVENTSYS_ALT) != 0 || st_init() != 0) {
        std::perror("st_init");
        std::exit(1);
    }
}

template <class F>
st_thread_t start(F& f) {
    auto* const call = +[](void* p) -> void* {
        (*static_cast<F*>(p))();
        return nullptr;
    };
    st_thread_t const t = st_thread_create(call, &f, 1, stack_size);
    if (!t) {
        std::perror("st_thread_create");
        std::exit(1);
    }
    return t;
}

template <int Depth>
double yield(std::size_t count) {
    double result = 0;
    bool stop = false;
    auto turn = [] { st_usleep(0); };
    auto first = [&] {
        result =
            bench::ns_per_operation([&](std::uint64_t n) { bench::turns<Depth>(turn, n, stop); });
        stop = true;
    };
    auto other = [&] { bench::turns<Depth>(turn, bench::for_ever, stop); };
    std::vector<st_thread_t> threads{start(first)};
    for (std::size_t i = 1; i < count; ++i) threads.push_back(start(other));
    for (st_thread_t t : threads) st_thread_join(t, nullptr);
    return result / static_cast<double>(count);
}

double yield_fd_armed() {
    init();
    int ends[2];
    if (::pipe(ends) != 0) std::exit(1);
    st_netfd_t const idle = st_netfd_open(ends[0]);
    auto waiter = [&] { st_netfd_poll(idle, POLLIN, ST_UTIME_NO_TIMEOUT); };
    start(waiter);
    return yield<0>(1'000);
}

// One operation: a thread makes the other ready and parks.
double park_unpark() {
    struct turn {
        st_cond_t mine;
        st_cond_t theirs;
        void operator()() const {
            st_cond_signal(theirs);
            st_cond_wait(mine);
        }
    };
    init();
    const st_cond_t conditions[2] = {st_cond_new(), st_cond_new()};
    double result = 0;
    bool stop = false;
    auto other = [&] {
        st_cond_wait(conditions[0]);
        bench::turns<0>(turn{conditions[0], conditions[1]}, bench::for_ever, stop);
    };
    auto first = [&] {
        result = bench::ns_per_operation([&](std::uint64_t n) {
            bench::turns<0>(turn{conditions[1], conditions[0]}, n, stop);
        });
        stop = true;
        st_cond_signal(conditions[0]);
    };
    st_thread_t const threads[2] = {start(other), start(first)};
    for (st_thread_t t : threads) st_thread_join(t, nullptr);
    return result / 2;
}

struct mutex {
    void lock() const { st_mutex_lock(m); }
    void unlock() const { st_mutex_unlock(m); }
    st_mutex_t m = st_mutex_new();
};

double mutex_free() {
    init();
    mutex m;
    return bench::ns_per_lock_and_unlock(m);
}

double mutex_contended() {
    init();
    const mutex m;
    auto turn = [&] {
        m.lock();
        st_usleep(0);
        m.unlock();
    };
    bool stop = false;
    double result = 0;
    auto first = [&] {
        result = bench::ns_per_operation([&](std::uint64_t n) { bench::turns<0>(turn, n, stop); });
        stop = true;
    };
    auto other = [&] { bench::turns<0>(turn, bench::for_ever, stop); };
    st_thread_t const threads[2] = {start(first), start(other)};
    for (st_thread_t t : threads) st_thread_join(t, nullptr);
    return result / 2;
}

double spawn_run_join() {
    init();
    auto nothing = [] {};
    return bench::ns_per_operation([&](std::uint64_t n) {
        for (; n > 0; --n) st_thread_join(start(nothing), nullptr);
    });
}

bench::figures live_100000() {
    constexpr std::size_t count = 100'000;
    bench::cost_of_each cost(count);
    init();
    auto park = [] { st_usleep(ST_UTIME_NO_TIMEOUT); };
    for (std::size_t n = 0; n < count; ++n) start(park);
    st_usleep(0);
    cost.made();
    return cost.get();
}

double sleep_all() {
    init();
    bench::sleeping those;
    double result = 0;
    auto first = [&] {
        result = those.measure([](int ms) { st_usleep(static_cast<st_utime_t>(ms) * 1'000); });
    };
    auto other = [&] {
        while (!those.stopped()) st_usleep(static_cast<st_utime_t>(those.length_us()));
    };
    std::vector<st_thread_t> threads{start(first)};
    for (std::size_t n = 0; n < bench::sleepers; ++n) threads.push_back(start(other));
    for (st_thread_t t : threads) st_thread_join(t, nullptr);
    return result;
}

// Channels as its users make them: memory and two conditions.
class conditions {
public:
    conditions() = default;
    ~conditions() {
        st_cond_destroy(filled);
        st_cond_destroy(emptied);
    }
    conditions(const conditions&) = delete;
    conditions& operator=(const conditions&) = delete;

    void tell_all() {
        st_cond_broadcast(filled);
        st_cond_broadcast(emptied);
    }

    st_cond_t const filled = st_cond_new();
    st_cond_t const emptied = st_cond_new();
};

// For one sender. It waits until its value is taken, but not if a receiver waits for it already.
class rendezvous {
public:
    bool send(int value) {
        while (full_ && !closed_) st_cond_wait(changed_.emptied);
        if (closed_) return false;
        slot_ = value;
        full_ = true;
        if (receivers_ > 0) {
            st_cond_signal(changed_.filled);
            return true;
        }
        while (full_) st_cond_wait(changed_.emptied);
        return true;
    }

    bool receive(int& value) {
        while (!full_ && !closed_) {
            ++receivers_;
            st_cond_wait(changed_.filled);
            --receivers_;
        }
        if (!full_) return false;
        value = slot_;
        full_ = false;
        st_cond_signal(changed_.emptied);
        return true;
    }

    void close() {
        closed_ = true;
        changed_.tell_all();
    }

private:
    conditions changed_;
    int slot_ = 0;
    int receivers_ = 0;
    bool full_ = false;
    bool closed_ = false;
};

class buffered_128 {
public:
    bool send(int value) {
        while (count_ == ring_.size() && !closed_) st_cond_wait(changed_.emptied);
        if (closed_) return false;
        ring_[(first_ + count_++) % ring_.size()] = value;
        st_cond_signal(changed_.filled);
        return true;
    }

    bool receive(int& value) {
        while (count_ == 0 && !closed_) st_cond_wait(changed_.filled);
        if (count_ == 0) return false;
        value = ring_[first_++ % ring_.size()];
        --count_;
        st_cond_signal(changed_.emptied);
        return true;
    }

    void close() {
        closed_ = true;
        changed_.tell_all();
    }

private:
    conditions changed_;
    std::array<int, 128> ring_{};
    std::size_t first_ = 0;
    std::size_t count_ = 0;
    bool closed_ = false;
};

struct channels {
    using rendezvous = ::rendezvous;
    using buffered_128 = ::buffered_128;
    using task = st_thread_t;

    template <class F>
    static task start(F& f) {
        return ::start(f);
    }
    static void join(task t) { st_thread_join(t, nullptr); }

    template <class F>
    static void run(F& f) {
        init();
        join(start(f));
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::vector<bench::bench_case> cases;
    bench::add_yields(cases, []<int Depth>(std::size_t count) {
        init();
        return yield<Depth>(count);
    });
    cases.push_back({"yield-1000-fd-armed", &yield_fd_armed});
    cases.push_back({"park-unpark", &park_unpark});
    cases.push_back({"mutex-free", &mutex_free});
    cases.push_back({"mutex-contended", &mutex_contended});
    cases.push_back({"spawn-run-join", &spawn_run_join});
    cases.push_back({"live-100000", &live_100000});
    cases.push_back({"sleepers-100000", &sleep_all});
    bench::add_channels<channels>(cases);
    return bench::run_cases(cases, argc, argv);
}
