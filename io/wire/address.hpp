// Socket addresses: numeric IPv4 and IPv6, and Unix paths.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include <wire/config.hpp>
#include <wire/result.hpp>

namespace wire::io {

/// An address of a socket. A value, which allocates nothing; only to_string() and path() do.
class WIRE_API address {
public:
    /// No address: family 0 (AF_UNSPEC).
    address() noexcept = default;

    /// From a numeric address ("127.0.0.1", "::1", "fe80::1%eth0") and a port. Fails with EINVAL
    /// for anything else: names need a resolver.
    static result<address> ip(std::string_view host, std::uint16_t port) noexcept;
    /// A path of the file system, or with a leading '@' a name in the abstract namespace. Fails
    /// with ENAMETOOLONG (107 bytes at most) or EINVAL (empty).
    static result<address> local(std::string_view path) noexcept;
    /// From what the system calls return; more than a sockaddr_storage holds is cut.
    static address from(const sockaddr* raw, socklen_t length) noexcept;

    /// AF_INET, AF_INET6, AF_UNIX or what from() was given.
    [[nodiscard]] int family() const noexcept { return storage_.ss_family; }
    [[nodiscard]] std::uint16_t port() const noexcept;  ///< 0 for a Unix socket
    /// "127.0.0.1:80", "[::1]:80" (without a scope), "/path", "@name" or "unnamed". Throws
    /// std::bad_alloc.
    [[nodiscard]] std::string to_string() const;
    /// The path of a Unix socket, "@name" if it is an abstract name; empty for others. Throws
    /// std::bad_alloc.
    [[nodiscard]] std::string path() const;

    /// For the system calls; points into this object.
    [[nodiscard]] const sockaddr* raw() const noexcept {
        return reinterpret_cast<const sockaddr*>(&storage_);
    }
    [[nodiscard]] socklen_t length() const noexcept { return length_; }
    /// Where a system call may write an address of up to length_max bytes; then tell resize() how
    /// many it wrote. None: no address.
    [[nodiscard]] sockaddr* room() noexcept { return reinterpret_cast<sockaddr*>(&storage_); }
    void resize(socklen_t length) noexcept;
    static constexpr socklen_t length_max = sizeof(sockaddr_storage);

private:
    sockaddr_storage storage_{};
    socklen_t length_ = 0;
};

}  // namespace wire::io
