// Starting wires: go, spawn, and the handle that waits for one.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#include <wire/deadline.hpp>
#include <wire/result.hpp>
#include <wire/this_wire.hpp>

namespace wire {

/// How a wire is started.
struct spawn_options {
    std::string_view name = {};  ///< copied; the first 31 characters count
    /// Bytes of its stack, at most 1 GiB (asserted); 0: the runtime's default. Rounded up to a
    /// power of two of 16 KiB at least. Each such size is a class of its own, whose stacks are
    /// mapped when first needed, with the guard of runtime_options::stack, and used again by later
    /// wires of that class. What lies on a stack from the first is part of it: about 500 bytes of
    /// the runtime's, the callable and its arguments.
    ///
    /// In a runtime whose stacks lie in the caller's memory all have one size: whoever asks for
    /// more gets std::system_error ENOMEM.
    std::size_t stack = 0;
};

namespace detail {

struct bounded_pool;
struct fiber;
class scheduler;
struct wire_group;

/// Where a wire is started: on a runtime; in a scope of it, or in a wire_pool with a permit of
/// that, or in neither.
struct origin {
    scheduler& where;
    wire_group* group = nullptr;
    bounded_pool* pool = nullptr;
};

/// What the runtime needs to know of a callable that will live at the top of its wire's stack.
struct task_shape {
    std::size_t size;
    std::size_t alignment;
    void (*construct)(void* task, void* from);
    void (*run)(void* task);                     // on the wire; destroys the callable, may throw
    void (*drop_callable)(void* task) noexcept;  // destroys one that was not run
    void* (*result)(void* task) noexcept;        // where the result is, once it has run
    void (*drop_result)(void* task) noexcept;    // destroys it; may be nullptr
};

/// A callable with its arguments, and later its result.
template <class Bound, class R>
class task {
public:
    explicit task(Bound&& bound) : bound_(std::move(bound)) {}
    ~task() {}

    static void construct(void* at, void* from) {
        ::new (at) task(std::move(*static_cast<Bound*>(from)));
    }

    static void run(void* at) {
        task& self = *static_cast<task*>(at);
        struct destroy_callable {
            Bound* bound;
            ~destroy_callable() { std::destroy_at(bound); }
        } const guard{&self.bound_};
        // The result is made beside the callable, never over it.
        if constexpr (std::is_void_v<R>)
            self.bound_();
        else
            ::new (static_cast<void*>(&self.value_)) R(self.bound_());
    }

    static void drop_callable(void* at) noexcept {
        std::destroy_at(&static_cast<task*>(at)->bound_);
    }
    static void* result(void* at) noexcept { return &static_cast<task*>(at)->value_; }
    static void drop_result(void* at) noexcept {
        if constexpr (!std::is_void_v<R>) std::destroy_at(&static_cast<task*>(at)->value_);
    }

private:
    struct nothing {};
    union {
        Bound bound_;
    };
    union {
        std::conditional_t<std::is_void_v<R>, nothing, R> value_;
    };
};

template <class Bound, class R>
inline constexpr task_shape shape_of{sizeof(task<Bound, R>),
                                     alignof(task<Bound, R>),
                                     &task<Bound, R>::construct,
                                     &task<Bound, R>::run,
                                     &task<Bound, R>::drop_callable,
                                     &task<Bound, R>::result,
                                     std::is_trivially_destructible_v<R> || std::is_void_v<R>
                                         ? nullptr
                                         : &task<Bound, R>::drop_result};

/// Whether a wire can run `fn(args...)`, with copies of its own.
template <class F, class... Args>
concept callable_with = std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>;

template <class F, class... Args>
using call_result = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;

/// `fn(args...)` with copies of its own, to be called once.
template <class F, class... Args>
auto bind_call(F&& f, Args&&... args) {
    return [fn = std::forward<F>(f),
            ... own = std::forward<Args>(args)]() mutable -> call_result<F, Args...> {
        return std::invoke(std::move(fn), std::move(own)...);
    };
}

/// The scheduler of the running wire; asserts that there is one.
WIRE_API scheduler& running_scheduler(const char* sentence) noexcept;

/// Starts a wire; throws std::system_error if there is no stack for it. `shape` must outlive the
/// wire.
WIRE_API fiber& start(const origin& where, const spawn_options& options, const task_shape& shape,
                      void* from, bool joinable);

/// Returns 0, ETIMEDOUT or ECANCELED. If the wire threw: reclaims it, clears `f` and rethrows.
WIRE_API int join(fiber*& f, deadline until);
WIRE_API bool has_finished(const fiber& f) noexcept;
WIRE_API void* result_of(fiber& f) noexcept;
WIRE_API void cancel_wire(fiber& f) noexcept;
WIRE_API void reclaim(fiber& f) noexcept;   // after join: its stack may be used again
WIRE_API void let_go(fiber& f) noexcept;    // detach
WIRE_API void end_wire(fiber& f) noexcept;  // a handle dies: cancel, join shielded, reclaim

template <class R, class Bound>
fiber& start_task(const origin& where, const spawn_options& options, bool joinable, Bound&& bound) {
    return start(where, options, shape_of<Bound, R>, &bound, joinable);
}

}  // namespace detail

/// The owner of a started wire, which can wait for its result. Movable. It is used on the thread of
/// its wire's runtime only, by whichever wire has it, and must be gone before the runtime is
/// (asserted).
template <class R>
class [[nodiscard]] handle {
public:
    handle() noexcept = default;
    handle(handle&& other) noexcept : fiber_(std::exchange(other.fiber_, nullptr)) {}
    handle& operator=(handle&& other) noexcept {
        handle old(std::move(*this));
        fiber_ = std::exchange(other.fiber_, nullptr);
        return *this;
    }
    /// Cancels an unfinished wire and waits for its end, shielded from cancellation; outside a wire
    /// asserts that it has finished. What it threw, if nobody has joined it, becomes a diagnostic.
    ~handle() {
        if (fiber_) detail::end_wire(*fiber_);
    }

