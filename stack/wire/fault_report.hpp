// A readable report when a wire overflows its stack or touches memory it must not.
#pragma once

#include <cstddef>

#include <wire/config.hpp>

namespace wire {

/// Installs a SIGSEGV handler for the process and an alternate signal stack for the calling thread.
///
/// A fault on a wire is reported on standard error in one write: the wire's name, its stack's size,
/// the address, the reason (guard hit, which means stack overflow; nothing mapped there; no
/// permission) and a backtrace. Then the handler that was installed before runs, or the default
/// action ends the program by signal 11. A fault outside wires goes to them untouched.
///
/// Returns false if the kernel refused (errno says why). Call it once on each thread that runs
/// wires; wire::run does so by default. The thread's alternate stack lives as long as the thread.
WIRE_API bool install_fault_report() noexcept;

namespace detail {

/// The wire that the faulting thread was running.
struct fault_subject {
    const char* name;
    const std::byte* base;  // usable stack [base, top)
    const std::byte* top;
    std::size_t guard;  // inaccessible bytes below base
};

/// Fills in `subject` and returns true if the calling thread runs a wire. Async-signal-safe.
using find_fault_subject = bool (*)(fault_subject& subject) noexcept;

/// Tells the report how to find the running wire: the runtime above this layer knows.
void set_fault_subject(find_fault_subject find) noexcept;

}  // namespace detail
}  // namespace wire
