// A bounded number of wires. (libwire's wire_pool, by its idea.)
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

#include <wire/deadline.hpp>
#include <wire/result.hpp>
#include <wire/spawn.hpp>
#include <wire/stack.hpp>

namespace wire {

class runtime;

/// What the wires of a pool are made of.
struct wire_pool_options {
    std::string_view name = {};  ///< of each of them; copied, the first 31 characters count
    stack_options stack = {};    ///< of each of them, exactly; `memory` may be the caller's
};

/// At most so many wires at once, on stacks of their own.
///
///     wire::wire_pool workers(100, {.name = "worker"});
///     while (auto peer = listener.accept())
///         if (!workers.go(wire::within(1s), serve, *std::move(peer))) return;
///
/// A place becomes free when a wire's stack does: when it ends; if it has a handle, when that has
/// joined it or is gone. Those who wait for a place get it in the order of asking, and nobody who
/// comes later gets one before them. With stack.memory for as many wires no stack is ever missing;
/// without, stacks are mapped when they are first needed, and all go with the pool.
///
/// For the wires of one runtime, which must outlive the pool (asserted). Allocates when it is made
/// and when more wires live at once than ever before.
class WIRE_API wire_pool : detail::immovable {
public:
    /// Of the runtime whose wire makes it. Asserts that a wire runs, that wires_max > 0 and that
    /// the stacks have a size and guard that are possible. Throws std::bad_alloc.
    explicit wire_pool(std::size_t wires_max, const wire_pool_options& options = {});
    /// Of `rt`: on its own thread, also before run() and outside wires.
    wire_pool(runtime& rt, std::size_t wires_max, const wire_pool_options& options = {});
    /// Cancels its wires and waits, shielded from cancellation, until all have ended and their
    /// handles are gone: a handle that the caller itself still has is a deadlock. Who waits for a
    /// place gets ECANCELED; so does who asks for one while the destructor waits. Outside a wire
    /// asserts that there is nothing to wait for. Not from a wire of the pool (asserted).
    ~wire_pool();

    /// Starts a wire as wire::spawn() does if a place is free: else fails with EAGAIN, and has not
    /// touched `fn` and `args`. Never suspends. Throws std::system_error if there is no memory for
    /// a stack. On the runtime's own thread.
    template <class... Args, detail::callable_with<Args...> F>
    [[nodiscard]] auto try_spawn(F&& fn, Args&&... args) {
        return spawn_now(take_place(nullptr), std::forward<F>(fn), std::forward<Args>(args)...);
    }
    /// The same, waiting for a place. Fails with ETIMEDOUT or ECANCELED, and has not touched `fn`
    /// and `args` then. Call from a wire.
    template <class... Args, detail::callable_with<Args...> F>
    [[nodiscard]] auto spawn(deadline until, F&& fn, Args&&... args) {
        return spawn_now(take_place(&until), std::forward<F>(fn), std::forward<Args>(args)...);
    }

    /// Starts a wire as wire::go() does, and otherwise as try_spawn().
    template <class... Args, detail::callable_with<Args...> F>
    result<void> try_go(F&& fn, Args&&... args) {
        return go_now(take_place(nullptr), std::forward<F>(fn), std::forward<Args>(args)...);
    }
    /// Starts a wire as wire::go() does, and otherwise as spawn().
    template <class... Args, detail::callable_with<Args...> F>
    result<void> go(deadline until, F&& fn, Args&&... args) {
        return go_now(take_place(&until), std::forward<F>(fn), std::forward<Args>(args)...);
    }

    /// How many wires there may be at once.
    [[nodiscard]] std::size_t wires_max() const noexcept;
    /// How many places are free; none is while somebody waits.
    [[nodiscard]] std::size_t available() const noexcept;

private:
    // A place that is given back unless a wire got it: binding its arguments may throw.
    struct give_back {
        void operator()(wire_pool* pool) const noexcept { pool->give_place_back(); }
    };
    using place = std::unique_ptr<wire_pool, give_back>;

    template <class F, class... Args>
    auto spawn_now(int error, F&& fn, Args&&... args)
        -> result<handle<detail::call_result<F, Args...>>> {
        if (error != 0) return failure{error};
        place mine(this);
        auto started =
            spawn_on(origin(), options(), std::forward<F>(fn), std::forward<Args>(args)...);
        static_cast<void>(mine.release());  // the wire's now
        return started;
    }
    template <class F, class... Args>
    result<void> go_now(int error, F&& fn, Args&&... args) {
        if (error != 0) return failure{error};
        place mine(this);
        go_on(origin(), options(), std::forward<F>(fn), std::forward<Args>(args)...);
        static_cast<void>(mine.release());  // the wire's now
        return {};
    }

    int take_place(const deadline* until) noexcept;
    void give_place_back() noexcept;
    [[nodiscard]] detail::origin origin() const noexcept;
    [[nodiscard]] spawn_options options() const noexcept;

    const std::unique_ptr<detail::bounded_pool> core_;
};

}  // namespace wire
