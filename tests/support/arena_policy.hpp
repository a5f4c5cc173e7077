// What arenas take from the system, with the explorer of interleavings in its place; with one thing
// spoiled, if a defect is planted.
//
// The bytes of records and the places in queues are plain data: two uses that acquire and release
// do not order fail the execution. What is read and changed with the lock is no point of
// preemption, nor is a look at a lock that was seen taken before: nothing may come in between that
// could not come before or after. Each thread is a process and a user of its own number. A thread
// in `mortal` may be killed before any of its stores.
//
// The product's own code runs. Which of its accesses is meant is told from the place and the value.
#pragma once

#include <shm/arena_recovery.hpp>

#include <array>
#include <functional>
#include <utility>

#include "arena_defects.hpp"
#include "interleave.hpp"

namespace interleave {

/// What the words of an arena are for. small_arena knows.
enum class arena_word {
    with_lock,
    lock,
    waiting,
    unlocked,
    user,
    page,
    sent,
    received,
    place,
    bell,
    state,
    end_user,
    had,
    id,
    block,
    unused_block,
};

/// Of one execution.
struct arena_run {
    static constexpr std::size_t users_max = detail::threads_max;

    bool has_membarrier = true;
    bool time_passes = false;  // who sleeps for the lock wakes by itself, when all others sleep
    unsigned outsiders = 0;    // threads whose processes have not joined, as bits
    unsigned mortal = 0;       // as bits
    unsigned buries = 0;       // threads that bury somebody at this moment
    std::function<void()> on_death;                     // the kernel's part
    std::array<std::uint32_t, users_max + 1> ended{};   // by thread; 2: it is watched
    std::array<bool, users_max + 1> leaves{};           // is about to tell that somebody has left
    std::array<bool, users_max + 1> spins{};            // its last access was a look at the lock
    std::array<std::uint32_t, users_max + 1> looked{};  // too early
    std::array<bool, users_max + 1> counts_late{};
    struct late_store {
        detail::cell at{};
        std::uint64_t bits = 0;
    };
    detail::cell waits_at{};                       // the word of who waits for the lock
    std::array<late_store, users_max + 1> late{};  // what a thread should have stored before
    std::array<std::array<detail::uses, 16>, 2> places{};  // of queues, sixteen by sixteen
    std::array<detail::uses, 8> bytes{};                   // of blocks
    std::array<detail::uses, 8> held{};                    // since when its word names a user
    std::array<detail::uses, 16> calls{};                  // what came before each
    std::array<std::uint64_t, 8> values{};                 // what the bytes say
};

/// The policy.
struct arena_policy {
    template <class T>
    class atomic;
    using word = atomic<std::uint32_t>;
    class block_ref;

    static inline arena_run run;
    /// Set by small_arena.
    static inline arena_word (*word_at)(const void*) = nullptr;
    static inline std::size_t (*number_of)(const void*) = nullptr;  // of a block, or a place

    static block_ref ref(std::byte* at);

    static bool has_joined(std::size_t process) {
        return run.has_membarrier && (run.outsiders >> process & 1U) == 0;
    }
    static bool can_make_heavy_fences() { return run.has_membarrier; }
    static void heavy_fence() {
        system_call();
        for (std::size_t t = 0; t <= detail::threads_max; ++t)
            if ((run.outsiders >> t & 1U) == 0) detail::current->memory.barrier(t);
    }
    static void light_fence() {}
    static void full_fence() { system_call(); }
    static void futex_wait(word& w, std::uint32_t expected, std::int64_t until);
    static void futex_wake(word& w);
    static std::int64_t now_ns() { return 0; }
    static constexpr std::int64_t never = INT64_MAX;

