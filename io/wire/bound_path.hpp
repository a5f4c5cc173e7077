// The path of a Unix socket: made by us, so removed by us.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <wire/config.hpp>

namespace wire::io::detail {

/// Owns the path to which a socket of ours was bound; perhaps none.
class WIRE_API bound_path {
public:
    bound_path() noexcept = default;
    explicit bound_path(std::string path) noexcept;
    bound_path(bound_path&& other) noexcept
        : path_(std::exchange(other.path_, {})), inode_(other.inode_) {}
    bound_path& operator=(bound_path&& other) noexcept {
        remove();
        path_ = std::exchange(other.path_, {});
        inode_ = other.inode_;
        return *this;
    }
    ~bound_path() { remove(); }

    /// Removes it, unless another socket has been put there meanwhile.
    void remove() noexcept;
    /// Leaves it to others.
    void leave() noexcept { path_.clear(); }

private:
    std::string path_;
    std::uint64_t inode_ = 0;
};

}  // namespace wire::io::detail
