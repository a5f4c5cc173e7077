// The limit of waking: a futex word, and nothing else.
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "element.hpp"
#include "idle_cpu.hpp"
#include "idle_wake.hpp"

namespace {

// A word that one thread sleeps on until another has set it.
class word {
public:
    void set() {
        // What was written before. Pairs with await().
        value_.store(1, std::memory_order_release);
        ::syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
    void await() {
        while (value_.load(std::memory_order_acquire) == 0)  // Pairs with set().
            ::syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
    }
    void clear() { value_.store(0, std::memory_order_release); }
    [[nodiscard]] bool is_set() const { return value_.load(std::memory_order_acquire) != 0; }

private:
    std::atomic<std::uint32_t> value_{0};
};

// A queue for one message, whose producer comes too seldom to find it full.
template <class T>
class cell {
public:
    explicit cell(const bench::shape&) {}

    void put(const T& value) {
        while (full_.is_set()) ::sched_yield();
        value_ = value;
        full_.set();
    }
    void take(T& value) {
        full_.await();
        value = value_;
        full_.clear();
    }

private:
    T value_{};
    word full_;
};

// One way between two threads that take turns and sleep in between.
bench::cost one_wake(int other_core) {
    const bench::cores all;
    word there, back;
    std::atomic<bool> stop{false};
    std::thread answerer([&] {
        all.pin(other_core);
        for (;;) {
            there.await();
            there.clear();
            if (stop.load(std::memory_order_relaxed)) return;
            back.set();
        }
    });
    all.pin(0);
    const bench::cost result = bench::median_cost([&](std::uint64_t n) {
        const bench::stopwatch since;
        for (std::uint64_t left = n; left > 0; --left) {
            there.set();
            back.await();
            back.clear();
        }
        return since.elapsed();
    });
    stop = true;
    there.set();
    answerer.join();
    return {result.wall_ns / 2, result.cpu_ns / 2};
}

}  // namespace

int main(int argc, char** argv) {
    using message = bench::element<8>;
    std::vector<bench::queue_case> cases{{"futex-wake", [] { return one_wake(1); }},
                                         {"futex-wake-1core", [] { return one_wake(0); }}};
    bench::add_idle_wake<cell<message>, message>(cases);
    bench::add_idle_cpu<cell<message>, message>(cases);
    return bench::run_queue_cases(cases, argc, argv);
}
