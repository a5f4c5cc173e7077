#include <wire/file.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <string_view>

#include <wire/offload.hpp>
#include <wire/this_wire.hpp>
#include "backend.hpp"
#include "syscalls.hpp"

namespace wire::io {
namespace {

using detail::file_call;
using detail::invoke;
using detail::outcome;
using kind = file_call::kind;

constexpr std::uint32_t direct_max = 64 * 1024;  // bytes that may be copied on this thread
constexpr unsigned streak_max = 64;              // reads in a row after which others run

}  // namespace

std::ptrdiff_t file_call::attempt() const noexcept {
    const auto at = static_cast<off_t>(offset);
    const auto count = static_cast<int>(len);
    const auto* const parts = static_cast<const iovec*>(data);
    switch (what) {
        case kind::read:
            return invoke("pread", [&] { return ::pread(fd, const_cast<void*>(data), len, at); });
        case kind::read_vector:
            return invoke("preadv", [&] { return ::preadv(fd, parts, count, at); });
        case kind::write:
            return invoke("pwrite", [&] { return ::pwrite(fd, data, len, at); });
        case kind::write_vector:
            return invoke("pwritev", [&] { return ::pwritev(fd, parts, count, at); });
    }
    return -EINVAL;
}

namespace {

// Reads what the page cache has. -EAGAIN: not all is there; -EOPNOTSUPP: it cannot be known.
std::ptrdiff_t read_cached(const file_call& c) noexcept {
    auto* const to = static_cast<std::byte*>(const_cast<void*>(c.data));
    std::uint32_t done = 0;
    while (done < c.len) {
        const iovec rest{to + done, c.len - done};
        const auto n = invoke("preadv2", [&] {
            return ::preadv2(c.fd, &rest, 1, static_cast<off_t>(c.offset + done), RWF_NOWAIT);
        });
        if (n < 0) return n;
        if (n == 0) break;
        done += static_cast<std::uint32_t>(n);
    }
    return done;
}

bool goes_through_cache(int fd) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    return flags >= 0 && !(flags & O_DIRECT);
}

// Reads that never wait would let nobody else run.
void give_way() noexcept {
    thread_local unsigned streak = 0;
    if (++streak % streak_max == 0) yield();
}

// `what` is bytes or an array of buffers.
template <class T>
file_call call_of(kind how, int fd, std::span<T> what, std::uint64_t at) noexcept {
    constexpr bool vector = std::is_same_v<T, const iovec>;
    const auto count = std::min<std::size_t>(what.size(), vector ? IOV_MAX : detail::transfer_max);
    return {how, fd, what.data(), static_cast<std::uint32_t>(count), at};
}

// Makes any other call on a helper thread. Returns as perform().
template <class Call>
std::ptrdiff_t on_helper(const char* name, deadline until, Call call) noexcept {
    const auto n = offload(until, [&] { return invoke(name, call); });
    return n ? *n : -n.code();
}

// Never repeated: after EINTR the number is free, and may be somebody else's.
std::ptrdiff_t close_now(int fd) noexcept {
    const int n = wire::detail::sys::call("close", [&] { return ::close(fd); });
    return n == 0 || errno == EINTR ? 0 : -errno;
}

result<file> opened(std::ptrdiff_t n) noexcept {
    if (n < 0) return detail::failed(n);
    return file::adopt(static_cast<int>(n));
}

result<struct ::statx> look_at(int fd, const char* path, int flags, deadline until) noexcept {
    constexpr unsigned wanted = STATX_BASIC_STATS | STATX_BTIME;
    struct ::statx found {};
    const auto n =
        on_helper("statx", until, [&] { return ::statx(fd, path, flags, wanted, &found); });
    if (n < 0) return detail::failed(n);
    return found;
}

}  // namespace

// A helper thread makes the calls on what has no places, a pipe: they fail, but io_uring would use
// it nevertheless, and SIGPIPE could follow.
file::file(int fd) noexcept
    : fd_(fd), has_places_(::lseek(fd, 0, SEEK_CUR) >= 0), cached_(goes_through_cache(fd)) {}

// Makes the call without blocking the thread. With ECANCELED, ETIMEDOUT and ENOMEM it may not have
// been made. What it points to is not used any more.
result<std::size_t> file::perform(const file_call& call, deadline until) const noexcept {
    if (const int error = wire::detail::check_cancelled()) return failure{error};
    // The kernel takes -1 for the file's own position in some calls, and refuses it in others.
    if (static_cast<std::int64_t>(call.offset) < 0) return failure{EINVAL};
    if (cached_ && call.what == kind::read && call.len <= direct_max) {
        const auto direct = read_cached(call);
        if (direct != -EAGAIN && direct != -EOPNOTSUPP) return give_way(), detail::to_size(direct);
    }
    detail::backend* const home = detail::backend::current();
    if (!home) return failure{ECANCELED};
    return detail::to_size(has_places_ ? home->perform(call, until)
                                       : home->backend::perform(call, until));
}

result<std::size_t> file::pread(std::span<std::byte> to, std::uint64_t at,
                                deadline until) const noexcept {
    return perform(call_of(kind::read, native_handle(), to, at), until);
}

