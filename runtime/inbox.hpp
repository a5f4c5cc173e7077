// The inbox: through it other threads hand work to a runtime and wake it.
//
// A list that any thread pushes onto and only the owner empties, whose head word also says whether
// the owner sleeps. Source: R. K. Treiber, "Coping with parallelism", 1986 (the stack; without pop
// of single elements there is no ABA).
//
//     head_ == null      nothing there, the owner is awake
//     head_ == asleep    nothing there, the owner sleeps or is about to: whoever pushes wakes it
//     head_ == closed    the runtime is gone, for ever
//     head_ == node      newest first
//
// Wake-up protocol: one word, so there is no order between two to get wrong.
//
//   1. The owner, finding nothing to do, changes null -> asleep. If that fails something has been
//      pushed: it does not sleep.
//   2. A producer changes asleep -> node, and by that owes the owner one wake-up: exactly one
//      producer does, however many push.
//   3. The owner, woken for whatever reason, takes the head. If it still reads asleep, nobody owes
//      a wake-up. If not, one is owed: it counts that (owed_), and the producer counts it when its
//      notify() has returned (paid_). What notify() touches is destroyed when the counts agree.
//
// End: the owner opens what is there until it can change null -> closed. What was accepted before
// has been opened then, and what comes later is refused; nothing falls between.
//
// Why a compare-exchange loop and not one exchange: with an exchange the list is broken until the
// producer has written its link. A producer that is preempted there would hold up everybody.
#pragma once

#include <atomic>
#include <cstdint>

#include <wire/config.hpp>
#include <wire/detail/inbox_node.hpp>

namespace wire::detail {

template <class Sync>
class basic_inbox : immovable {
public:
    enum class push_result { pushed, owner_sleeps, closed };

    /// Adds `node`. `owner_sleeps`: the caller must wake the owner and then call paid(). `closed`:
    /// the node stays the caller's. Any thread; lock-free.
    push_result push(inbox_node& node) noexcept {
        // relaxed: only what the compare-exchange expects; that one orders.
        inbox_node* old = head_.load(std::memory_order_relaxed);
        do {
            if (old == closed()) return push_result::closed;
            node.next = old == asleep() ? nullptr : old;
            // [P] acq_rel: the node and what it carries are visible to the owner, pairs with [T];
            // and whom to notify is visible to us, pairs with [Z].
        } while (!head_.compare_exchange_weak(old, &node, std::memory_order_acq_rel,
                                              std::memory_order_relaxed));
        return old == asleep() ? push_result::owner_sleeps : push_result::pushed;
    }

    /// The wake-up that push() asked for has been given; the caller touches the owner no more.
    void paid() noexcept {
        // [W] release: notify() is over. Pairs with [S].
        paid_.fetch_add(1, std::memory_order_release);
    }

    /// Whether there is something to take. Owner only; one load.
    [[nodiscard]] bool any() const noexcept {
        // relaxed: a hint. take_all() orders, and try_sleep() misses nothing.
        return head_.load(std::memory_order_relaxed) != nullptr;
    }

    /// Whether it has been closed, which is for ever. Any thread.
    [[nodiscard]] bool is_closed() const noexcept {
        // relaxed: nothing is read because of it.
        return head_.load(std::memory_order_relaxed) == closed();
    }

    /// Takes everything, oldest first; nullptr if nothing. Owner only.
    inbox_node* take_all() noexcept {
        // [T] acquire: sees what the producers wrote before [P]. Pairs with [P].
        return reversed(head_.exchange(nullptr, std::memory_order_acquire));
    }

    /// Announces that the owner goes to sleep; false if something is there. Owner only.
    bool try_sleep() noexcept {
        inbox_node* expected = nullptr;
        // [Z] release: whom to notify is visible to the producer that finds us asleep.
        // Pairs with [P].
        return head_.compare_exchange_strong(expected, asleep(), std::memory_order_release,
                                             std::memory_order_relaxed);
    }

    /// After a successful try_sleep() and the sleep: takes everything, oldest first. Owner only.
    inbox_node* wake_up() noexcept {
        // [T'] acquire: as [T]. Pairs with [P].
        inbox_node* const taken = head_.exchange(nullptr, std::memory_order_acquire);
        if (taken == asleep()) return nullptr;
        ++owed_;
        return reversed(taken);
    }