    /// The kernel's word for it.
    static bool has_ended(std::uint64_t who) {
        if (spoils(arena_defect::taken_from_the_living)) return true;
        return (load(arena_word::had, {&run.ended[who], 4}, std::memory_order_acquire) & 1U) != 0;
    }
    /// From now on on_death() is called when `who` has ended. Returns whether it has.
    static bool watch(std::size_t who) {
        const std::size_t me = detail::current->step();
        return (detail::current->memory.update(
                    me, {&run.ended[who], 4}, std::memory_order_acq_rel, std::memory_order_acquire,
                    [](std::uint64_t old) { return std::optional(old | 2U); }) &
                1U) != 0;
    }
    static void wait_for_end(std::size_t who) {
        while (!has_ended(who))
            detail::current->futex_wait({&run.ended[who], 4}, run.ended[who], std::nullopt);
    }
    /// The running thread's process is killed.
    [[noreturn]] static void die() {
        const std::size_t me = detail::current->running();
        run.mortal &= ~(1U << me);
        const std::uint64_t before = detail::current->memory.update(
            me, {&run.ended[me], 4}, std::memory_order_release, std::memory_order_relaxed,
            [](std::uint64_t old) { return std::optional(old | 1U); });
        detail::current->wake(&run.ended[me], detail::threads_max);
        if ((before & 2U) != 0 && run.on_death) run.on_death();
        detail::current->kill();
    }

    static std::size_t me() { return detail::current->running(); }
    static bool buries() { return (run.buries >> me() & 1U) != 0; }

    static bool leaves_untold() { return run.leaves[me()] && spoils(arena_defect::left_untold); }

    // How the explorer is asked.
    static std::uint64_t load(arena_word w, detail::cell at, std::memory_order o) {
        return detail::current->memory.load(step(w), at, o);
    }
    static void store(arena_word w, detail::cell at, std::uint64_t bits, std::memory_order o) {
        may_die();
        detail::current->memory.store(step(w), at, bits, o);
    }
    template <class F>
    static std::uint64_t update(arena_word w, detail::cell at, std::memory_order success,
                                std::memory_order failure, F next) {
        may_die();
        return detail::current->memory.update(step(w), at, success, failure, next);
    }
    static void postpone(const arena_run::late_store& s) { run.late[me()] = s; }
    static void store_late() {
        const arena_run::late_store s = std::exchange(run.late[me()], {});
        if (s.at.at) store(arena_word::block, s.at, s.bits, std::memory_order_release);
    }
    static void may_die() {
        if ((run.mortal >> me() & 1U) == 0) return;
        if (detail::current->choices.choose_seldom_another(2) == 1) die();
    }
    static void system_call() {
        may_die();
        run.spins[me()] = false;
        detail::current->system_call();
    }

private:
    static std::size_t step(arena_word w) {
        run.spins[me()] = false;
        const bool is_quiet = w == arena_word::with_lock || w == arena_word::page ||
                              w == arena_word::user || w == arena_word::unused_block;
        return is_quiet ? me() : detail::current->step();
    }
};

template <class T>
class arena_policy::atomic {
    using order = std::memory_order;
    using enum arena_word;
    static constexpr order relaxed = std::memory_order_relaxed;

public:
    T load(order o) const noexcept {
        const arena_word w = word_at(this);
        o = order_of_load(w, o);
        if (w == place) run.places[number_of(this) / 16][number_of(this) % 16].read();
        if (w == lock) return look_at_lock(o);
        if (w == state && spoils(arena_defect::told_nobody)) return 0;
        if (w == sent && buries() && spoils(arena_defect::settled_without_queue))
            return other_count().load(o);
        if (w == id) run.leaves[me()] = false;
        const auto value = static_cast<T>(arena_policy::load(w, cell(), o));
        if (w == unlocked) run.calls[value % run.calls.size()].read();
        return value;
    }
    void store(T value, order o) noexcept {
        const arena_word w = word_at(this);
        if (leaves_out(w, value)) return;
        if (w == waiting && spoils(arena_defect::counted_after_look)) {
            run.waits_at = cell();
            run.counts_late[me()] = true;
            return;
        }
        if (w == end_user && value == 0) run.leaves[me()] = true;
        if (w == place) run.places[number_of(this) / 16][number_of(this) % 16].change();
        if (w == lock) {
            if (spoils(arena_defect::looked_before_unlocked)) look_early();
            return unlock(value, o);
        }
        if (w == place && spoils(arena_defect::sent_before_place)) return postpone({cell(), value});
        arena_policy::store(w, cell(), value, order_of_store(w, o));
        if (w == sent || w == received) store_late();
    }
    bool compare_exchange_strong(T& expected, T desired, order success, order failure) noexcept {
        const arena_word w = word_at(this);
        if (w == lock && spoils(arena_defect::locked_without_acquire)) success = relaxed;
        const bool by_force = w == lock && expected != 0 && spoils(arena_defect::taken_by_two);
        const auto old = static_cast<T>(
            arena_policy::update(w, cell(), success, failure, [&](std::uint64_t found) {
                return found == expected || by_force ? std::optional<std::uint64_t>(desired)
                                                     : std::nullopt;
            }));
        const bool done = old == expected || by_force;
        expected = old;
        if (w == lock) count_late();
        return done;
    }
    T fetch_add(T n, order o) noexcept {
        const arena_word w = word_at(this);
        if (w == unlocked && spoils(arena_defect::unlocked_unchanged)) return 0;
        if (w == bell && leaves_untold()) return 0;
        if (w == unlocked) o = without(arena_defect::called_without_release, o);
        return add(w, n, o);
    }
    T exchange(T value, order o) noexcept {
        if (spoils(arena_defect::looked_before_unlocked)) return early();
        return static_cast<T>(arena_policy::update(word_at(this), cell(), o, o, [&](std::uint64_t) {
            return std::optional<std::uint64_t>(value);
        }));
    }

