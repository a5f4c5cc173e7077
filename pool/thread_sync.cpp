#include <wire/detail/thread_sync.hpp>

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mutex>

#include <wire/assert.hpp>
#include <wire/detail/biased_lock.hpp>
#include <wire/this_wire.hpp>
#include "shared_state.hpp"
#include "sync.hpp"
#include "sys.hpp"

namespace wire::detail {

constinit thread_local thread_notes notes{thread_sync::not_seated_yet, 0};

namespace {

constexpr std::uint32_t seats = basic_biased_lock<thread_sync>::seats;

long membarrier(int command) noexcept {
    return sys::call("membarrier", [&] { return ::syscall(SYS_membarrier, command, 0, 0); });
}

// ---- seats

// Which are taken, a bit each.
struct seating {
    std::mutex lock;
    std::uint64_t taken = 0;
    pthread_key_t at_thread_end{};
    const bool has_key = ::pthread_key_create(&at_thread_end, [](void*) { leave(); }) == 0;

    // Whether leave() will be called. Else nobody gets a seat, which would never be free again.
    bool hears_of_the_end() noexcept {
        return has_key && ::pthread_setspecific(at_thread_end, this) == 0;
    }

    static seating& all() noexcept {
        // Never destroyed: threads may end after main().
        alignas(seating) static std::byte memory[sizeof(seating)];
        static seating* const one = ::new (static_cast<void*>(memory)) seating;
        return *one;
    }

    // What the thread has done with its seat comes before what the next one does.
    static void leave() noexcept {
        seating& s = all();
        const std::lock_guard guard(s.lock);
        s.taken &= ~(std::uint64_t{1} << notes.seat);
        notes.seat = seats;
    }
};

void pause_some(unsigned round) noexcept {
    for (unsigned i = 0; i < 1U << round; ++i) {
#ifdef __x86_64__
        __builtin_ia32_pause();
#else
        asm volatile("yield");
#endif
    }
}

constexpr unsigned pausing_rounds = 6;
constexpr std::int64_t patience_ns = 20'000;

}  // namespace

std::uint32_t thread_sync::take_seat() noexcept {
    seating& s = seating::all();
    const std::lock_guard guard(s.lock);
    std::uint32_t free = 0;
    while (free < seats && (s.taken >> free & 1) != 0) ++free;
    if (free < seats && !s.hears_of_the_end()) free = seats;
    notes.seat = free;
    if (free < seats) s.taken |= std::uint64_t{1} << free;
    return free;
}

// ---- fences

bool thread_sync::has_heavy_fence() noexcept {
    static const bool registered = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
    return registered;
}

void thread_sync::heavy_fence() noexcept {
    if (!has_heavy_fence()) return;
    WIRE_ASSERT(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0,
                "membarrier(2) is refused after it was granted");
}

// ---- waiting

std::int64_t thread_sync::real_ns() noexcept {
    return steady_ns();
}

void thread_sync::relax(unsigned round) noexcept {
    if (round < pausing_rounds)
        pause_some(round);
    else
        ::sched_yield();
}

patience::patience(waiting how, deadline until, unsigned first_pause, bool hopeful) noexcept
    : until_(until), how_(how), hopeful_(hopeful || how == waiting::spin), round_(first_pause) {}

bool patience::looks_again() noexcept {
    if (how_ == waiting::park || !hopeful_ || thread_sync::begin_call()) return false;
    if (running_or_none()) yield();
    if (round_ <= pausing_rounds) {
        pause_some(round_++);
        return true;
    }
    const std::int64_t now = thread_sync::real_ns();
    if (end_ == 0) end_ = how_ == waiting::spin ? deadline::never_ns : now + patience_ns;
    if (now >= end_ || thread_sync::is_past(until_)) return false;
    ::sched_yield();
    return true;
}

// ---- places

place::place() noexcept : inbox_node(&deliver) {
    if (running_or_none()) home_ = this_wire::remote();
}

place::place(waiter& delivery) noexcept
    : inbox_node(&deliver), home_(this_wire::remote()), sleeper_(&delivery) {}

void place::reset() noexcept {
    // relaxed: no signal is under way.
    signalled_.store(0, std::memory_order_relaxed);
    delivered_ = false;
}

place::bell place::signal() noexcept {
    bell b;
    b.home_ = home_;
    b.node_ = this;
    b.word_ = &signalled_;
    // [N] release: what the signal is about. Pairs with [N'].
    if (!home_) signalled_.store(1, std::memory_order_release);
    return b;
}

bool place::bell::ring() const noexcept {
    if (home_) return home_.checked().post(*node_);
    real_sync::futex_wake(*word_, 1);
    return true;
}

void place::deliver(inbox_node& self, scheduler*) {
    place& p = static_cast<place&>(self);
    p.delivered_ = true;
    if (p.sleeper_) wake(*p.sleeper_);
}

int place::sleep(deadline until) noexcept {
    return home_ ? park_wire(until) : sleep_thread(until);
}

int place::sleep_thread(deadline until) noexcept {
    // [N'] acquire: as [N]. Pairs with [N].
    while (signalled_.load(std::memory_order_acquire) == 0) {
        if (thread_sync::is_past(until)) return ETIMEDOUT;
        real_sync::futex_wait(signalled_, 0, until);
    }
    return 0;
}

int place::park_wire(deadline until) noexcept {
    if (delivered_) return 0;
    waiter me;
    waiter* const before = std::exchange(sleeper_, &me);
    const int error = park("a pool or bridge", until);
    sleeper_ = before;
    return error;
}

void place::settle() noexcept {
    if (!home_) return;
    const shield until_delivered;
    while (!delivered_) park_wire(never);
}

}  // namespace wire::detail
