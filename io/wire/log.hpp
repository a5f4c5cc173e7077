// A log that never blocks the thread: lines go into a buffer, and from there to where they belong.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <wire/deadline.hpp>
#include <wire/result.hpp>

namespace wire::io {

/// How much a line matters. `fatal` is a level as the others: it does not end the program.
enum class log_level : unsigned char { debug, info, notice, warning, err, critical, fatal };

struct log_options {
    log_level least = log_level::debug;  ///< lines of lower levels are dropped, unformatted
    /// Bytes for lines that are not written yet, at least 1,024 (asserted); the longest line has
    /// half of them. Allocated once, at construction.
    std::size_t buffer = std::size_t{64} * 1024;
    std::span<char> memory = {};  ///< of the caller, instead of `buffer` bytes; outlives the log
    /// Lines to a descriptor look like "<6>3 connections", as systemd's journal takes them from a
    /// program's standard error: the number is syslog's, the journal adds the time. See
    /// sd-daemon(3). (For the system's log it has no meaning.)
    bool for_journal = false;
};

/// A log that goes to the system's log, as openlog(3) says it.
struct syslog_options {
    std::string ident = "wire";     ///< at most 64 characters (asserted)
    int option = 0;                 ///< LOG_PID; the others have no meaning here
    int facility = 8;               ///< LOG_USER or another
    std::string path = "/dev/log";  ///< the Unix datagram socket of the system's log
};

/// A log with levels, for the wires of one runtime at a time (asserted): several threads have one
/// each, perhaps to the same descriptor. Neither movable nor copyable.
///
///     wire::io::log log(STDERR_FILENO);
///     log(wire::io::log_level::info, "%d connections", n);
///
/// In a wire a call puts its line into the buffer and returns; a wire of the log's own, which lives
/// while there are lines, hands them to helper threads (see io::offload). If the buffer is full the
/// call parks its wire until there is room, whatever its scope says; those that come later queue
/// behind it. A reader that does not read stops only wires that log, and uses no helper. Lines come
/// whole and in the order of the calls. As run() returns when the last wire has ended, they are
/// written by then. When the runtime is cancelled, a descriptor that takes no more is waited for
/// half a second; the rest is lost.
///
/// Outside of wires (in another thread, before and after run()) the line is written at once, before
/// what is still in the buffer; that may block the thread. At most 8 KiB.
///
/// A line is one call: a newline in its text is written as a blank. One that does not fit into half
/// of the buffer is cut, and ends with "[cut: line of N bytes]". In steady state nothing allocates.
class WIRE_API log : wire::detail::immovable {
public:
    /// Lines go to `fd`, which stays its owner's, such as STDOUT_FILENO, and look like this, in
    /// local time: "2026-02-28 17:03:59.000123456 <INFO> 3 connections". If several write there,
    /// open it with O_APPEND, or let it be a pipe: then pieces of at most 4,096 bytes, which are
    /// lines, stay together. Throws std::bad_alloc.
    explicit log(int fd, const log_options& options = {});
    /// Lines go to the system's log; `fatal` is LOG_ALERT there. If that is away its lines are
    /// lost, and each tries again. Throws std::system_error naming socket, std::bad_alloc.
    explicit log(const syslog_options& to, const log_options& options = {});
    /// Waits, shielded, until all lines are written; outside a wire it asserts that they are. No
    /// wire may be in a call.
    ~log();

    /// Logs a line, formatted as by printf (3); "%m" is errno's text, and errno stays as it is. If
    /// the level is too low, that is some instructions. Suspends if the buffer is full. A wire
    /// needs a runtime with a reactor. Any thread.
    [[gnu::format(printf, 3, 4)]] void operator()(log_level level, const char* format,
                                                  ...) noexcept;
    /// Whether lines of that level are logged: for arguments that cost something.
    [[nodiscard]] bool enabled(log_level level) const noexcept { return level >= least(); }
    // relaxed: a number that orders nothing.
    [[nodiscard]] log_level least() const noexcept {
        return least_.load(std::memory_order_relaxed);
    }
    /// Any thread.
    void set_least(log_level level) noexcept { least_.store(level, std::memory_order_relaxed); }

    /// Waits until the lines of all calls that have returned are written, or lost. Fails with
    /// ETIMEDOUT or ECANCELED. Call from a wire.
    result<void> flush(deadline until = never) noexcept;
    /// Lines that could not be written. The first time a diagnostic says so, and why. Any thread.
    [[nodiscard]] std::uint64_t lost() const noexcept;

private:
    class state;

    std::atomic<log_level> least_;
    std::unique_ptr<state> state_;
};

}  // namespace wire::io