    /// Whether this is a handle of a wire that has been neither joined nor detached.
    [[nodiscard]] bool joinable() const noexcept { return fiber_ != nullptr; }
    /// Whether the wire has ended: join() will not block.
    [[nodiscard]] bool finished() const noexcept { return detail::has_finished(checked()); }

    /// Waits until the wire ends and returns what it returned; rethrows what it threw. Fails with
    /// ETIMEDOUT or ECANCELED and stays joinable then; otherwise the handle is empty afterwards. A
    /// wire that has ended can be joined from anywhere on its thread; waiting needs a wire.
    ///
    /// A wire that returns a result<T> is joined to a result<result<T>>: the outer one says whether
    /// the join came to an end, the inner one is what the wire returned.
    result<R> join(deadline until = never) {
        checked();
        if (const int error = detail::join(fiber_, until)) return failure{error};
        struct reclaim_later {
            detail::fiber& f;
            ~reclaim_later() { detail::reclaim(f); }  // also destroys the value that is left
        } const guard{*std::exchange(fiber_, nullptr)};
        if constexpr (std::is_void_v<R>)
            return {};
        else
            return result<R>(std::move(*static_cast<R*>(detail::result_of(guard.f))));
    }

    /// Cancels the wire: its blocking calls fail with ECANCELED from now on, except behind a
    /// shield. A wire that has not run yet runs all the same. Never suspends.
    void cancel() noexcept { detail::cancel_wire(checked()); }
    /// Gives the wire up: it runs on, its result is dropped, its exception ends the program.
    void detach() noexcept {
        detail::fiber& f = checked();
        fiber_ = nullptr;
        detail::let_go(f);
    }
    /// A reference for resume(), which stays safe after the wire has ended.
    [[nodiscard]] wire_ref ref() const noexcept { return detail::ref_of(checked()); }

private:
    template <class F, class... Args>
    friend auto spawn_on(const detail::origin&, const spawn_options&, F&&, Args&&...);
    explicit handle(detail::fiber& f) noexcept : fiber_(&f) {}

    detail::fiber& checked() const noexcept {
        WIRE_ASSERT(fiber_, "this handle has no wire: it was joined, detached or moved from");
        return *fiber_;
    }

    detail::fiber* fiber_ = nullptr;
};

/// Starts `fn(args...)` at `where`. For members of runtime and scope; use spawn().
template <class F, class... Args>
auto spawn_on(const detail::origin& where, const spawn_options& options, F&& fn, Args&&... args) {
    using R = detail::call_result<F, Args...>;
    static_assert(!std::is_reference_v<R>,
                  "return a pointer: the result outlives the wire's frame");
    return handle<R>(detail::start_task<R>(
        where, options, true, detail::bind_call(std::forward<F>(fn), std::forward<Args>(args)...)));
}

/// Starts `fn(args...)` at `where`. For members of runtime and scope; use go().
template <class F, class... Args>
void go_on(const detail::origin& where, const spawn_options& options, F&& fn, Args&&... args) {
    detail::start_task<detail::call_result<F, Args...>>(
        where, options, false, detail::bind_call(std::forward<F>(fn), std::forward<Args>(args)...));
}

/// Starts a wire that runs `fn(args...)` and forgets it. The new wire becomes ready last; the
/// caller runs on. The callable and copies of the arguments live on the wire's own stack: nothing
/// is allocated while the runtime has a free stack. An exception that leaves the wire ends the
/// program with the wire's name. Throws std::system_error if there is no memory for a stack. Call
/// from a wire; from elsewhere use runtime::go or remote::go.
template <class... Args, detail::callable_with<Args...> F>
void go(F&& fn, Args&&... args) {
    go_on({detail::running_scheduler("go() outside a wire: use runtime::go or remote::go")}, {},
          std::forward<F>(fn), std::forward<Args>(args)...);
}
/// The same with options first: `go({.name = "accept"}, fn)`.
template <class... Args, detail::callable_with<Args...> F>
void go(const spawn_options& options, F&& fn, Args&&... args) {
    go_on({detail::running_scheduler("go() outside a wire: use runtime::go or remote::go")},
          options, std::forward<F>(fn), std::forward<Args>(args)...);
}

/// Starts a wire that runs `fn(args...)`, as go() does, and returns the handle that joins it.
template <class... Args, detail::callable_with<Args...> F>
[[nodiscard]] auto spawn(F&& fn, Args&&... args) {
    return spawn_on({detail::running_scheduler("spawn() outside a wire: use runtime::spawn")}, {},
                    std::forward<F>(fn), std::forward<Args>(args)...);
}
/// The same with options first.
template <class... Args, detail::callable_with<Args...> F>
[[nodiscard]] auto spawn(const spawn_options& options, F&& fn, Args&&... args) {
    return spawn_on({detail::running_scheduler("spawn() outside a wire: use runtime::spawn")},
                    options, std::forward<F>(fn), std::forward<Args>(args)...);
}

}  // namespace wire
