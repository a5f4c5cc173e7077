// Bytes from stream to stream, without a way through the program's memory.
#pragma once

#include <cstddef>

#include <wire/deadline.hpp>
#include <wire/descriptor.hpp>
#include <wire/result.hpp>
#include <wire/stream.hpp>

namespace wire::io {

/// A pipe between two streams: fill() from one, drain() to the other, and no byte is copied to the
/// program. For one direction of a proxy.
///
/// What fill() took and drain() has not sent yet, because of a deadline, a cancellation or an
/// error, stays in the pipe: pending() counts it, and a later drain() sends it. Belongs to one wire
/// at a time; takes two descriptors, and up to 64 KiB of the kernel's memory.
class WIRE_API splicer {
public:
    /// Without a pipe: for make() to be assigned.
    splicer() noexcept = default;
    /// Errors: pipe2(2). Never suspends; any thread.
    static result<splicer> make() noexcept;

    /// Takes what `from` has, at least one byte. Returns how many; 0 at the end of the stream. The
    /// pipe must be empty (asserted). Errors: splice(2). Call from a wire.
    result<std::size_t> fill(stream& from, deadline until = never) noexcept;
    /// Sends what is pending. Stops early as splice(2), whose EPIPE and ECONNRESET say that the
    /// peer is gone. Call from a wire.
    io_progress drain(stream& to, deadline until = never) noexcept;
    /// Bytes in the pipe.
    [[nodiscard]] std::size_t pending() const noexcept { return pending_; }

    /// Both in turn until `from` ends: then it returns, with code 0, and shutdown() of `to` is the
    /// caller's. `done` counts the bytes that `to` took, pending() those that it did not.
    io_progress move_all(stream& from, stream& to, deadline until = never) noexcept;

private:
    splicer(int out, int in) noexcept : out_(out), in_(in) {}
    owned_descriptor out_, in_;  // the ends of the pipe to read from and to write to
    std::size_t pending_ = 0;
};

}  // namespace wire::io