    /// Waits until every owed wake-up has been given: nobody is inside notify() any more. Owner
    /// only, while awake.
    void settle() noexcept {
        // [S] acquire: whatever notify() did is over. Pairs with [W].
        while (paid_.load(std::memory_order_acquire) != owed_) Sync::pause();
    }

    /// Refuses all further pushes if nothing is there; returns false, and stays open, if something
    /// is. So nothing that was accepted is left behind. Owner only, while awake.
    bool try_close() noexcept {
        inbox_node* expected = nullptr;
        // relaxed: it takes nothing, and nothing is read because of `closed`.
        return head_.compare_exchange_strong(expected, closed(), std::memory_order_relaxed,
                                             std::memory_order_relaxed);
    }

    /// Refuses all further pushes; returns what was there, oldest first. Once, by the owner, while
    /// it is awake.
    inbox_node* close() noexcept {
        // [C] acquire: as [T]. Pairs with [P].
        return reversed(head_.exchange(closed(), std::memory_order_acquire));
    }

private:
    static inbox_node* asleep() noexcept { return reinterpret_cast<inbox_node*>(1); }
    static inbox_node* closed() noexcept { return reinterpret_cast<inbox_node*>(2); }

    static inbox_node* reversed(inbox_node* newest) noexcept {
        inbox_node* oldest = nullptr;
        while (newest) {
            inbox_node* const older = newest->next;
            newest->next = oldest;
            oldest = newest;
            newest = older;
        }
        return oldest;
    }

    typename Sync::template atomic<inbox_node*> head_{nullptr};
    typename Sync::template atomic<std::uint64_t> paid_{0};
    std::uint64_t owed_ = 0;  // the owner's
};

/// What one thread asks of a wire of another, or of the runtime itself.
enum class request : std::uint64_t {
    wake = 1,    // resume the wire; the runtime: look around
    cancel = 2,  // cancel the wire; the runtime: all of them
    dump = 4,    // the runtime: print the wires
};

/// Requests to the wire with a certain id, which any number of threads may make at once: they share
/// one node and one word, the id with a bit for each kind of request. Ids grow, so a request to a
/// newer wire replaces those to an older, which has ended.
template <class Sync>
class basic_request : public inbox_node {
public:
    using inbox_node::inbox_node;

    /// What was asked for until it was taken.
    struct asked {
        std::uint64_t id;  // 0: nothing
        std::uint64_t kinds;
        [[nodiscard]] bool has(request what) const noexcept {
            return (kinds & static_cast<std::uint64_t>(what)) != 0;
        }
    };

    /// Asks it of `id`. True: the caller must push this node; false: it is on its way. Any thread;
    /// lock-free, also in a signal handler.
    bool ask(std::uint64_t id, request what) noexcept {
        // relaxed: only what the compare-exchange expects, or the id of a newer wire.
        std::uint64_t old = wanted_.load(std::memory_order_relaxed);
        std::uint64_t all = 0;
        do {
            if (old >> kind_bits > id) return false;
            all = (id << kind_bits) | static_cast<std::uint64_t>(what);
            if (old >> kind_bits == id) all |= old;
            // [A] acq_rel: what the caller did before is visible to the wire that is asked, also if
            // another thread pushes the node; and the owner is done with the node. Pairs with [G].
        } while (!wanted_.compare_exchange_weak(old, all, std::memory_order_acq_rel,
                                                std::memory_order_relaxed));
        return old == 0;
    }

    /// What was asked for; the node may be pushed again from here on. Owner only.
    asked take() noexcept {
        // [G] acq_rel: as said at [A]. Pairs with [A].
        const std::uint64_t all = wanted_.exchange(0, std::memory_order_acq_rel);
        return {all >> kind_bits, all & ((1U << kind_bits) - 1)};
    }

private:
    static constexpr int kind_bits = 3;
    typename Sync::template atomic<std::uint64_t> wanted_{0};
};

/// The wish that the owner stops. Whoever raises it also makes the owner look.
template <class Sync>
class basic_stop {
public:
    /// Any thread.
    void raise() noexcept {
        // [Q] release: what the caller did before is visible when run() returns. Pairs with [Q'].
        raised_.store(true, std::memory_order_release);
    }
    /// Whether it was raised since it was taken last. Owner only.
    bool take() noexcept {
        // [Q'] acquire: as [Q]. Pairs with [Q].
        return raised_.exchange(false, std::memory_order_acquire);
    }

private:
    typename Sync::template atomic<bool> raised_{false};
};

}  // namespace wire::detail
