// Something that is done by whoever needs it first.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include <wire/detail/park.hpp>
#include <wire/result.hpp>

namespace wire {

/// Lets one wire do something while the others that need it wait, as std::call_once does for
/// threads. For the wires of one runtime; nothing here allocates.
///
///     idle --call()--> running --fn succeeds--> done
///                      | ^ |
///      the next waiter +-+ +--fn fails and nobody waits--> idle
class WIRE_API once : detail::immovable {
public:
    /// Asserts that no wire runs the function or waits for it.
    ~once();

    /// Runs `fn()` unless that has been done; if another wire is at it, waits for that one. `fn`
    /// returns nothing, or a result<>. If it fails, or throws, that is the outcome of this call,
    /// and the wire that has waited longest runs its own `fn`: cancelling the one that runs costs
    /// the others nothing.
    ///
    /// Fails with ECANCELED, or with ETIMEDOUT if the other wire has not ended by `until`; this
    /// wire leaves the queue then, and whether the thing will be done is up to the others. The
    /// deadline is not one for `fn`. Call from a wire, and not from within `fn` (asserted).
    template <std::invocable F>
    result<void> call(deadline until, F&& fn) {
        const int error = begin(until);
        if (error) return failure{error};
        if (done_) return {};
        turn mine{*this};
        if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
            std::forward<F>(fn)();
            mine.succeeded = true;
            return {};
        } else {
            result<void> outcome = std::forward<F>(fn)();
            mine.succeeded = outcome.has_value();
            return outcome;
        }
    }
    template <std::invocable F>
    result<void> call(F&& fn) {
        return call(never, std::forward<F>(fn));
    }

    /// Whether it has been done. Anywhere.
    [[nodiscard]] bool done() const noexcept { return done_; }

private:
    struct turn {
        once& of;
        bool succeeded = false;  // stays so if the function throws
        ~turn() { of.end(succeeded); }
    };
    // Returns an error, or 0: then it is done, or the caller is the one to do it.
    int begin(deadline until) noexcept;
    void end(bool succeeded) noexcept;

    // Invariant: if nobody runs it, nobody waits for it.
    bool done_ = false;
    detail::fiber* runner_ = nullptr;
    detail::list<detail::waiter> waiting_;
};

}  // namespace wire
