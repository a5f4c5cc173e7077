// Runs a lock-free algorithm under every interleaving of its threads, on one OS thread and
// deterministically; says which interleaving it was if one of them fails.
//
//     const auto r = interleave::explore({}, [] {
//         interleave::sync::atomic<int> x{0};                     // what the threads share: locals
//         auto add_one = [&] { x.store(x.load(relaxed) + 1, relaxed); };
//         interleave::run(add_one, add_one);                      // one thread each, until all end
//         interleave::check(x.load(relaxed) == 2, "no addition is lost");
//     });
//     CHECK_MESSAGE(r.passed(), r.report());
//
// The algorithm takes its atomics, futexes, fences and clock from a policy type `Sync`; here it
// gets interleave::sync. Each access to one of them is a point at which another thread may come
// first. The explorer runs the scenario again and again and walks the tree of these decisions depth
// first. It bounds the preemptions (decisions to leave a thread that could have gone on), as almost
// all concurrency bugs need only one or two. Stores linger in store buffers, as on x86.
//
// It finds, within the bound:
//   - a check() that some interleaving violates;
//   - a deadlock or a lost wake-up: all threads that remain sleep, or spin on what nobody changes;
//   - missing store-load barriers (TSO): the sleeper and its waker that overlook each other;
//   - plain data in tracked<> that acquire and release do not order, or used after retire().
//
// It does not find:
//   - reordering that x86 doesn't do, beyond those races of tracked<>: a stress test under
//     ThreadSanitizer and on AArch64 may;
//   - races of plain data outside tracked<>: a plain access is no point of preemption;
//   - what needs more preemptions, more threads or more rounds than the scenario has;
//   - starvation: a thread that spins with sync::pause() goes on only when something has changed.
//
// A scenario must repeat itself: no clock but sync::now(), no order of addresses, no randomness.
// Its objects are locals, made anew for every execution. When one fails, the scenario's frame is
// unwound, the threads' are not: they must own no memory. In a thread call check(), never REQUIRE,
// and throw nothing. Under ThreadSanitizer leave these tests out: it would see one OS thread and
// need a new shadow for every fiber.
//
// The rest is in interleave_explorer.hpp (threads, who runs next), interleave_memory.hpp (store
// buffers, clocks), interleave_search.hpp (choices) and interleave_fiber.hpp.
#pragma once

#include <array>
#include <bit>
#include <type_traits>

#include "interleave_explorer.hpp"

namespace interleave {

struct result {
    std::uint64_t executions = 0;
    bool exhausted = false;           // every schedule within the bounds was run
    std::string failure;              // the sentence that was violated; empty: none
    interleave::schedule schedule{};  // that leads to it; see replay()
    std::string trace{};              // what happens then

    /// There is no failure, and nothing was left out.
    [[nodiscard]] bool passed() const { return failure.empty() && exhausted; }
    /// There is no failure, and what was left out comes after that many executions.
    [[nodiscard]] bool passed_or_ran(std::uint64_t enough) const {
        return failure.empty() && (exhausted || executions >= enough);
    }
    [[nodiscard]] std::string report() const;
};

/// Runs every schedule of `scenario` within the bounds, up to the first that fails. If there are
/// more than executions_max, those come first that differ late, then samples of all.
result explore(const options& bounds, const std::function<void()>& scenario);

/// Runs the one `schedule` that explore() returned for the same scenario and bounds.
result replay(const options& bounds, const schedule& choices,
              const std::function<void()>& scenario);

/// From a scenario: runs one thread per body, at most five, and returns when all have ended.
template <class... Body>
void run(Body&&... bodies) {
    static_assert(sizeof...(Body) <= detail::threads_max);
    const std::array<detail::body, sizeof...(Body)> list{
        detail::body{const_cast<void*>(static_cast<const void*>(&bodies)),
                     [](void* f) { (*static_cast<std::remove_reference_t<Body>*>(f))(); }}...};
    detail::current->run(list);
}

/// From a scenario or one of its threads: the execution fails unless `holds`.
inline void check(bool holds, const char* sentence) {
    if (!holds) detail::current->fail(sentence);
}

/// The policy that stands in for the system's. Works inside explore() and replay() only.
struct sync {
    template <class T>
    class atomic;
    using word = atomic<std::uint32_t>;

