// Byte streams: TCP and Unix sockets.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include <wire/address.hpp>
#include <wire/deadline.hpp>
#include <wire/descriptor.hpp>
#include <wire/result.hpp>

namespace wire::io {

/// What a call that moves many bytes has done, and why it stopped early if it did. Bytes that were
/// moved are never lost, also not at the end of the stream, a deadline or a cancellation.
struct [[nodiscard]] io_progress {
    std::size_t done = 0;
    int code = 0;  ///< 0 if all was done, else an errno; ENODATA: the peer sent no more

    explicit operator bool() const noexcept { return code == 0; }
    [[nodiscard]] std::error_code error() const noexcept { return {code, std::system_category()}; }
};

/// Which direction of a connection to end.
enum class direction { read, write, both };

/// A connected stream socket. Calls block the wire, never the thread; those that block take a
/// deadline and fail with ETIMEDOUT or ECANCELED. One wire may read while another writes. After
/// close(), from whichever wire, they fail with EBADF. No call raises SIGPIPE. Movable.
class WIRE_API stream {
public:
    stream() noexcept = default;

    /// Takes over a connected stream socket and makes it non-blocking. Fails as fcntl(2).
    static result<stream> adopt(int fd) noexcept;

    /// Receives at least one byte into `buffer`. Returns how many; 0 at the end of the stream (or
    /// for an empty buffer). Errors: recv(2).
    result<std::size_t> read(std::span<std::byte> buffer, deadline until = never) noexcept;
    /// The same into several buffers, in order; at most 1,024.
    result<std::size_t> read(std::span<const iovec> buffers, deadline until = never) noexcept;
    /// Receives until `buffer` is full.
    io_progress read_exactly(std::span<std::byte> buffer, deadline until = never) noexcept {
        return read_at_least(buffer, buffer.size(), until);
    }
    /// Receives until at least `least` bytes are there, and more if they came along.
    io_progress read_at_least(std::span<std::byte> buffer, std::size_t least,
                              deadline until = never) noexcept;

    /// Sends at least one byte of `data`. Returns how many the system took. Errors: send(2), EPIPE
    /// if the peer is gone.
    result<std::size_t> write(std::span<const std::byte> data, deadline until = never) noexcept;
    /// The same from several buffers, in order; at most 1,024.
    result<std::size_t> write(std::span<const iovec> buffers, deadline until = never) noexcept;
    /// Sends all of `data`; blocks the wire while the peer does not read.
    io_progress write_all(std::span<const std::byte> data, deadline until = never) noexcept;
    io_progress write_all(std::string_view text, deadline until = never) noexcept {
        return write_all(std::as_bytes(std::span(text)), until);
    }
    /// Sends all of several buffers. Advances the elements of `buffers` over what was sent.
    io_progress write_all(std::span<iovec> buffers, deadline until = never) noexcept;

    /// Ends one direction; the peer of an ended write direction reads the end of the stream.
    result<void> shutdown(direction which) noexcept;
    /// Closes and wakes every wire that waits for it. Never suspends; again has no effect.
    void close() noexcept { fd_.close(); }

    /// Sends small writes at once (TCP_NODELAY).
    result<void> set_no_delay(bool on) noexcept;
    /// Any integer option of setsockopt(2).
    result<void> set_option(int level, int name, int value) noexcept;
    [[nodiscard]] result<address> local_address() const noexcept;
    [[nodiscard]] result<address> peer_address() const noexcept;

    [[nodiscard]] bool is_open() const noexcept { return fd_.number() >= 0; }
    /// The number, which stays owned here.
    [[nodiscard]] int native_handle() const noexcept { return fd_.number(); }
    /// Gives the number away, open and non-blocking.
    [[nodiscard]] int release() noexcept { return fd_.release(); }

private:
    friend class listener;
    friend result<stream> connect(const address&, deadline) noexcept;
    friend result<std::pair<stream, stream>> make_stream_pair() noexcept;
    explicit stream(detail::descriptor fd) noexcept : fd_(std::move(fd)) {}

    detail::descriptor fd_;
};

/// Connects to a TCP or Unix listener. Errors: connect(2), ETIMEDOUT also when `until` passes.
WIRE_API result<stream> connect(const address& to, deadline until = never) noexcept;
/// Connects to a numeric address. Fails with EINVAL for a name.
WIRE_API result<stream> connect_tcp(std::string_view host, std::uint16_t port,
                                    deadline until = never) noexcept;
/// Connects to a Unix socket; '@' begins an abstract name.
WIRE_API result<stream> connect_unix(std::string_view path, deadline until = never) noexcept;
/// Two connected Unix streams. Errors: socketpair(2).
WIRE_API result<std::pair<stream, stream>> make_stream_pair() noexcept;

}  // namespace wire::io
