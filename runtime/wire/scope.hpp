// Structured concurrency: wires that end before the block that started them does. (The idea is that
// of N. J. Smith, "Notes on structured concurrency", 2018.)
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include <wire/cancel.hpp>
#include <wire/deadline.hpp>
#include <wire/detail/park.hpp>
#include <wire/result.hpp>
#include <wire/spawn.hpp>

namespace wire {

class scope;

namespace detail {

/// What the wires of a scope have in common. In the frame of with_scope().
struct WIRE_API wire_group {
    explicit wire_group(deadline until) noexcept : inside(until) {}

    /// Notes a failure; the first one cancels the others. ECANCELED is none once the scope is
    /// cancelled: it only shows that the wire has listened.
    void fail(int error) noexcept;
    void fail(std::exception_ptr thrown) noexcept;
    /// A wire of it, whose root scope is `root`, begins.
    void begin(cancel_node& root) noexcept;
    void ended() noexcept;
    /// Waits for the last wire, whoever is cancelled.
    void join() noexcept;

    cancel_scope inside;
    std::size_t running = 0;
    fiber* sleeper = nullptr;
    std::exception_ptr first_thrown;
    int first_error = 0;
};

template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<result<T>> = true;

/// A call that tells the group if its result is a failure.
template <class F, class... Args>
auto watched_call(wire_group& group, F&& fn, Args&&... args) {
    auto call = bind_call(std::forward<F>(fn), std::forward<Args>(args)...);
    if constexpr (is_result<call_result<F, Args...>>)
        return [call = std::move(call), &group]() mutable {
            auto outcome = call();
            if (!outcome) group.fail(outcome.code());
            return outcome;
        };
    else
        return call;
}

WIRE_API result<void> run_scope(deadline until, int (*body)(void*, scope&), void* context);

}  // namespace detail

/// The inside of with_scope(). Used by any wire of its runtime, as long as with_scope() lasts.
class scope {
public:
    /// Starts a wire that with_scope() will wait for; otherwise as wire::go(). It is cancelled with
    /// the scope: at its deadline, by cancel(), when another wire of it fails, and when the wire
    /// around it is cancelled. If it returns a failed result<T>, or throws, the scope has failed.
    template <class... Args, detail::callable_with<Args...> F>
    void go(F&& fn, Args&&... args) {
        go(spawn_options{}, std::forward<F>(fn), std::forward<Args>(args)...);
    }
    /// The same with options first.
    template <class... Args, detail::callable_with<Args...> F>
    void go(const spawn_options& options, F&& fn, Args&&... args) {
        go_on(origin(), options,
              detail::watched_call(group_, std::forward<F>(fn), std::forward<Args>(args)...));
    }
    /// As go(), with a handle that joins it. What it throws join() rethrows as well. The handle may
    /// outlive the scope; the wire does not.
    template <class... Args, detail::callable_with<Args...> F>
    [[nodiscard]] auto spawn(F&& fn, Args&&... args) {
        return spawn(spawn_options{}, std::forward<F>(fn), std::forward<Args>(args)...);
    }
    /// The same with options first.
    template <class... Args, detail::callable_with<Args...> F>
    [[nodiscard]] auto spawn(const spawn_options& options, F&& fn, Args&&... args) {
        return spawn_on(
            origin(), options,
            detail::watched_call(group_, std::forward<F>(fn), std::forward<Args>(args)...));
    }

    /// Cancels the body and all wires of the scope; this is no failure. Never suspends.
    void cancel() noexcept { group_.inside.cancel(); }
    /// Whether it is cancelled, for whatever reason.
    [[nodiscard]] bool cancelled() const noexcept { return group_.inside.cancelled(); }

private:
    friend result<void> detail::run_scope(deadline, int (*)(void*, scope&), void*);
    explicit scope(detail::wire_group& group) noexcept : group_(group) {}

    [[nodiscard]] detail::origin origin() const {
        return {detail::running_scheduler("a scope is used outside a wire"), &group_};
    }
    detail::wire_group& group_;
};

/// Runs `body(scope&)` and waits until every wire has ended that it has started in the scope,
/// whatever happens. `body` returns nothing or a result<T>, whose value is dropped.
///
/// Once `until` passes, or the caller is cancelled, body and wires are cancelled. The first failure
/// (a failed result or an exception, of body or of a wire) cancels the rest; the caller itself is
/// not cancelled by it. Scopes nest.
///
/// Returns success, also after scope::cancel(), if nothing failed. Fails with the first failure's
/// error; with ETIMEDOUT if `until` has passed; with ECANCELED if the caller is cancelled. Rethrows
/// the first failure if it is an exception; a later one becomes a diagnostic, a later error is
/// dropped. Call from a wire.
template <class Body>
requires std::is_invocable_v<Body&, scope&> result<void> with_scope(deadline until, Body&& body) {
    using R = std::invoke_result_t<Body&, scope&>;
    static_assert(std::is_void_v<R> || detail::is_result<R>,
                  "the body of a scope returns nothing or a result<T>");
    const auto call = [](void* context, scope& s) {
        auto& f = *static_cast<std::remove_reference_t<Body>*>(context);
        if constexpr (std::is_void_v<R>) {
            f(s);
            return 0;
        } else {
            return f(s).code();
        }
    };
    // Only the static type of the pointer is not const.
    return detail::run_scope(until, call,
                             const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

}  // namespace wire
