// What pools and bridges take from the system, as a policy: the tests put an explorer of
// interleavings in its place.
#pragma once

#include <atomic>
#include <cstdint>

#include <wire/config.hpp>
#include <wire/deadline.hpp>
#include <wire/detail/inbox_node.hpp>
#include <wire/detail/list.hpp>
#include <wire/detail/park.hpp>
#include <wire/remote.hpp>
#include <wire/this_wire.hpp>
#include <wire/waiting.hpp>

namespace wire::detail {

/// What a thread knows of itself.
struct thread_notes {
    std::uint32_t seat;
    std::uint32_t calls;  // of its wires
};
extern WIRE_API constinit thread_local thread_notes notes [[gnu::tls_model("initial-exec")]];

/// The place in basic_sleepers of a wire or of a plain thread, in the frame of that.
///
/// Between signal() and its delivery to the wire's own thread, as a node of that runtime's inbox,
/// the place must stay: settle() waits for that.
class WIRE_API place : public link, inbox_node {
public:
    /// Of the running wire; of the thread, if none runs.
    place() noexcept;
    /// Of the running wire: `delivery` is woken on its thread.
    explicit place(waiter& delivery) noexcept;

    /// What signals it, without a lock: the place may be gone by then, if it is a thread's.
    class WIRE_API bell {
    public:
        /// Returns false if the runtime of the place is gone.
        bool ring() const noexcept;

    private:
        friend class place;
        remote home_;
        inbox_node* node_ = nullptr;
        std::atomic<std::uint32_t>* word_ = nullptr;
    };

    // With the lock of the queue.
    void reset() noexcept;
    [[nodiscard]] bell signal() noexcept;

    // Its own thread.

    /// Sleeps until it is signalled. Fails with ETIMEDOUT or ECANCELED.
    int sleep(deadline until) noexcept;
    /// After a signal: nobody else refers to it any more.
    void settle() noexcept;

private:
    static void deliver(inbox_node& self, scheduler* on);
    int sleep_thread(deadline until) noexcept;
    int park_wire(deadline until) noexcept;

    std::atomic<std::uint32_t> signalled_{0};
    remote home_;  // the wire's runtime; empty: a thread
    waiter* sleeper_ = nullptr;
    bool delivered_ = false;
};

/// For how long one looks again and again before it sleeps.
class WIRE_API patience {
public:
    /// Its first pause is of 2^`first_pause` spins. Not `hopeful`: there is none.
    patience(waiting how, deadline until, unsigned first_pause, bool hopeful) noexcept;
    /// Lets others run, or time pass, and returns whether to look again; false: sleep.
    bool looks_again() noexcept;

private:
    const deadline until_;
    const waiting how_;
    const bool hopeful_;
    unsigned round_;
    std::int64_t end_ = 0;
};

struct WIRE_API thread_sync {
    template <class T>
    using atomic = std::atomic<T>;
    using place = detail::place;
    using patience = detail::patience;

    /// How often in a row a thread takes a lock until the lock is biased to it.
    static constexpr std::uint32_t uses_until_bias = 256;

    /// Whether there is a heavy_fence(): membarrier(2). Always the same.
    static bool has_heavy_fence() noexcept;
    /// The side of a pair of fences that runs often: keeps the compiler from reordering.
    static void light_fence() noexcept {
        // seq_cst: for the compiler only. Pairs with heavy_fence().
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    /// The other side: a system call of 0.4 to 9 microseconds.
    static void heavy_fence() noexcept;

    static bool is_past(deadline until) noexcept { return detail::is_past(until); }
    /// Of a clock that passes also while a runtime's stands still.
    static std::int64_t real_ns() noexcept;

    /// A small number of this thread's own, also later of another's after it has ended; of more
    /// threads than have seats at once, a number that is none.
    static std::uint32_t seat() noexcept {
        const std::uint32_t mine = notes.seat;
        return mine != not_seated_yet ? mine : take_seat();
    }
    static constexpr std::uint32_t not_seated_yet = 0xFFFF'FFFE;

    /// Waits for another thread that has only nanoseconds to go, unless it is preempted; the
    /// `round`th time in a row.
    static void relax(unsigned round) noexcept;

    /// A call begins that may block: ECANCELED if the running wire is cancelled, else 0. A wire
    /// whose calls never have to wait lets others run now and then.
    [[gnu::always_inline]] static int begin_call() noexcept {
        fiber* const wire = running_or_none();
        if (!wire) return 0;
        if (++notes.calls % calls_at_a_stretch == 0) yield();
        return front_of(*wire).scope->cancelled ? ECANCELED : 0;
    }

private:
    static constexpr std::uint32_t calls_at_a_stretch = 128;

    static std::uint32_t take_seat() noexcept;
};

/// For what works on the exchange of a pool or bridge.
struct exchange_access {
    template <class Of>
    static auto& of(Of& o) noexcept {
        return o.exchange_;
    }
};

}  // namespace wire::detail
