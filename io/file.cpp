#include <wire/file.hpp>

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>
#include <string_view>

#include <wire/offload.hpp>
#include "file_call.hpp"
#include "syscalls.hpp"

namespace wire::io {
namespace {

using detail::file_call;
using detail::invoke;
using detail::outcome;
using detail::perform;
using detail::to_size;
using kind = detail::file_call::kind;

std::uint64_t field(const void* pointer) noexcept {
    return reinterpret_cast<std::uintptr_t>(pointer);
}

result<file> opened(std::ptrdiff_t n) noexcept {
    if (n < 0) return failure{static_cast<int>(0 - n)};  // clang-tidy cannot follow -n
    return file::adopt(static_cast<int>(n));
}

template <class Byte>
result<std::size_t> move_bytes(kind what, int fd, std::span<Byte> buffer, std::uint64_t at,
                               deadline until) noexcept {
    const auto size = static_cast<std::uint32_t>(std::min(buffer.size(), detail::transfer_max));
    return to_size(perform({what, fd, field(buffer.data()), size, at}, until));
}

result<std::size_t> move_parts(kind what, int fd, std::span<const iovec> parts, std::uint64_t at,
                               deadline until) noexcept {
    const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(parts.size(), IOV_MAX));
    return to_size(perform({what, fd, field(parts.data()), count, at}, until));
}

result<struct ::statx> look_at(int fd, const char* path, int flags, deadline until) noexcept {
    struct ::statx found {};
    const auto n = perform({kind::statx, fd, field(path), STATX_BASIC_STATS | STATX_BTIME,
                            field(&found), static_cast<std::uint32_t>(flags)},
                           until);
    if (n < 0) return failure{static_cast<int>(-n)};
    return found;
}

}  // namespace

file::~file() {
    if (fd_ >= 0) static_cast<void>(file_call{kind::close, fd_}.attempt());
}

result<std::size_t> file::pread(std::span<std::byte> to, std::uint64_t at,
                                deadline until) const noexcept {
    return move_bytes(kind::read, fd_, to, at, until);
}

result<std::size_t> file::preadv(std::span<const iovec> to, std::uint64_t at,
                                 deadline until) const noexcept {
    return move_parts(kind::read_vector, fd_, to, at, until);
}

result<std::size_t> file::pwrite(std::span<const std::byte> from, std::uint64_t at,
                                 deadline until) const noexcept {
    return move_bytes(kind::write, fd_, from, at, until);
}

result<std::size_t> file::pwritev(std::span<const iovec> from, std::uint64_t at,
                                  deadline until) const noexcept {
    return move_parts(kind::write_vector, fd_, from, at, until);
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
    return look_at(fd_, "", AT_EMPTY_PATH, until);
}

result<void> file::fsync(deadline until) const noexcept {
    return outcome(perform({kind::sync, fd_}, until));
}

result<void> file::fdatasync(deadline until) const noexcept {
    constexpr std::uint32_t data_only = 1;  // IORING_FSYNC_DATASYNC
    return outcome(perform({kind::sync, fd_, 0, 0, 0, data_only}, until));
}

result<void> file::fallocate(int mode, std::uint64_t at, std::uint64_t size,
                             deadline until) const noexcept {
    return outcome(
        perform({kind::allocate, fd_, size, static_cast<std::uint32_t>(mode), at}, until));
}

result<void> file::close(deadline until) noexcept {
    if (fd_ < 0) return {};
    const auto n = perform({kind::close, fd_}, until);
    if (n != -ETIMEDOUT && n != -ECANCELED && n != -ENOMEM) fd_ = -1;
    return outcome(n);
}

result<file> open(const char* path, int flags, mode_t mode, deadline until) noexcept {
    return opened(perform(
        {kind::open, AT_FDCWD, field(path), mode, 0, static_cast<std::uint32_t>(flags | O_CLOEXEC)},
        until));
}

result<void> rename(const char* from, const char* to, deadline until) noexcept {
    constexpr auto here = static_cast<std::uint32_t>(AT_FDCWD);
    return outcome(perform({kind::rename, AT_FDCWD, field(from), here, field(to)}, until));
}

result<void> unlink(const char* path, deadline until) noexcept {
    return outcome(perform({kind::unlink, AT_FDCWD, field(path)}, until));
}

result<struct ::statx> statx(const char* path, int flags, deadline until) noexcept {
    return look_at(AT_FDCWD, path, flags, until);
}

// ---- temporary files

namespace {

std::string pattern_in(const char* folder) {
    return std::string(folder) + "/wire-XXXXXX";
}

// On a helper; `path` is a pattern before.
std::ptrdiff_t make_named(std::string& path) noexcept {
    return invoke("mkostemp", [&] { return ::mkostemp(path.data(), O_CLOEXEC); });
}

// At once, so that no cancellation leaves the name behind.
std::ptrdiff_t make_unnamed(std::string& path) noexcept {
    const auto fd = make_named(path);
    if (fd >= 0) invoke("unlink", [&] { return ::unlink(path.c_str()); });
    return fd;
}

}  // namespace

result<std::pair<file, std::string>> make_named_temporary_file(const char* folder, deadline until) {
    std::string path = pattern_in(folder);
    const auto fd = offload(until, make_named, path);
    if (!fd) return failure{fd.code()};
    auto made = opened(*fd);
    if (!made) return failure{made.code()};
    return std::pair(*std::move(made), std::move(path));
}

result<file> make_temporary_file(const char* folder, deadline until) {
    auto made = open(folder, O_TMPFILE | O_RDWR, 0600, until);
    // Not every file system knows files without a name.
    if (made || (made.code() != EOPNOTSUPP && made.code() != EISDIR)) return made;
    std::string path = pattern_in(folder);
    const auto fd = offload(until, make_unnamed, path);
    if (!fd) return failure{fd.code()};
    return opened(*fd);
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
