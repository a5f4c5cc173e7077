// Shared memory in this process: a mapping, and what it is of.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace wire::shm::detail {

/// Why something could not be opened or attached to: an errno, and a sentence.
struct refusal {
    int error = 0;
    const char* why = "";
    explicit operator bool() const noexcept { return error != 0; }
};

/// Memory of a descriptor, which it owns, or of the caller's. Not inherited by a forked child.
class mapping {
public:
    mapping() noexcept = default;
    explicit mapping(std::span<std::byte> of_caller) noexcept : bytes_(of_caller) {}
    mapping(mapping&& other) noexcept
        : bytes_(std::exchange(other.bytes_, {})),
          fd_(std::exchange(other.fd_, -1)),
          pid_(other.pid_) {}
    mapping& operator=(mapping&& other) noexcept {
        std::swap(bytes_, other.bytes_);
        std::swap(fd_, other.fd_);
        std::swap(pid_, other.pid_);
        return *this;
    }
    ~mapping() {
        if (fd_ < 0) return;
        // A forked child has something else there.
        if (!bytes_.empty() && ::getpid() == pid_) ::munmap(bytes_.data(), bytes_.size());
        ::close(fd_);
    }

    /// Takes over `fd`, also if it fails.
    refusal map(int fd, std::size_t size) noexcept {
        fd_ = fd;
        void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) return {errno, "mmap: is there address space, and is it no pipe?"};
        bytes_ = {static_cast<std::byte*>(at), size};
        pid_ = ::getpid();
        ::madvise(at, size, MADV_DONTFORK);
        return {};
    }

    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
    /// -1: memory of the caller's.
    [[nodiscard]] int fd() const noexcept { return fd_; }

    /// So that later uses of these bytes need no more memory, or do not end in SIGBUS.
    refusal reserve(std::uint64_t at, std::uint64_t size) const noexcept {
        if (fd_ < 0) return {};
        int error;
        do {
            error = ::posix_fallocate(fd_, static_cast<off_t>(at), static_cast<off_t>(size));
        } while (error == EINTR);
        return {error, error ? "posix_fallocate: the file system of the ring is full" : ""};
    }

private:
    std::span<std::byte> bytes_;
    int fd_ = -1;
    pid_t pid_ = 0;  // in which it is mapped
};

inline refusal check_memory(const struct stat& s) noexcept {
    if (!S_ISREG(s.st_mode)) return {EPROTO, "it is not a file with shared memory"};
    return {};
}

/// Whether only the owner, who is this user, can open it.
inline refusal check_private(const struct stat& s) noexcept {
    if (const refusal no = check_memory(s)) return no;
    if (s.st_uid != ::geteuid()) return {EPERM, "it belongs to another user"};
    if ((s.st_mode & 077) != 0) return {EPERM, "others may open it, too: its mode must be 0600"};
    return {};
}

}  // namespace wire::shm::detail
