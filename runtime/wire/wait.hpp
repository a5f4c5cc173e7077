// Waiting for the first of several things. (libwire's wire_wait and its list, by their ideas.)
//
// A wait is a flag that is triggered once and stays so until it is reset. Those that stand for
// something (a timer, an event, a join, a descriptor) keep a waiter in the queue of it, as a wire
// does that waits there alone; see detail/park.hpp.
#pragma once

#include <cstddef>

#include <wire/config.hpp>
#include <wire/detail/park.hpp>
#include <wire/detail/timer.hpp>
#include <wire/result.hpp>
#include <wire/this_wire.hpp>

namespace wire {

class wait_list;

/// Something to wait for that is triggered once and stays so: a wake() that comes before the wait,
/// or between two waits, is kept until reset().
///
///     idle --wake()--> triggered --reset()--> idle
///     any --stop()--> stopped --reset()--> idle
///
/// In the caller's memory, where it must not move. For the wires of one runtime. Nothing here
/// suspends but await(), and nothing allocates.
class WIRE_API wait : detail::link {
public:
    /// Leaves its list.
    virtual ~wait();

    /// Triggers it, and makes the wire ready that waits for it or for its list. Never runs that.
    /// Returns whether it acted: false if it is triggered already, or stopped.
    bool wake() noexcept;
    /// Makes it idle, also after stop(). If it stands for something that is ready, it is triggered
    /// again at once.
    void reset() noexcept;
    /// From now on neither wake() nor what it stands for triggers it, until reset().
    void stop() noexcept;

    [[nodiscard]] bool triggered() const noexcept { return state_ == state::triggered; }
    [[nodiscard]] bool stopped() const noexcept { return state_ == state::stopped; }

    /// Waits for this one alone; it stays triggered. Fails with ETIMEDOUT or ECANCELED. Asserts
    /// that it is in no list, and not stopped, for nothing would wake it. Call from a wire.
    result<void> await(deadline until = never) noexcept;

protected:
    /// What it stands for has happened. Returns whether that is news, as wake() does.
    bool trigger() noexcept;
    /// To be called by the constructor of what is derived.
    void attach() noexcept;

private:
    // What it stands for, if not for itself, is up to what is derived.

    /// Takes its place in the queue of that, or returns true if that is ready already.
    virtual bool enter() noexcept { return false; }
    /// Leaves the queue, and gives back what it was given and nobody has taken. What is derived
    /// does so in its destructor, too.
    virtual void leave() noexcept {}

    friend class wait_list;
    friend class detail::list<wait>;
    enum class state : unsigned char { idle, triggered, stopped };

    void become(state to) noexcept;

    state state_ = state::idle;
    wait_list* list_ = nullptr;
};

/// Waits in an order: await() returns the first of them that is triggered. In the caller's memory.
///
///     wire::wait stop;
///     wire::timer tick;
///     wire::wait_list either;
///     either.chain(stop);
///     either.chain(tick);
///     tick.arm(within(1s));
///     if (either.await().value() == &stop) return;
class WIRE_API wait_list : detail::immovable {
public:
    /// Lets go of its waits, which stay as they are. Asserts that no wire waits for it.
    ~wait_list();

    /// Appends `w` as it is; it may be triggered already. Asserts that it is in no list.
    void chain(wait& w) noexcept;
    /// Takes `w` out, as it is. Asserts that it is in this list.
    void unchain(wait& w) noexcept;
    [[nodiscard]] bool empty() const noexcept { return waits_.empty(); }

    /// Waits until one is triggered, at once if one is already, and returns the first in the order
    /// of chaining. It stays triggered: reset() or stop() it before the next await().
    ///
    /// Fails with ETIMEDOUT, with ECANCELED, or with EINVAL if the list is empty. One wire at a
    /// time (asserted). Call from a wire.
    result<wait*> await(deadline until = never) noexcept;

private:
    friend class wait;
    void count(wait& w, int change) noexcept;
    wait& first() noexcept;

    detail::list<wait> waits_;
    std::size_t triggered_ = 0;
    wait* latest_ = nullptr;  // the one that was triggered last, if it is still in the list
    detail::fiber* sleeper_ = nullptr;
};

namespace detail {

/// A wait with a place in the queue of what it stands for: a waiter that is made from it.
struct WIRE_API queued_wait : wait, wake_target {
    bool deliver(waiter&) noexcept final { return given = trigger(); }
    [[nodiscard]] bool undecided() const noexcept final { return !triggered() && !stopped(); }

    bool given = false;  // triggered by whoever had something for it
};

/// One whose place is a plain waiter.
struct WIRE_API placed_wait : queued_wait {
    void leave() noexcept override;

    waiter here{*this};  // leaves the queue at its end, too
};

}  // namespace detail

/// Triggered when its time has come. Armed again and again; costs no system call and no descriptor.
class WIRE_API timer : public wait {
public:
    /// Not armed.
    timer() noexcept = default;
    explicit timer(deadline until) noexcept : timer() { arm(until); }
    ~timer() override;

    /// Makes it idle, to be triggered at `until`, whatever it was before; `never` disarms. Call
    /// from a wire.
    void arm(deadline until) noexcept;
    /// It will not be triggered by time; if it is triggered it stays so. (reset() and stop()
    /// disarm, too.)
    void disarm() noexcept;
    [[nodiscard]] bool armed() const noexcept { return alarm_.armed(); }

private:
    struct alarm : detail::timer {
        explicit alarm(wire::timer& t) noexcept;
        wire::timer& owner;
    };
    void leave() noexcept override { disarm(); }
    alarm alarm_{*this};
    detail::scheduler* home_ = nullptr;
};

}  // namespace wire
