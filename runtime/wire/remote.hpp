// A runtime as other threads see it.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include <wire/deadline.hpp>
#include <wire/detail/inbox_node.hpp>
#include <wire/result.hpp>
#include <wire/spawn.hpp>
#include <wire/this_wire.hpp>

namespace wire {

class remote;

namespace this_wire {
/// A remote of the runtime that the running wire belongs to: what it gives to other threads, so
/// that they can start wires here or resume this one. Asserts that a wire runs.
[[nodiscard]] WIRE_API wire::remote remote() noexcept;
}  // namespace this_wire

namespace detail {

struct shared_state;

/// A callable on its way to another thread: the one allocation of a foreign spawn.
struct WIRE_API parcel : inbox_node {
    parcel() noexcept;
    virtual ~parcel() = default;
    virtual void call() = 0;  // on the new wire
};

WIRE_API bool send_parcel(shared_state& to, std::unique_ptr<parcel> p);

class call;
class place;

/// A call, in the frame of its caller: the constructor sends it, waits, and rethrows.
class WIRE_API outgoing_call : detail::immovable {
public:
    outgoing_call(const remote& to, deadline until, const task_shape& shape, void* bound);
    ~outgoing_call();

    [[nodiscard]] int error() const noexcept { return error_; }
    /// Where the result is, if there is no error.
    [[nodiscard]] void* result() const noexcept;

private:
    call* call_ = nullptr;
    int error_ = 0;
};

enum class request : std::uint64_t;

}  // namespace detail

/// A counted reference to a runtime, for other threads: what runtime::remote() and
/// this_wire::remote() return. Copyable.
///
/// Its functions may be called from any thread, also from the runtime's own and from wires; so may
/// one object from several threads at once, as long as none of them assigns to it. They assert that
/// the remote is not empty. Only call() blocks.
///
/// While a remote exists, wires that wait are no deadlock: they may be resumed through it. But it
/// keeps nothing alive. run() returns when the last wire has ended although somebody may still send
/// one; a work_guard keeps it. When the runtime has been destroyed, each function returns false,
/// and call() fails with EPIPE.
class WIRE_API remote {
public:
    /// Empty: it refers to no runtime.
    remote() noexcept = default;
    remote(const remote& other) noexcept;
    remote(remote&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    remote& operator=(remote other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~remote();

    /// Starts a wire, named "remote", that runs `fn(args...)` there. Callable and arguments are
    /// copied or moved now, into one allocated node, and destroyed on that wire.
    ///
    /// Returns true if the runtime has accepted it: the wire runs, what the caller wrote before is
    /// visible to it, and what one thread sends is started in that order. It waits for the next
    /// run() if none is under way. If the runtime is in its destructor, the wire runs cancelled;
    /// only if there is no stack for it, or runtime_options::drain is over, it is destroyed unrun,
    /// with a diagnostic. Returns false if the runtime is gone: nothing runs then, and the callable
    /// is destroyed here. As for wire::go(), an exception that leaves the wire ends the program.
    /// Throws std::bad_alloc.
    template <class F, class... Args>
    bool go(F&& fn, Args&&... args) const {
        auto bound = detail::bind_call(std::forward<F>(fn), std::forward<Args>(args)...);
        struct call_of_fn final : detail::parcel {
            explicit call_of_fn(decltype(bound) b) : fn(std::move(b)) {}
            void call() override { static_cast<void>(fn()); }
            decltype(bound) fn;
        };
        return detail::send_parcel(checked(), std::make_unique<call_of_fn>(std::move(bound)));
    }

    /// Runs `fn(args...)` there, on a new wire named "call", waits for its end and returns what it
    /// returned; rethrows what it threw. A wire waits as in any call that blocks, also if it is one
    /// of that same runtime; a thread without a runtime blocks. Callable and arguments are copied
    /// or moved now into one allocated node, in which the result is made, too. What either side did
    /// before is visible to the other, as if it were one thread.
    ///
    /// Fails with ETIMEDOUT or, in a wire, ECANCELED: the caller gives up. The wire there is
    /// cancelled then, later, as by cancel(); what it returns or throws is dropped. If it has not
    /// begun by then, nothing runs. Fails with EPIPE if the runtime is gone, or ends before the
    /// wire does; a wire that it still finds to run, runs cancelled. If `fn` returns a result<T>
    /// this is a result<result<T>>, as for handle::join().
    ///
    /// It waits for the next run() if none is under way. Asserts that it is not called on a
    /// runtime's thread outside wires: that would wait for itself. Throws std::bad_alloc.
    template <class... Args, detail::callable_with<Args...> F>
    auto call(deadline until, F&& fn, Args&&... args) const
        -> result<detail::call_result<F, Args...>> {
        using R = detail::call_result<F, Args...>;
        auto bound = detail::bind_call(std::forward<F>(fn), std::forward<Args>(args)...);
        const detail::outgoing_call done(*this, until, detail::shape_of<decltype(bound), R>,
                                         &bound);
        if (done.error()) return failure{done.error()};
        if constexpr (std::is_void_v<R>)
            return {};
        else
            return result<R>(std::move(*static_cast<R*>(done.result())));
    }

    /// As wire::resume(), but later, on the wire's own thread; what the caller wrote before is
    /// visible to the wire. Several requests that are on their way at once are one. Returns false
    /// if the runtime is gone; true does not tell whether the wire has ended. Asserts that `wire`
    /// is of this remote's runtime and not empty. Allocates nothing.
    bool resume(const wire_ref& wire) const noexcept;

    /// Cancels the wire, as handle::cancel() does, but later, on the wire's own thread; what the
    /// caller wrote before is visible to the wire when a call of it fails with ECANCELED. A resume
    /// that is on its way at the same time is not lost; it comes first. Otherwise as resume().
    bool cancel(const wire_ref& wire) const noexcept;

    /// As runtime::stop(). Returns false if the runtime is gone.
    bool stop() const noexcept;
    /// As runtime::cancel_all(), but later, on the runtime's own thread. Returns false if the
    /// runtime is gone. Allocates nothing.
    bool cancel_all() const noexcept;

    /// Whether it refers to a runtime, be that gone or not.
    explicit operator bool() const noexcept { return state_ != nullptr; }

private:
    friend class detail::place;
    friend class runtime;
    friend class detail::call;
    friend class detail::outgoing_call;
    friend remote this_wire::remote() noexcept;
    explicit remote(detail::shared_state& state) noexcept;
    bool ask(const wire_ref& of, detail::request what, const char* if_empty,
             const char* if_elsewhere) const noexcept;
    [[nodiscard]] detail::shared_state& checked() const noexcept {
        WIRE_ASSERT(state_, "this remote refers to no runtime: get one from runtime::remote()");
        return *state_;
    }
    detail::shared_state* state_ = nullptr;
};

}  // namespace wire
