#include <wire/address.hpp>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace wire::io {
namespace {

constexpr std::size_t path_offset = offsetof(sockaddr_un, sun_path);

}  // namespace

address address::from(const sockaddr* raw, socklen_t length) noexcept {
    address a;
    a.resize(length);
    std::memcpy(&a.storage_, raw, a.length_);
    return a;
}

void address::resize(socklen_t length) noexcept {
    length_ = std::min(length, length_max);
    if (length_ == 0) storage_.ss_family = AF_UNSPEC;
}

result<address> address::ip(std::string_view host, std::uint16_t port) noexcept {
    char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1]{};
    if (host.empty() || host.size() >= sizeof text || host.find('\0') != host.npos)
        return failure{EINVAL};
    std::memcpy(text, host.data(), host.size());

    sockaddr_in v4{};
    if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        return from(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
    }
    sockaddr_in6 v6{};
    if (char* const scope = std::strchr(text, '%')) {
        *scope = '\0';
        v6.sin6_scope_id = ::if_nametoindex(scope + 1);
        if (v6.sin6_scope_id == 0) return failure{EINVAL};
    }
    if (::inet_pton(AF_INET6, text, &v6.sin6_addr) != 1) return failure{EINVAL};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    return from(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
}

result<address> address::local(std::string_view path) noexcept {
    sockaddr_un un{};
    if (path.empty() || path.find('\0') != path.npos) return failure{EINVAL};
    if (path.size() >= sizeof un.sun_path) return failure{ENAMETOOLONG};
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, path.data(), path.size());
    const bool abstract = path.front() == '@';
    if (abstract) un.sun_path[0] = '\0';
    // A path is counted with its terminating zero, an abstract name without.
    const std::size_t length = path_offset + path.size() + (abstract ? 0 : 1);
    return from(reinterpret_cast<const sockaddr*>(&un), static_cast<socklen_t>(length));
}

std::uint16_t address::port() const noexcept {
    if (family() == AF_INET)
        return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
    if (family() == AF_INET6)
        return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port);
    return 0;
}

std::string address::path() const {
    if (family() != AF_UNIX || length_ <= path_offset) return {};
    const auto* const un = reinterpret_cast<const sockaddr_un*>(&storage_);
    if (un->sun_path[0] != '\0')
        return {un->sun_path, ::strnlen(un->sun_path, length_ - path_offset)};
    std::string name(un->sun_path, length_ - path_offset);
    name[0] = '@';
    return name;
}

std::string address::to_string() const {
    char text[INET6_ADDRSTRLEN];
    if (family() == AF_INET) {
        ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr, text,
                    sizeof text);
        return std::string(text) + ":" + std::to_string(port());
    }
    if (family() == AF_INET6) {
        ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr, text,
                    sizeof text);
        std::string shown("[");
        shown.append(text).append("]:").append(std::to_string(port()));
        return shown;
    }
    const std::string name = path();
    return name.empty() ? "unnamed" : name;
}

}  // namespace wire::io