    /// Sleeps while `w` holds `expected`, until a wake; returns early only as options allow.
    static void futex_wait(word& w, std::uint32_t expected);
    /// The same with a deadline, which passes when no thread can go on otherwise.
    template <class Deadline>
    static void futex_wait(word& w, std::uint32_t expected, Deadline until);
    static void futex_wake(word& w, int count);
    /// membarrier(2): every thread passes a barrier.
    static void heavy_fence() { detail::current->memory.heavy_fence(detail::current->step()); }
    /// A compiler's barrier: nothing here.
    static void light_fence() {}
    /// Gives way until something has changed; for loops that spin.
    static void pause() { detail::current->pause(); }
    /// Virtual nanoseconds, which pass with every call.
    static std::int64_t now() { return detail::current->now(); }
};

/// The part of std::atomic's interface that the library uses. Of the same size: layouts hold.
template <class T>
class sync::atomic {
    static_assert(std::is_trivially_copyable_v<T> && std::has_single_bit(sizeof(T)) &&
                  sizeof(T) <= 8);
    using order = std::memory_order;
    static constexpr order seq_cst = std::memory_order_seq_cst;

public:
    atomic() noexcept = default;
    constexpr atomic(T value) noexcept : value_(value) {}
    ~atomic() {
        if (detail::current) memory().forget(place());
    }
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    T load(order o = seq_cst) const noexcept { return value_of(memory().load(step(), place(), o)); }
    void store(T value, order o = seq_cst) noexcept {
        memory().store(step(), place(), bits_of(value), o);
    }
    T exchange(T value, order o = seq_cst) noexcept {
        return update(o, [&](T) { return value; });
    }

    bool compare_exchange_strong(T& expected, T desired, order success, order failure) noexcept {
        const std::uint64_t wanted = bits_of(expected);
        const std::uint64_t old =
            memory().update(step(), place(), success, failure, [&](std::uint64_t found) {
                return found == wanted ? std::optional(bits_of(desired)) : std::nullopt;
            });
        expected = value_of(old);
        return old == wanted;
    }
    bool compare_exchange_strong(T& expected, T desired, order o = seq_cst) noexcept {
        return compare_exchange_strong(expected, desired, o, on_failure(o));
    }
    /// As the strong one: x86 knows no other.
    bool compare_exchange_weak(T& expected, T desired, order success, order failure) noexcept {
        return compare_exchange_strong(expected, desired, success, failure);
    }
    bool compare_exchange_weak(T& expected, T desired, order o = seq_cst) noexcept {
        return compare_exchange_strong(expected, desired, o, on_failure(o));
    }

    T fetch_add(T n, order o = seq_cst) noexcept {
        return update(o, [&](T old) { return static_cast<T>(old + n); });
    }
    T fetch_sub(T n, order o = seq_cst) noexcept {
        return update(o, [&](T old) { return static_cast<T>(old - n); });
    }
    T fetch_or(T bits, order o = seq_cst) noexcept {
        return update(o, [&](T old) { return static_cast<T>(old | bits); });
    }
    T fetch_and(T bits, order o = seq_cst) noexcept {
        return update(o, [&](T old) { return static_cast<T>(old & bits); });
    }

private:
    friend struct sync;

    static detail::tso_memory& memory() noexcept { return detail::current->memory; }
    static std::size_t step() noexcept { return detail::current->step(); }
    detail::cell place() const noexcept { return {const_cast<T*>(&value_), sizeof(T)}; }