    detail::cell cell() const noexcept { return {const_cast<T*>(&value_), sizeof(T)}; }

private:
    static order order_of_load(arena_word w, order o) {
        using enum arena_defect;
        if (w == sent)
            return without(buries() ? sent_settled_without_acquire : sent_seen_without_acquire, o);
        if (w == received)
            return without(
                buries() ? received_settled_without_acquire : received_seen_without_acquire, o);
        if (w == unlocked) return without(call_seen_without_acquire, o);
        return w == end_user ? without(left_seen_without_acquire, o) : o;
    }
    static order order_of_store(arena_word w, order o) {
        using enum arena_defect;
        if (w == sent) return without(sent_without_release, o);
        if (w == received) return without(received_without_release, o);
        return w == end_user ? without(left_without_release, o) : o;
    }
    static order without(arena_defect d, order o) { return spoils(d) ? relaxed : o; }

    static bool leaves_out(arena_word w, T value) {
        if (w == waiting) return spoils(arena_defect::not_counted);
        if (value != 0) return w == place && spoils(arena_defect::place_not_stored);
        return (w == end_user && spoils(arena_defect::not_left)) ||
               (w == user && spoils(arena_defect::not_forgotten));
    }

    // The consumer's, of the producer's.
    const atomic& other_count() const {
        using end = wire::shm::detail::basic_arena_channel<arena_policy>::end;
        return *reinterpret_cast<const atomic*>(reinterpret_cast<const std::byte*>(this) +
                                                sizeof(end));
    }
    T look_at_lock(order o) const {
        const bool again = std::exchange(run.spins[me()], false) && value_ != 0;
        const auto seen = again ? value_ : static_cast<T>(arena_policy::load(lock, cell(), o));
        run.spins[me()] = true;
        return seen;
    }
    void unlock(T value, order o) {
        if (!spoils(arena_defect::unlocked_without_release))
            return arena_policy::store(lock, cell(), value, o);
        arena_policy::store(lock, cell(), value, relaxed);
        detail::current->memory.barrier(me());
    }
    // The word of the lock: `waiting` comes after it.
    void look_early() const {
        run.looked[me()] = static_cast<std::uint32_t>(
            arena_policy::update(waiting, {const_cast<T*>(&value_) + 1, 4}, relaxed, relaxed,
                                 [](std::uint64_t) { return std::optional<std::uint64_t>(0); }));
    }
    T early() const { return static_cast<T>(run.looked[me()]); }
    static void count_late() {
        if (std::exchange(run.counts_late[me()], false))
            arena_policy::store(waiting, run.waits_at, 1, relaxed);
    }

