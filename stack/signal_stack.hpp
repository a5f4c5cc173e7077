// What signal handlers need on threads that run wires.
#pragma once

namespace wire::detail {

/// Gives the calling thread an alternate signal stack, on which an unwinder fits, unless it has
/// one; it lives as long as the thread. Returns false if the kernel refused (errno says why).
bool use_signal_stack() noexcept;

/// Loads the unwinder now: a signal handler that calls backtrace() must not.
void load_unwinder() noexcept;

}  // namespace wire::detail
