// The one blocking primitive. Everything that blocks a wire is built on it.
//
// A wire that must wait puts waiter nodes, which live in its frame, into the queues of the objects
// it waits for, and parks. Whoever has something for it wakes one of its nodes. A park ends once:
// by the first wake(), by its deadline, or by the cancellation of its scope; whoever comes later is
// told so and must look for another waiter. Nothing here is shared between threads: other threads
// reach a wire through its runtime's inbox.
#pragma once

#include <cerrno>

#include <wire/assert.hpp>
#include <wire/cancel.hpp>
#include <wire/deadline.hpp>
#include <wire/detail/list.hpp>
#include <wire/detail/running.hpp>

namespace wire::detail {

struct fiber;
struct waiter;

/// Where the control block of a wire begins: what public headers know of it.
struct fiber_front {
    cancel_node* scope;  // the innermost
};
inline const fiber_front& front_of(const fiber& f) noexcept {
    return reinterpret_cast<const fiber_front&>(f);
}

/// The wire that runs on this thread; asserts that there is one.
WIRE_API fiber& running_fiber(const char* sentence) noexcept;

/// Who has a place in a queue that is not simply a parked wire: a wait, a branch of a select.
struct WIRE_API wake_target {
    /// `w`, one of its places, is woken. As wake().
    virtual bool deliver(waiter& w) noexcept = 0;
    /// Whether wake() would act. As still_waits().
    [[nodiscard]] virtual bool undecided() const noexcept = 0;

protected:
    ~wake_target() = default;
};

/// The place of the running wire, or of a target, in the queue of an object. Leaves the queue when
/// it goes out of scope.
struct waiter : link {
    waiter() noexcept : waiter(running_fiber("only a wire can wait here: call this from a wire")) {}
    explicit waiter(fiber& running) noexcept : who(&running), target(nullptr) {}
    explicit waiter(wake_target& t) noexcept : who(nullptr), target(&t) {}
    ~waiter() { leave(); }
    /// Leaves its queue, if it is in one.
    void leave() noexcept {
        if (linked()) unlink();
    }
    fiber* const who;
    wake_target* const target;  // if `who` is nullptr
};

/// Suspends the running wire until wake(), `until` or cancellation. `what` says in reports what it
/// waits for; it must be a literal.
///
/// Returns 0 if it was woken, ETIMEDOUT, or ECANCELED (also at once, if the scope is cancelled
/// already). The caller's waiters are still linked unless whoever woke it took them out.
WIRE_API int park(const char* what, deadline until) noexcept;

/// The same for `self`, the running wire, which about_to_block() has just returned.
WIRE_API int park(fiber& self, const char* what, deadline until) noexcept;

/// The same in a queue of plain waiters, which it has left on return.
WIRE_API int park_in(list<waiter>& queue, const char* what, deadline until) noexcept;

/// Ends the park of `w`'s wire and makes it ready, or tells `w`'s target. Returns false if that
/// park is over, or that target has no use for it: then nothing may be handed to it. Never runs the
/// wire. Must be called on the wire's own thread.
WIRE_API bool wake(waiter& w) noexcept;

/// Whether wake() would act: its park, or what its target waits for, is not over.
WIRE_API bool still_waits(const waiter& w) noexcept;

/// From now on only wake() ends the park of `w`'s wire, which waits for `what`: it has been given
/// something that it does not hold yet. Returns false if that park is over. Never for a wait.
bool shield_park(waiter& w, const char* what) noexcept;

/// Wakes the longest-waiting wire of a queue whose park is not over; nullptr if there is none. The
/// waiter is out of the queue then.
template <class Waiter>
Waiter* wake_first(list<Waiter>& queue) noexcept {
    while (!queue.empty()) {
        Waiter& w = queue.front();
        w.unlink();
        if (wake(w)) return &w;
    }
    return nullptr;
}

/// Wakes every wire of a queue.
template <class Waiter>
void wake_all(list<Waiter>& queue) noexcept {
    while (wake_first(queue)) {
    }
}

/// The running wire; nullptr if its innermost scope is cancelled. Each call that may block asks on
/// entry, also when it could do without blocking. Asserts that a wire runs.
inline fiber* about_to_block() noexcept {
    fiber* const running = running_or_none();
    WIRE_ASSERT(running, "this call may block: call it from a wire");
    return front_of(*running).scope->cancelled ? nullptr : running;
}

/// ECANCELED if about_to_block() says so, else 0.
inline int check_cancelled() noexcept {
    return about_to_block() ? 0 : ECANCELED;
}

}  // namespace wire::detail
