// wire::run: a runtime with a reactor, in one call.
#pragma once

#include <chrono>
#include <memory>
#include <type_traits>

#include <wire/reactor.hpp>
#include <wire/runtime.hpp>

namespace wire {

/// How wire::run runs.
struct run_options {
    unsigned threads = 1;              ///< a runtime for each; `fn` runs once on each. At least 1
    runtime_options runtime = {};      ///< of each of them
    io::reactor_options reactor = {};  ///< of each of them
    bool fault_report = true;          ///< report stack overflows and wild pointers of wires
    bool dump_on_quit = false;         ///< SIGQUIT prints all wires; see io::dump_on_quit
    /// Tell which wire holds a thread for longer; see io::stall_watch. Zero: don't watch.
    std::chrono::nanoseconds stall = {};
};

namespace detail {
WIRE_API int run_main(int (*call)(void*), void* fn, const run_options& options) noexcept;
}

/// Runs `fn()` as the first wire, named "main", of a runtime with a reactor, until all wires have
/// ended. `fn` is called in place, not copied. Returns its exit code: what it returned, converted
/// to int; 0 for void. The code is 1, and a diagnostic says why (on standard error, unless a
/// handler is set), if an exception leaves `fn` or if the wires deadlock; the other wires are
/// cancelled then, and waited for. Blocks the calling thread, which must not run a runtime already.
/// Throws nothing.
///
/// With threads > 1 as many threads do so at once, the caller one of them, each with a runtime of
/// its own; each calls the same `fn`, which must bear that. They end together: if one of them fails
/// (by an exception or a deadlock, not by a code that is not 0), the wires of all are cancelled and
/// waited for. The exit code is that of the calling thread if it is not 0, else the first of the
/// others' that is not 0, else 0. If one of the threads or its kernel objects cannot be made, no
/// thread calls `fn`; a diagnostic says why, and the code is 1. A thread without work sleeps.
///
/// `this_wire::remote().stop()`, from any wire or thread, ends it early, on all threads: wires are
/// cancelled and waited for as ~runtime does. `fn` then returns the exit code as ever; it is 1 if
/// `fn` does not end.
template <class F>
requires std::is_invocable_v<F&>
int run(F&& fn, const run_options& options = {}) {
    if constexpr (std::is_function_v<std::remove_reference_t<F>>) {
        auto* pointer = &fn;
        return run(pointer, options);
    } else {
        using callable = std::remove_reference_t<F>;
        constexpr auto call = [](void* p) -> int {
            if constexpr (std::is_void_v<std::invoke_result_t<callable&>>)
                return (*static_cast<callable*>(p))(), 0;
            else
                return static_cast<int>((*static_cast<callable*>(p))());
        };
        return detail::run_main(
            +call, const_cast<void*>(static_cast<const void*>(std::addressof(fn))), options);
    }
}

}  // namespace wire
