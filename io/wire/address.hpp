// Socket addresses: numeric IPv4 and IPv6, and Unix paths.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include <wire/config.hpp>
#include <wire/result.hpp>

namespace wire::io {

/// An address of a socket. A value, without allocation.
class WIRE_API address {
public:
    address() noexcept = default;

    /// From a numeric address ("127.0.0.1", "::1", "fe80::1%eth0") and a port. Fails with EINVAL
    /// for anything else: names need a resolver.
    static result<address> ip(std::string_view host, std::uint16_t port) noexcept;
    /// A path of the file system, or with a leading '@' a name in the abstract namespace. Fails
    /// with ENAMETOOLONG (107 bytes at most) or EINVAL (empty).
    static result<address> local(std::string_view path) noexcept;
    /// From what the system calls return.
    static address from(const sockaddr* raw, socklen_t length) noexcept;

    [[nodiscard]] int family() const noexcept { return storage_.ss_family; }
    [[nodiscard]] std::uint16_t port() const noexcept;  ///< 0 for a Unix socket
    /// "127.0.0.1:80", "[::1]:80", "/path", "@name" or "unnamed".
    [[nodiscard]] std::string to_string() const;
    /// The path of a Unix socket; empty for others.
    [[nodiscard]] std::string path() const;

    [[nodiscard]] const sockaddr* raw() const noexcept {
        return reinterpret_cast<const sockaddr*>(&storage_);
    }
    [[nodiscard]] socklen_t length() const noexcept { return length_; }

private:
    sockaddr_storage storage_{};
    socklen_t length_ = 0;
};

}  // namespace wire::io
