// A runtime: the scheduler of one OS thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <wire/cancel.hpp>
#include <wire/poller.hpp>
#include <wire/remote.hpp>
#include <wire/result.hpp>
#include <wire/spawn.hpp>
#include <wire/stack.hpp>
#include <wire/this_wire.hpp>
#include <wire/wires.hpp>

namespace wire {

/// What a runtime is made of.
struct runtime_options {
    stack_options stack = {};  ///< of wires that ask for no size; with `memory`, of all wires
    std::size_t wires = 64;    ///< room for so many wires is made at once; more is made on demand
    /// Not 0: ready wires run in an order that is drawn from it, always the same for one seed. For
    /// tests. 0: WIRE_SEED of the environment; 0 there or none: first in, first out.
    std::uint64_t seed = 0;
    /// How long the destructor waits for cancelled wires to end; zero: it gives them one turn.
    std::chrono::nanoseconds drain = std::chrono::seconds(5);
};

/// The scheduler of one OS thread, and the wires on it.
///
/// It belongs to the thread that first calls run() or run_once(), for ever; until then any one
/// thread may prepare it. Below, "on the runtime's own thread" means there, in a wire or outside.
/// A thread may have several runtimes, of which one runs at a time.
///
/// Ready wires run first in, first out: each runs before any runs twice. A wire runs until it
/// blocks, yields or ends. Timers, other threads' messages and I/O are served when no wire is
/// ready, and otherwise about every 20 us.
class WIRE_API runtime : detail::immovable {
public:
    /// Makes no kernel object and maps no stack yet. Asserts that the stacks have a size and guard
    /// that are possible. Throws std::bad_alloc.
    explicit runtime(const runtime_options& options = {});
    /// Cancels all wires and runs them until they have ended, for options.drain at most; those too
    /// that other threads send until then. Wires that have not ended are named in a diagnostic and
    /// abandoned: their destructors do not run, and their stacks stay mapped (memory of the
    /// caller's must stay, too, while a pool or bridge is used at which one waited). Every handle
    /// must be gone (asserted). On the runtime's own thread; on any if no wire is left and no other
    /// thread sends one.
    ~runtime();

    /// Runs wires until the last has ended and no work_guard is left, or stop() is called. Blocks
    /// the thread while no wire is ready.
    ///
    /// Fails with EDEADLK if wires wait that nothing can wake (no timer, fd, remote or guard): each
    /// is named in a diagnostic with what it waits for. They are still there: their owner may
    /// resume or cancel them. May be called again, also after stop(). Not from a wire (asserted).
    /// Throws std::system_error if a kernel object cannot be made, or a stack for a wire sent by
    /// another thread while there is no other wire; nothing is lost then and run() may be called
    /// again. If there are other wires, the one that was sent waits until one of them has ended,
    /// and the first time a diagnostic says so.
    result<void> run();

    /// For a loop of one's own: serves what is due without blocking and runs ready wires, as long
    /// as there are any, for about `budget` (20 us at least). Returns whether more could run at
    /// once; if not, nothing is to be done until a timer, a descriptor or another thread has
    /// something. Reports no deadlock. Throws as run() does. Not from a wire (asserted).
    bool run_once(std::chrono::nanoseconds budget = std::chrono::milliseconds(1));

    /// Makes run() or run_once(), or else the next of them, return before the next wire runs. The
    /// wires stay as they are; one that computes is not interrupted. Any thread, any wire.
    void stop() noexcept;

    /// Starts a wire as wire::go does. Throws std::system_error if there is no memory for a stack.
    /// On the runtime's own thread, also before run().
    template <class... Args, detail::callable_with<Args...> F>
    void go(F&& fn, Args&&... args) {
        go_on({*scheduler_}, {}, std::forward<F>(fn), std::forward<Args>(args)...);
    }
    template <class... Args, detail::callable_with<Args...> F>
    void go(const spawn_options& options, F&& fn, Args&&... args) {
        go_on({*scheduler_}, options, std::forward<F>(fn), std::forward<Args>(args)...);
    }

    /// Starts a wire as wire::spawn does; outside wires its handle can only be joined when the wire
    /// has ended. Throws std::system_error if there is no memory for a stack. On the runtime's own
    /// thread, also before run().
    template <class... Args, detail::callable_with<Args...> F>
    [[nodiscard]] auto spawn(F&& fn, Args&&... args) {
        return spawn_on({*scheduler_}, {}, std::forward<F>(fn), std::forward<Args>(args)...);
    }
    template <class... Args, detail::callable_with<Args...> F>
    [[nodiscard]] auto spawn(const spawn_options& options, F&& fn, Args&&... args) {
        return spawn_on({*scheduler_}, options, std::forward<F>(fn), std::forward<Args>(args)...);
    }

    /// A reference for other threads. Any thread, while the runtime exists. A wire that does not
    /// know its runtime asks this_wire::remote().
    [[nodiscard]] wire::remote remote() const noexcept;

    /// Cancels every wire, as handle::cancel() does; wires started later are not affected. Never
    /// suspends. On the runtime's own thread.
    void cancel_all() noexcept;

    /// Wires that have been started and have not ended; without those that are on their way from
    /// other threads. On the runtime's own thread.
    [[nodiscard]] std::size_t size() const noexcept;

    /// All wires with what each is doing: `for (const wire_info& w : rt.wires())`. Allocates
    /// nothing. On the runtime's own thread, in a wire or outside (asserted).
    [[nodiscard]] wire_range wires() const noexcept;

    /// Prints a line about this thread and one for each wire to a descriptor, such as 2:
    ///
    ///     thread 4711: 2 wires
    ///       wire 1 "main" waits for a readable descriptor for 12.345 ms
    ///       wire 7 "echo" is ready
    ///
    /// Allocates nothing, and needs about 3 KB of stack. Blocks the thread while the descriptor
    /// does; what cannot be written is left out. On the runtime's own thread (asserted). (To get it
    /// from a program that runs, see io::dump_on_quit.)
    void dump(int fd) const noexcept;

    /// Sleeps in `p` from now on (nullptr: on a futex). `p` must outlive its use; whoever takes it
    /// away first sees to it that no wire waits in it. On the runtime's own thread, not in run().
    void attach(poller* p) noexcept;

    /// For the library's own layers.
    [[nodiscard]] detail::scheduler& internals() noexcept { return *scheduler_; }

private:
    friend class work_guard;
    std::unique_ptr<detail::scheduler> scheduler_;
};

/// While one exists, run() does not return when no wire is left, but waits for other threads to
/// send some, and wires that wait are no deadlock; stop() ends run() all the same. Made and
/// destroyed on the runtime's own thread, in a wire or outside; does not outlive the runtime.
class WIRE_API work_guard : detail::immovable {
public:
    explicit work_guard(runtime& rt) noexcept;
    ~work_guard();

private:
    detail::scheduler& scheduler_;
};

}  // namespace wire
