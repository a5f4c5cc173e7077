// Conditions that are never silent although no caller could be told: one replaceable handler.
#pragma once

#include <string_view>

#include <wire/config.hpp>

namespace wire {

/// What a diagnostic is about.
enum class diagnostic {
    fallback,   ///< a slower way was taken because the kernel refused the better one
    deadlock,   ///< wires wait and nothing can wake them
    straggler,  ///< a wire that was cancelled, or a process that was killed, has not ended in time
    failure,    ///< a wire ended by an exception that nobody asked for
    back_off,   ///< a server, or a wire that was sent, waits because something ran out
    loss,       ///< lines of a log could not be written
    stall,      ///< a wire holds its thread for long, or has given it back; see io::stall_watch
    trace,      ///< a switch, with WIRE_TRACE=switch
};

/// Receives every diagnostic: one line of text without a newline. Called on any thread, possibly on
/// a wire's small stack; must not block, throw or call into the library.
using diagnostics_handler = void (*)(diagnostic kind, std::string_view text) noexcept;

/// Installs `handler` for the whole process and returns the one before. nullptr stands for the
/// default, which writes "wire: <text>" to standard error. Any thread.
WIRE_API diagnostics_handler set_diagnostics_handler(diagnostics_handler handler) noexcept;

namespace detail {

/// Formats like printf (at most 511 characters) and hands the line to the handler.
[[gnu::cold, gnu::format(printf, 2, 3)]] WIRE_API void report(diagnostic kind, const char* format,
                                                              ...) noexcept;

}  // namespace detail
}  // namespace wire
