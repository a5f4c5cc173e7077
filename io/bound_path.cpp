#include <wire/bound_path.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include "socket.hpp"
#include "syscalls.hpp"

namespace wire::io::detail {
namespace {

std::uint64_t inode_of(const std::string& path) noexcept {
    struct stat s {};
    return ::lstat(path.c_str(), &s) == 0 ? s.st_ino : 0;
}

result<void> bind_to(int fd, const address& at) noexcept {
    return outcome(invoke("bind", [&] { return ::bind(fd, at.raw(), at.length()); }));
}

// Whether `path` is a socket that nobody uses any more.
bool is_stale(const address& at, const std::string& path, int type) noexcept {
    struct stat s {};
    if (::lstat(path.c_str(), &s) != 0 || !S_ISSOCK(s.st_mode)) return false;
    const auto probe = make_socket(AF_UNIX, type);
    return probe && invoke("connect", [&] {
                        return ::connect(probe->number(), at.raw(), at.length());
                    }) == -ECONNREFUSED;
}

}  // namespace

bound_path::bound_path(std::string path) noexcept
    : path_(std::move(path)), inode_(inode_of(path_)) {}

void bound_path::remove() noexcept {
    if (!path_.empty() && inode_of(path_) == inode_) ::unlink(path_.c_str());
    path_.clear();
}

result<bound_path> bind(int fd, const address& at, int type) noexcept {
    const std::string path = at.path();
    const bool in_file_system = !path.empty() && path.front() != '@';
    auto bound = bind_to(fd, at);
    if (bound.code() == EADDRINUSE && in_file_system && is_stale(at, path, type)) {
        const auto n = invoke("unlink", [&] { return ::unlink(path.c_str()); });
        bound = n < 0 ? outcome(n) : bind_to(fd, at);
    }
    if (!bound) return failure{bound.code()};
    return in_file_system ? bound_path(path) : bound_path();
}

}  // namespace wire::io::detail
