// Blocking calls of a wire, made on a helper thread: files, names, and whatever cannot be waited
// for.
#pragma once

#include <cerrno>
#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include <wire/deadline.hpp>
#include <wire/result.hpp>

namespace wire::io {
namespace detail {

/// Runs `call(context)` on a helper thread and waits for its end. Returns 0, or why it has not run:
/// ETIMEDOUT, ECANCELED, ENOMEM. Rethrows what it threw.
WIRE_API int run_on_helper(deadline until, void (*call)(void*), void* context);

template <class F>
int run_on_helper(deadline until, F& body) {
    return run_on_helper(
        until, [](void* f) { (*static_cast<F*>(f))(); }, &body);
}

/// Whether this is what C functions return when they fail.
template <class R>
bool is_failure(const R& value) noexcept {
    if constexpr (std::is_pointer_v<R>)
        return !value || reinterpret_cast<std::intptr_t>(value) == -1;
    else if constexpr (std::is_integral_v<R> && !std::is_same_v<R, bool>)
        return value == static_cast<R>(-1);
    else
        return false;
}

// C's integers convert as if the caller had written the call: 1 may be a size_t.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"

/// Calls a C function until no signal interrupts it.
template <class R, class F, class... Args>
result<R> call_with_errno(F& fn, Args&... args) {
    for (;;) {
        errno = 0;
        if constexpr (std::is_void_v<R>) {
            fn(args...);
            return {};
        } else {
            R value = fn(args...);
            if (errno == 0 || !is_failure(value)) return value;
            if (errno != EINTR) return failure{errno};
        }
    }
}

#pragma GCC diagnostic pop

}  // namespace detail

/// Runs `fn(args...)` on a helper thread, waits for its end and returns what it returned; rethrows
/// what it threw. Other wires run meanwhile. Callable and arguments stay where they are: nothing is
/// copied or allocated.
///
/// Calls begin in the order in which they were made. The reactor has few helpers (see
/// reactor_options::helpers): what blocks for long, or waits for another offloaded call, keeps the
/// others from theirs; a descriptor that can be polled is better waited for.
///
/// Fails with ETIMEDOUT, ECANCELED, or ENOMEM (no thread can be started): `fn` has not run then. A
/// call that has begun is waited for, whatever the deadline or a cancellation says, and its outcome
/// counts; so `fn` may use the frame of its caller. If `fn` returns a result<T> this is a
/// result<result<T>>, as for handle::join().
///
/// `fn` runs outside wires: nothing in it may block as a wire does. Helpers block all signals but
/// those of their own faults. Call from a wire of a runtime with a reactor.
template <class F, class... Args>
requires std::is_invocable_v<F, Args...>
auto offload(deadline until, F&& fn, Args&&... args) -> result<std::invoke_result_t<F, Args...>> {
    using R = std::invoke_result_t<F, Args...>;
    auto invoke = [&]() -> R {
        return std::invoke(std::forward<F>(fn), std::forward<Args>(args)...);
    };
    if constexpr (std::is_void_v<R>) {
        return to_result(detail::run_on_helper(until, invoke));
    } else {
        std::optional<R> value;
        auto body = [&] { value.emplace(invoke()); };
        if (const int error = detail::run_on_helper(until, body)) return failure{error};
        return result<R>(*std::move(value));
    }
}
/// The same without a deadline.
template <class F, class... Args>
requires std::is_invocable_v<F, Args...>
auto offload(F&& fn, Args&&... args) -> result<std::invoke_result_t<F, Args...>> {
    return offload(never, std::forward<F>(fn), std::forward<Args>(args)...);
}

/// Makes a system call, or calls a C function, on a helper thread: `call(::chown, path, uid, gid)`.
///
/// Returns what it returned, or the errno if that is -1, a null pointer or MAP_FAILED and errno was
/// set: the end of a directory in readdir() is a value. What returns an error number itself, as
/// posix_fadvise() does, returns it as its value. Repeated after EINTR. Otherwise as offload(),
/// whose errors it has as well; EAGAIN may come from the function.
template <class F, class... Args>
requires std::is_invocable_v<F&, Args&...>
auto call(deadline until, F&& fn, Args&&... args) -> result<std::invoke_result_t<F&, Args&...>> {
    using R = std::invoke_result_t<F&, Args&...>;
    auto made = offload(until, [&] { return detail::call_with_errno<R>(fn, args...); });
    if (!made) return failure{made.code()};
    return *std::move(made);
}
/// The same without a deadline.
template <class F, class... Args>
requires std::is_invocable_v<F&, Args&...>
auto call(F&& fn, Args&&... args) -> result<std::invoke_result_t<F&, Args&...>> {
    return call(never, std::forward<F>(fn), std::forward<Args>(args)...);
}

}  // namespace wire::io
