// Pipes: bytes to and from other processes, or other parts of this one.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include <wire/deadline.hpp>
#include <wire/descriptor.hpp>
#include <wire/result.hpp>
#include <wire/stream.hpp>

namespace wire::io {

/// One end of a pipe: for reading or for writing; the other calls fail with EBADF. Calls block the
/// wire, never the thread; those that take a deadline need a wire, and fail with ETIMEDOUT or
/// ECANCELED. After close(), from whichever wire, they fail with EBADF.
///
/// No call raises SIGPIPE: it is blocked in the calling thread during each write, and taken back.
/// So a write costs two short system calls more, or none if the thread blocks that signal anyway.
///
/// What is written in one piece of at most 4,096 bytes (PIPE_BUF) stays together, whoever else
/// writes. Movable; belongs to a runtime as a stream does.
class WIRE_API pipe_end {
public:
    /// Closed.
    pipe_end() noexcept = default;

    /// Takes over an end of a pipe, also a named one, and makes it non-blocking, for everybody who
    /// shares it, and close-on-exec. Fails with EINVAL (not a pipe) or as fcntl(2); `fd` then stays
    /// the caller's.
    static result<pipe_end> adopt(int fd) noexcept;

    /// Reads at least one byte into `buffer`. Returns how many; 0 at the end, when nobody has it
    /// open for writing any more (or for an empty buffer). Errors: read(2).
    result<std::size_t> read(std::span<std::byte> buffer, deadline until = never) noexcept;

    /// Writes at least one byte of `data`, if there is one. Returns how many the pipe took. Errors:
    /// write(2), among them EPIPE if nobody has it open for reading.
    result<std::size_t> write(std::span<const std::byte> data, deadline until = never) noexcept;
    /// Writes all of `data`; blocks the wire while the reader does not read. Stops early, saying
    /// how much was written, as write().
    io_progress write_all(std::span<const std::byte> data, deadline until = never) noexcept;
    io_progress write_all(std::string_view text, deadline until = never) noexcept {
        return write_all(std::as_bytes(std::span(text)), until);
    }

    /// Closes it and wakes every wire that waits for it with EBADF. Never suspends; again has no
    /// effect.
    void close() noexcept { fd_.close(); }
    [[nodiscard]] bool is_open() const noexcept { return fd_.number() >= 0; }
    /// The number, which stays owned here; -1 when closed.
    [[nodiscard]] int native_handle() const noexcept { return fd_.number(); }
    /// Gives the number away, open and non-blocking; wires that wait for it get EBADF.
    [[nodiscard]] int release() noexcept { return fd_.release(); }

private:
    friend result<std::pair<pipe_end, pipe_end>> make_pipe() noexcept;
    explicit pipe_end(detail::descriptor fd) noexcept : fd_(std::move(fd)) {}

    detail::descriptor fd_;
};

/// A new pipe: the end to read from and the end to write to. Errors: pipe(2). Never suspends; any
/// thread.
WIRE_API result<std::pair<pipe_end, pipe_end>> make_pipe() noexcept;

}  // namespace wire::io
