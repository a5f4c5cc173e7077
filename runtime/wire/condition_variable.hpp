// Wires that wait until another one has changed something.
#pragma once

#include <mutex>
#include <type_traits>

#include <wire/mutex.hpp>

namespace wire {

/// Wires wait here, without the mutex, until they are notified, and have the mutex again then. They
/// are notified in the order in which they came. There are no spurious wake-ups; yet what was true
/// at the notification need not be when the wire runs, so wait with a predicate. For the wires of
/// one runtime; nothing here allocates.
///
/// A notified wire queues for the mutex as if it had asked in that moment. From then on neither
/// deadline nor cancellation ends its wait.
class WIRE_API condition_variable : detail::immovable {
public:
    /// Asserts that no wire waits to be notified.
    ~condition_variable();

    /// Unlocks, waits to be notified and locks again. Fails with ETIMEDOUT or ECANCELED; also then
    /// the mutex is held on return, and getting it back may take longer than the deadline says.
    /// Such a wire takes no notification from the others. Asserts that `lock` owns a mutex that the
    /// running wire holds.
    result<void> wait(std::unique_lock<mutex>& lock, deadline until = never) noexcept;

    /// Waits until `holds()`, which is called with the mutex held. Succeeds if it does, also when
    /// time is up or the scope was cancelled meanwhile. Fails with ETIMEDOUT or, as every call does
    /// in a scope that is cancelled already, with ECANCELED. The mutex is held on return.
    template <class Predicate>
    requires std::is_invocable_r_v<bool, Predicate&> result<void> wait(
        std::unique_lock<mutex>& lock, Predicate holds, deadline until = never) {
        if (const int error = detail::check_cancelled()) return failure{error};
        while (!holds()) {
            const result<void> notified = wait(lock, until);
            if (!notified) return holds() ? result<void>() : notified;
        }
        return {};
    }

    /// Notifies the wire that has waited longest and has not given up, if there is one. The mutex
    /// need not be held. Never suspends. On the runtime's own thread.
    void notify_one() noexcept;
    /// Notifies all that wait now. As notify_one().
    void notify_all() noexcept;

private:
    struct sleeper;
    bool notify_first() noexcept;

    detail::list<sleeper> waiting_;
};

}  // namespace wire