    T add(arena_word w, T n, order o) {
        return static_cast<T>(arena_policy::update(w, cell(), o, o, [&](std::uint64_t old) {
            const auto sum = static_cast<T>(static_cast<T>(old) + n);
            if (w == unlocked) run.calls[sum % run.calls.size()].change();
            return std::optional<std::uint64_t>(sum);
        }));
    }

    T value_;
};

/// The word before a record.
class arena_policy::block_ref {
    using order = std::memory_order;
    using block_word = wire::shm::detail::block_word;
    static constexpr order relaxed = std::memory_order_relaxed;

public:
    explicit block_ref(std::byte* at) : at_(at) {}

    [[nodiscard]] std::uint64_t load(order o) const {
        if (spoils(arena_defect::free_seen_without_acquire)) o = relaxed;
        return arena_policy::load(what(), cell(), o);
    }
    void store(std::uint64_t word, order o) const {
        const std::uint16_t holder = block_word::holder(word);
        const bool in_flight = (holder & block_word::in_flight) != 0;
        if (in_flight && spoils(arena_defect::word_not_in_flight)) return;
        if (holder == block_word::nobody && spoils(arena_defect::freed_without_release))
            o = relaxed;
        if (!in_flight && holder != block_word::nobody) {
            if (spoils(arena_defect::word_not_receivers) && was_in_flight()) return;
            run.held[number()].change();
            if (spoils(arena_defect::received_before_word) && was_in_flight())
                return postpone({cell(), word});
        }
        arena_policy::store(what(), cell(), word, o);
    }
    bool compare_exchange_strong(std::uint64_t& seen, std::uint64_t word, order success,
                                 order failure) const {
        if (spoils(buries() ? arena_defect::unsettled : arena_defect::not_dropped)) return false;
        if (spoils(arena_defect::settled_without_release)) success = relaxed;
        if (spoils(arena_defect::in_hand_freed)) word = 0;
        run.held[number()].read();
        const bool by_force = spoils(arena_defect::settled_whatever_happens);
        const std::uint64_t old =
            arena_policy::update(what(), cell(), success, failure, [&](std::uint64_t found) {
                return found == seen || by_force ? std::optional(word) : std::nullopt;
            });
        return std::exchange(seen, old) == old;
    }

private:
    [[nodiscard]] bool was_in_flight() const {
        return (block_word::holder(cell().get()) & block_word::in_flight) != 0;
    }
    [[nodiscard]] arena_word what() const { return word_at(at_); }
    [[nodiscard]] std::size_t number() const { return number_of(at_); }
    [[nodiscard]] detail::cell cell() const { return {at_, 8}; }

    std::byte* at_;
};

inline arena_policy::block_ref arena_policy::ref(std::byte* at) {
    return block_ref(at);
}

inline void arena_policy::futex_wait(word& w, std::uint32_t expected, std::int64_t until) {
    may_die();
    run.spins[me()] = false;
    const bool wakes_up = run.time_passes && until != never;
    detail::current->futex_wait(w.cell(), expected, wakes_up ? std::optional(until) : std::nullopt);
}
inline void arena_policy::futex_wake(word& w) {
    if (spoils(arena_defect::called_nobody) || (word_at(&w) == arena_word::bell && leaves_untold()))
        return;
    system_call();
    detail::current->wake(w.cell().at, 1);
}

}  // namespace interleave
