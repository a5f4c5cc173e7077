#include "file_call.hpp"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include <wire/detail/park.hpp>
#include <wire/this_wire.hpp>
#include "backend.hpp"
#include "syscalls.hpp"

namespace wire::io::detail {
namespace {

// The fields as the system calls want them.
template <class T>
T* pointer(std::uint64_t field) noexcept {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): a field of a submission
    return reinterpret_cast<T*>(static_cast<std::uintptr_t>(field));
}

std::ptrdiff_t transfer(const file_call& c) noexcept {
    using kind = file_call::kind;
    const auto at = static_cast<off_t>(c.offset);
    const auto count = static_cast<int>(c.len);
    if (c.what == kind::read)
        return invoke("pread", [&] { return ::pread(c.fd, pointer<void>(c.addr), c.len, at); });
    if (c.what == kind::write)
        return invoke("pwrite",
                      [&] { return ::pwrite(c.fd, pointer<const void>(c.addr), c.len, at); });
    const auto* const parts = pointer<const iovec>(c.addr);
    if (c.what == kind::read_vector)
        return invoke("preadv", [&] { return ::preadv(c.fd, parts, count, at); });
    return invoke("pwritev", [&] { return ::pwritev(c.fd, parts, count, at); });
}

// Never repeated: after EINTR the number is free, and may be somebody else's.
std::ptrdiff_t close_now(int fd) noexcept {
    const int n = wire::detail::sys::call("close", [&] { return ::close(fd); });
    return n == 0 || errno == EINTR ? 0 : -errno;
}

}  // namespace

std::ptrdiff_t file_call::attempt() const noexcept {
    const auto* const path = pointer<const char>(addr);
    const auto options = static_cast<int>(flags);
    switch (what) {
        case kind::open:
            return invoke("openat", [&] { return ::openat(fd, path, options, len); });
        case kind::close:
            return close_now(fd);
        case kind::read:
        case kind::read_vector:
        case kind::write:
        case kind::write_vector:
            return transfer(*this);
        case kind::statx:
            return invoke("statx", [&] {
                return ::statx(fd, path, options, len, pointer<struct statx>(offset));
            });
        case kind::sync:
            if (flags != 0) return invoke("fdatasync", [&] { return ::fdatasync(fd); });
            return invoke("fsync", [&] { return ::fsync(fd); });
        case kind::allocate:
            return invoke("fallocate", [&] {
                return ::fallocate(fd, static_cast<int>(len), static_cast<off_t>(offset),
                                   static_cast<off_t>(addr));
            });
        case kind::rename:
            return invoke("renameat2", [&] {
                return ::renameat2(fd, path, static_cast<int>(len), pointer<const char>(offset),
                                   flags);
            });
        case kind::unlink:
            return invoke("unlinkat", [&] { return ::unlinkat(fd, path, options); });
    }
    return -EINVAL;
}

namespace {

constexpr std::uint32_t direct_max = 64 * 1024;  // bytes that may be copied on this thread
constexpr unsigned streak_max = 64;              // reads in a row after which others run

// Reads what the page cache has. -EAGAIN: not all is there; -EOPNOTSUPP: it cannot be known.
std::ptrdiff_t read_cached(const file_call& c) noexcept {
    std::uint32_t done = 0;
    while (done < c.len) {
        const iovec rest{pointer<std::byte>(c.addr) + done, c.len - done};
        const auto n = invoke("preadv2", [&] {
            return ::preadv2(c.fd, &rest, 1, static_cast<off_t>(c.offset + done), RWF_NOWAIT);
        });
        if (n < 0) return n;
        if (n == 0) break;
        done += static_cast<std::uint32_t>(n);
    }
    return done;
}

bool has_place(file_call::kind what) noexcept {
    using kind = file_call::kind;
    return what == kind::read || what == kind::read_vector || what == kind::write ||
           what == kind::write_vector;
}

// Reads that never wait would let nobody else run.
void give_way() noexcept {
    thread_local unsigned streak = 0;
    if (++streak % streak_max == 0) yield();
}

}  // namespace

std::ptrdiff_t perform(const file_call& call, deadline until) noexcept {
    if (const int error = wire::detail::check_cancelled()) return -error;
    // The kernel takes -1 for the file's own position in some calls, and refuses it in others.
    if (has_place(call.what) && static_cast<std::int64_t>(call.offset) < 0) return -EINVAL;
    if (call.what == file_call::kind::read && call.len <= direct_max) {
        const auto direct = read_cached(call);
        if (direct != -EAGAIN && direct != -EOPNOTSUPP) return give_way(), direct;
    }
    backend* const home = backend::current();
    return home ? home->perform(call, until) : -ECANCELED;
}

}  // namespace wire::io::detail