result<std::size_t> file::preadv(std::span<const iovec> to, std::uint64_t at,
                                 deadline until) const noexcept {
    return perform(call_of(kind::read_vector, native_handle(), to, at), until);
}

result<std::size_t> file::pwrite(std::span<const std::byte> from, std::uint64_t at,
                                 deadline until) const noexcept {
    return perform(call_of(kind::write, native_handle(), from, at), until);
}

result<std::size_t> file::pwritev(std::span<const iovec> from, std::uint64_t at,
                                  deadline until) const noexcept {
    return perform(call_of(kind::write_vector, native_handle(), from, at), until);
}

io_progress file::pread_exactly(std::span<std::byte> to, std::uint64_t at,
                                deadline until) const noexcept {
    return detail::move_all(
        to.size(), [&](std::size_t done) { return pread(to.subspan(done), at + done, until); });
}

io_progress file::pwrite_all(std::span<const std::byte> from, std::uint64_t at,
                             deadline until) const noexcept {
    return detail::move_all(from.size(), [&](std::size_t done) {
        return pwrite(from.subspan(done), at + done, until);
    });
}

result<struct ::statx> file::statx(deadline until) const noexcept {
    return look_at(native_handle(), "", AT_EMPTY_PATH, until);
}

result<void> file::fsync(deadline until) const noexcept {
    return outcome(on_helper("fsync", until, [&] { return ::fsync(native_handle()); }));
}

result<void> file::fdatasync(deadline until) const noexcept {
    return outcome(on_helper("fdatasync", until, [&] { return ::fdatasync(native_handle()); }));
}

result<void> file::fallocate(int mode, std::uint64_t at, std::uint64_t size,
                             deadline until) const noexcept {
    return outcome(on_helper("fallocate", until, [&] {
        return ::fallocate(native_handle(), mode, static_cast<off_t>(at), static_cast<off_t>(size));
    }));
}

result<void> file::close(deadline until) noexcept {
    if (!is_open()) return {};
    const int fd = release();  // at once: when it is closed the number may be somebody else's
    const auto closed = offload(until, close_now, fd);
    if (!closed) {
        *this = adopt(fd);
        return failure{closed.code()};
    }
    return outcome(*closed);
}

result<file> open(const char* path, int flags, mode_t mode, deadline until) noexcept {
    return opened(on_helper("openat", until,
                            [&] { return ::openat(AT_FDCWD, path, flags | O_CLOEXEC, mode); }));
}

result<void> rename(const char* from, const char* to, deadline until) noexcept {
    return outcome(on_helper("renameat2", until,
                             [&] { return ::renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }));
}

result<void> unlink(const char* path, deadline until) noexcept {
    return outcome(on_helper("unlinkat", until, [&] { return ::unlinkat(AT_FDCWD, path, 0); }));
}

result<struct ::statx> statx(const char* path, int flags, deadline until) noexcept {
    return look_at(AT_FDCWD, path, flags, until);
}

// ---- temporary files

namespace {

std::string pattern_in(const char* folder) {
    return std::string(folder) + "/wire-XXXXXX";
}

// A name that is not to stay goes at once, so that no cancellation leaves it behind.
result<file> make_from(std::string& pattern, bool name_stays, deadline until) noexcept {
    return opened(on_helper("mkostemp", until, [&] {
        const int fd = ::mkostemp(pattern.data(), O_CLOEXEC);
        if (fd >= 0 && !name_stays) invoke("unlink", [&] { return ::unlink(pattern.c_str()); });
        return fd;
    }));
}

}  // namespace

result<std::pair<file, std::string>> make_named_temporary_file(const char* folder, deadline until) {
    std::string path = pattern_in(folder);
    auto made = make_from(path, true, until);
    if (!made) return failure{made.code()};
    return std::pair(*std::move(made), std::move(path));
}

result<file> make_temporary_file(const char* folder, deadline until) {
    auto made = open(folder, O_TMPFILE | O_RDWR, 0600, until);
    // Not every file system knows files without a name.
    if (made || (made.code() != EOPNOTSUPP && made.code() != EISDIR)) return made;
    std::string path = pattern_in(folder);
    return make_from(path, false, until);
}

// ---- directories

namespace {

int read_names(const char* path, std::vector<directory_entry>& all) {
    std::unique_ptr<DIR, int (*)(DIR*)> folder(nullptr, &::closedir);
    const auto n = invoke("opendir", [&] {
        folder.reset(::opendir(path));
        return folder ? 0 : -1;
    });
    if (n < 0) return static_cast<int>(-n);
    for (;;) {
        errno = 0;
        // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else has this folder
        const dirent* const e = ::readdir(folder.get());
        if (!e) return errno;
        const std::string_view name = e->d_name;
        if (name != "." && name != "..") all.push_back({std::string(name), e->d_ino, e->d_type});
    }
}

}  // namespace

result<std::vector<directory_entry>> list_directory(const char* path, deadline until) {
    std::vector<directory_entry> all;
    const auto error = offload(until, [&] { return read_names(path, all); });
    if (!error) return failure{error.code()};
    if (*error != 0) return failure{*error};
    return all;
}

}  // namespace wire::io
