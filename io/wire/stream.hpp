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
#include <wire/io_progress.hpp>
#include <wire/result.hpp>

namespace wire::io {

/// What receive_descriptors() brought.
struct received_descriptors {
    std::size_t bytes = 0;        ///< 0: the end of the stream
    std::size_t descriptors = 0;  ///< how many of the array were filled
};

/// Which direction of a connection to end.
enum class direction { read, write, both };

/// A connected stream socket. Calls block the wire, never the thread; those that take a deadline
/// need a wire, and fail with ETIMEDOUT or ECANCELED. After close(), from whichever wire, they fail
/// with EBADF. No call raises SIGPIPE.
///
/// One wire may read while another writes; if several write at once, bytes of one may come between
/// those of a write_all() of another. Movable. It may go to another runtime, for example as an
/// argument of remote::go, as long as no wire has waited for it, and belongs to one from then on
/// (asserted). Calls that never have to wait yield after every 64 on this stream.
class WIRE_API stream {
public:
    /// Closed.
    stream() noexcept = default;

    /// Takes over a connected stream socket, and makes it non-blocking and close-on-exec. Fails
    /// with ENOTSOCK, EPROTOTYPE (not a stream) or as fcntl(2); `fd` then stays the caller's.
    static result<stream> adopt(int fd) noexcept;

    /// Receives at least one byte into `buffer`. Returns how many; 0 at the end of the stream (or
    /// for an empty buffer). Errors: recv(2).
    result<std::size_t> read(std::span<std::byte> buffer, deadline until = never) noexcept;
    /// The same into several buffers, in order; at most 1,024.
    result<std::size_t> read(std::span<const iovec> buffers, deadline until = never) noexcept;
    /// Receives until `buffer` is full. Stops early, saying why, with ENODATA or as read().
    io_progress read_exactly(std::span<std::byte> buffer, deadline until = never) noexcept {
        return read_at_least(buffer, buffer.size(), until);
    }
    /// Receives until at least `least` bytes are there, and more if they came along. `least` is at
    /// most the size of the buffer (asserted). Stops early with ENODATA or as read().
    io_progress read_at_least(std::span<std::byte> buffer, std::size_t least,
                              deadline until = never) noexcept;

    /// Sends at least one byte of `data`, if there is one. Returns how many the system took; the
    /// peer need not have them. Writes of several wires are made in the order of the calls, each
    /// when the one before has returned. Errors: send(2), among them EPIPE or ECONNRESET if it is
    /// gone.
    result<std::size_t> write(std::span<const std::byte> data, deadline until = never) noexcept;
    /// The same from several buffers, in order; at most 1,024.
    result<std::size_t> write(std::span<const iovec> buffers, deadline until = never) noexcept;
    /// Sends all of `data`; blocks the wire while the peer does not read. Stops early, saying how
    /// much was sent, as write().
    io_progress write_all(std::span<const std::byte> data, deadline until = never) noexcept;
    io_progress write_all(std::string_view text, deadline until = never) noexcept {
        return write_all(std::as_bytes(std::span(text)), until);
    }
    /// Sends all of several buffers, in order. Advances the elements of `buffers` over what was
    /// sent, so that they say what is left.
    io_progress write_all(std::span<iovec> buffers, deadline until = never) noexcept;

    /// Sends `count` bytes of a file from `offset` on, without copying them to the program; the
    /// file's own position stays. Stops early, saying why, with ENODATA (the file ends) or as
    /// sendfile(2). The system may wait for the disk, and this thread with it, for what is not in
    /// memory.
    io_progress send_file(int file, std::uint64_t offset, std::size_t count,
                          deadline until = never) noexcept;

    /// Sends duplicates of `descriptors`, 253 at most, with the first byte of `data`, which must
    /// not be empty (asserted). Unix streams only. Returns how many bytes the system took: if not
    /// all, send the rest with write_all(). Errors: sendmsg(2), EINVAL (too many), ETOOMANYREFS.
    result<std::size_t> send_descriptors(std::span<const int> descriptors,
                                         std::span<const std::byte> data,
                                         deadline until = never) noexcept;
    /// Receives at least one byte into `buffer`, which must not be empty (asserted), and the
    /// descriptors that came with these bytes, close-on-exec, into the first elements of
    /// `descriptors`. A message that brought some ends there, whatever came after it. (A read()
    /// drops them.)
    ///
    /// Errors: recvmsg(2). EMSGSIZE: there were more than `descriptors` holds; EMFILE: than this
    /// process may open. Then all are closed, and the bytes are gone.
    result<received_descriptors> receive_descriptors(std::span<owned_descriptor> descriptors,
                                                     std::span<std::byte> buffer,
                                                     deadline until = never) noexcept;

    /// Ends one direction; the peer of an ended write direction reads the end of the stream. Never
    /// suspends. Errors: shutdown(2).
    result<void> shutdown(direction which) noexcept;
    /// Closes it and wakes every wire that waits for it with EBADF. Never suspends; again has no
    /// effect. TCP resets the connection if bytes that came were not read.
    void close() noexcept { fd_.close(); }

    /// Sends small writes at once (TCP_NODELAY). Errors: setsockopt(2); a Unix socket refuses.
    result<void> set_no_delay(bool on) noexcept;
    /// Any integer option of setsockopt(2), whose errors it has.
    result<void> set_option(int level, int name, int value) noexcept;
    /// Errors: getsockname(2).
    [[nodiscard]] result<address> local_address() const noexcept;
    /// Errors: getpeername(2).
    [[nodiscard]] result<address> peer_address() const noexcept;

    [[nodiscard]] bool is_open() const noexcept { return fd_.number() >= 0; }
    /// The number, which stays owned here; -1 when closed.
    [[nodiscard]] int native_handle() const noexcept { return fd_.number(); }
    /// Gives the number away, open and non-blocking; wires that wait for it get EBADF.
    [[nodiscard]] int release() noexcept { return fd_.release(); }

private:
    friend class listener;
    friend class splicer;
    friend result<stream> connect(const address&, deadline) noexcept;
    friend result<std::pair<stream, stream>> make_stream_pair() noexcept;
    explicit stream(detail::descriptor fd) noexcept : fd_(std::move(fd)) {}

    detail::descriptor fd_;
};

/// Connects to a TCP or Unix listener; waits while a Unix listener's queue is full. Errors:
/// socket(2), connect(2), ECANCELED; ETIMEDOUT also when `until` passes. Call from a wire.
WIRE_API result<stream> connect(const address& to, deadline until = never) noexcept;
/// Connects to a numeric address. Fails with EINVAL for a name, and as connect().
WIRE_API result<stream> connect_tcp(std::string_view host, std::uint16_t port,
                                    deadline until = never) noexcept;
/// Connects to a Unix socket; '@' begins an abstract name. Fails with ENAMETOOLONG, with EINVAL
/// (empty), and as connect().
WIRE_API result<stream> connect_unix(std::string_view path, deadline until = never) noexcept;
/// Two connected Unix streams. Errors: socketpair(2). Never suspends; any thread.
WIRE_API result<std::pair<stream, stream>> make_stream_pair() noexcept;

}  // namespace wire::io
