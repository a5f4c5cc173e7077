#include <wire/address.hpp>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

namespace wire::io {
namespace {

constexpr std::size_t path_offset = offsetof(sockaddr_un, sun_path);

template <class Sockaddr>
const Sockaddr& as(const address& a) noexcept {
    return *reinterpret_cast<const Sockaddr*>(a.raw());
}

template <class Sockaddr>
address made_of(const Sockaddr& fields, std::size_t length = sizeof(Sockaddr)) noexcept {
    return address::from(reinterpret_cast<const sockaddr*>(&fields),
                         static_cast<socklen_t>(length));
}

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
        return made_of(v4);
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
    return made_of(v6);
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
    return made_of(un, path_offset + path.size() + (abstract ? 0 : 1));
}

std::uint16_t address::port() const noexcept {
    if (family() == AF_INET) return ntohs(as<sockaddr_in>(*this).sin_port);
    if (family() == AF_INET6) return ntohs(as<sockaddr_in6>(*this).sin6_port);
    return 0;
}

std::string address::path() const {
    if (family() != AF_UNIX || length_ <= path_offset) return {};
    const char* const name = as<sockaddr_un>(*this).sun_path;
    if (name[0] != '\0') return {name, ::strnlen(name, length_ - path_offset)};
    return '@' + std::string(name + 1, length_ - path_offset - 1);
}

std::string address::to_string() const {
    char text[INET6_ADDRSTRLEN];
    if (family() == AF_INET) {
        ::inet_ntop(AF_INET, &as<sockaddr_in>(*this).sin_addr, text, sizeof text);
        return std::string(text) + ":" + std::to_string(port());
    }
    if (family() == AF_INET6) {
        ::inet_ntop(AF_INET6, &as<sockaddr_in6>(*this).sin6_addr, text, sizeof text);
        std::string shown("[");
        shown.append(text).append("]:").append(std::to_string(port()));
        return shown;
    }
    const std::string name = path();
    return name.empty() ? "unnamed" : name;
}

}  // namespace wire::io