    static std::uint64_t bits_of(T value) noexcept { return detail::cell{&value, sizeof(T)}.get(); }
    static T value_of(std::uint64_t bits) noexcept {
        T value;
        detail::cell{&value, sizeof(T)}.set(bits);
        return value;
    }
    static constexpr order on_failure(order success) noexcept {
        if (success == std::memory_order_acq_rel) return std::memory_order_acquire;
        if (success == std::memory_order_release) return std::memory_order_relaxed;
        return success;
    }
    template <class F>
    T update(order o, F next) noexcept {
        return value_of(memory().update(step(), place(), o, o, [&](std::uint64_t old) {
            return std::optional(bits_of(next(value_of(old))));
        }));
    }

    alignas(sizeof(T)) T value_{};
};

inline void sync::futex_wait(word& w, std::uint32_t expected) {
    detail::current->futex_wait(w.place(), expected, std::nullopt);
}

template <class Deadline>
void sync::futex_wait(word& w, std::uint32_t expected, Deadline until) {
    if (until.is_never()) return futex_wait(w, expected);
    detail::current->futex_wait(w.place(), expected, until.ns());
}

inline void sync::futex_wake(word& w, int count) {
    detail::current->system_call();
    detail::current->wake(w.place().at, count);
}

/// An eventfd: what a poller sleeps on, and what notifies it.
class event {
public:
    void signal() {
        count_.fetch_add(1, std::memory_order_release);
        detail::current->wake(this, 1);
    }
    /// Sleeps until the count is not zero, takes it all and returns it. 0: an early wake.
    std::uint64_t wait() {
        for (;;) {
            const std::uint64_t n = count_.exchange(0, std::memory_order_acquire);
            if (n > 0 || !detail::current->sleep(this, std::nullopt)) return n;
        }
    }

private:
    sync::atomic<std::uint64_t> count_{0};
};

/// Plain data of the algorithm. Two uses of it, one of them a change, that acquire and release do
/// not order fail the execution, in whatever order they happen to run; so does any use after
/// retire().
template <class T>
class tracked {
public:
    tracked() = default;
    tracked(T value) : value_(std::move(value)) {}

    T get() const {
        uses_.read();
        return value_;
    }
    void set(T value) {
        uses_.change();
        value_ = std::move(value);
    }
    /// From now on nobody may use it: it is freed, or somebody else's.
    void retire() { uses_.retire(); }

private:
    mutable detail::uses uses_;
    T value_{};
};

inline std::string result::report() const {
    std::string text = std::to_string(executions) + " executions: ";
    if (passed()) return text + "all";
    if (failure.empty()) return text + "not all, executions_max is too small";
    text += failure + "\nschedule {";
    for (const int answer : schedule) text += std::to_string(answer) + ", ";
    return text + "}\n" + trace;
}

namespace detail {

// Makes an explorer the one that atomics find.
struct at_work {
    explicit at_work(explorer& e) { current = &e; }
    ~at_work() { current = nullptr; }
    at_work(const at_work&) = delete;
    at_work& operator=(const at_work&) = delete;
};

}  // namespace detail

inline result replay(const options& bounds, const schedule& choices,
                     const std::function<void()>& scenario) {
    detail::explorer e(bounds, choices);
    const detail::at_work guard(e);
    e.log.keep();
    e.execute(scenario);
    return {.executions = 1,
            .failure = e.failure,
            .schedule = e.choices.answers(),
            .trace = e.log.text()};
}

inline result explore(const options& bounds, const std::function<void()>& scenario) {
    detail::explorer e(bounds, {});
    const detail::at_work guard(e);
    result r;
    while (!r.exhausted && r.executions < bounds.executions_max + bounds.samples) {
        if (r.executions == bounds.executions_max) e.choices.draw();
        e.execute(scenario);
        ++r.executions;
        if (!e.failure.empty()) {
            result again = replay(bounds, e.choices.answers(), scenario);
            if (again.failure != e.failure) again.failure = detail::not_repeated;
            again.executions = r.executions;
            return again;
        }
        r.exhausted = !e.choices.advance();
    }
    return r;
}

}  // namespace interleave
