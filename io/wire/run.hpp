// wire::run: a runtime with a reactor, in one call.
#pragma once

#include <memory>
#include <type_traits>

#include <wire/reactor.hpp>
#include <wire/runtime.hpp>

namespace wire {

/// How wire::run runs.
struct run_options {
    unsigned threads = 1;  ///< a runtime for each; `fn` runs once on each
    runtime_options runtime = {};
    bool fault_report = true;  ///< report stack overflows and wild pointers of wires
};

namespace detail {
WIRE_API int run_main(int (*call)(void*), void* fn, const run_options& options) noexcept;
}

/// Runs `fn()` as the first wire, named "main", of a runtime with a reactor, until all wires have
/// ended. With threads > 1 that many threads do so at once, each with its own runtime; `fn` is then
/// called by each. Returns what the calling thread's `fn` returned (0 for void). Returns 1 and says
/// why on standard error if an exception left `fn`, if the wires deadlock, or if a kernel object
/// could not be made; the other wires of that runtime are cancelled then.
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
