// Files: calls that may wait for a disk, without blocking the thread.
#pragma once

#include <sys/stat.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <wire/deadline.hpp>
#include <wire/descriptor.hpp>
#include <wire/io_progress.hpp>
#include <wire/result.hpp>

namespace wire::io {

namespace detail {
struct file_call;
}

/// An open file; owns its descriptor. Movable; may go to any thread. Its end closes it if it is
/// open: at once, on the thread where that happens. What close(2) may say is lost then: who has
/// written calls fsync() or close() before.
///
/// Calls block the wire, never the thread; see io::offload() for how. A pread() of up to 64 KiB
/// that the page cache can answer needs no helper; each 64th in a row lets the others run. Each
/// takes a deadline and fails with ETIMEDOUT, ECANCELED or ENOMEM (no thread can be started) if it
/// has not begun; one that has begun is waited for, and its outcome counts. So buffers are the
/// caller's again when a call returns. Several wires may call at once, but for close(). Call from a
/// wire of a runtime with a reactor.
class WIRE_API file {
public:
    /// Closed.
    file() noexcept = default;
    /// Takes over a descriptor, of whatever kind, as it is.
    static file adopt(int fd) noexcept { return file(fd); }

    /// Reads at a place of the file. Returns how many bytes; 0 at its end. Errors: pread(2).
    result<std::size_t> pread(std::span<std::byte> to, std::uint64_t at,
                              deadline until = never) const noexcept;
    /// The same into several buffers, in order; at most 1,024 are used. Errors: preadv(2).
    result<std::size_t> preadv(std::span<const iovec> to, std::uint64_t at,
                               deadline until = never) const noexcept;
    /// Writes at a place of the file. Returns how many bytes. Errors: pwrite(2).
    result<std::size_t> pwrite(std::span<const std::byte> from, std::uint64_t at,
                               deadline until = never) const noexcept;
    /// The same from several buffers, in order; at most 1,024 are used. Errors: pwritev(2).
    result<std::size_t> pwritev(std::span<const iovec> from, std::uint64_t at,
                                deadline until = never) const noexcept;
    /// Reads until `to` is full. Stops early, saying why, with ENODATA at the end or as pread().
    io_progress pread_exactly(std::span<std::byte> to, std::uint64_t at,
                              deadline until = never) const noexcept;
    /// Writes all of `from`. Stops early, saying how much was written, as pwrite().
    io_progress pwrite_all(std::span<const std::byte> from, std::uint64_t at,
                           deadline until = never) const noexcept;

    /// Size, times and the like. Errors: statx(2).
    [[nodiscard]] result<struct ::statx> statx(deadline until = never) const noexcept;
    /// Waits until all that was written is on the disk. Errors: fsync(2).
    result<void> fsync(deadline until = never) const noexcept;
    /// The same without times and other data that reading does not need.
    result<void> fdatasync(deadline until = never) const noexcept;
    /// Reserves, or gives back, space for `size` bytes at a place. Errors: fallocate(2).
    result<void> fallocate(int mode, std::uint64_t at, std::uint64_t size,
                           deadline until = never) const noexcept;

    /// Closes it. Errors: close(2), which tells of writes that failed late; it is closed all the
    /// same, unless the error is ETIMEDOUT, ECANCELED or ENOMEM. Success if it is closed already.
    /// Wires that wait for the number get EBADF, whatever comes of it.
    result<void> close(deadline until = never) noexcept;

    [[nodiscard]] bool is_open() const noexcept { return fd_.number() >= 0; }
    /// The number, which stays owned here; -1 when closed.
    [[nodiscard]] int native_handle() const noexcept { return fd_.number(); }
    /// Gives the number away; wires that wait for it get EBADF.
    [[nodiscard]] int release() noexcept { return fd_.release(); }

private:
    explicit file(int fd) noexcept;
    result<std::size_t> perform(const detail::file_call& call, deadline until) const noexcept;

    owned_descriptor fd_;
    bool has_places_ = false;  // one can seek
    bool cached_ = false;      // not O_DIRECT, where even a read that is not to wait does
};

/// Opens a file; close-on-exec. `flags` as O_RDONLY, O_WRONLY | O_CREAT and so on; `mode` is for a
/// file that is created. Errors: open(2), and as for each call of file. A FIFO blocks a helper
/// thread until it has another end: open it with O_NONBLOCK.
WIRE_API result<file> open(const char* path, int flags, mode_t mode = 0666,
                           deadline until = never) noexcept;
/// Renames a file, replacing what is there. Errors: rename(2), and as for each call of file.
WIRE_API result<void> rename(const char* from, const char* to, deadline until = never) noexcept;
/// Removes a name. Errors: unlink(2), and as for each call of file.
WIRE_API result<void> unlink(const char* path, deadline until = never) noexcept;
/// What file::statx() says, of a path; symbolic links are followed unless `flags` has
/// AT_SYMLINK_NOFOLLOW. Errors: statx(2), and as for each call of file.
WIRE_API result<struct ::statx> statx(const char* path, int flags = 0,
                                      deadline until = never) noexcept;

/// A file without a name, which is gone when it is closed; open for reading and writing, mode 0600.
/// Errors: open(2), mkstemp(3), and as for each call of file. Throws std::bad_alloc.
WIRE_API result<file> make_temporary_file(const char* folder = "/tmp", deadline until = never);
/// The same with a name, which stays until somebody renames or unlinks it.
WIRE_API result<std::pair<file, std::string>> make_named_temporary_file(const char* folder = "/tmp",
                                                                        deadline until = never);

/// A name in a folder.
struct directory_entry {
    std::string name;
    std::uint64_t inode = 0;
    unsigned char type = 0;  ///< DT_REG, DT_DIR and so on; DT_UNKNOWN: ask statx()
};

/// All names of a folder but "." and "..", in the order of the file system. Errors: opendir(3),
/// readdir(3), and as for each call of file. Throws std::bad_alloc.
WIRE_API result<std::vector<directory_entry>> list_directory(const char* path,
                                                             deadline until = never);

}  // namespace wire::io
