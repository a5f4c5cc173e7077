// A TCP port that refuses connections, and that nobody else can listen on meanwhile.
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string_view>

#include <wire/address.hpp>

namespace wire::test {

/// A port of its own on an address of this machine. A socket is bound to it, and does not listen.
class closed_port {
public:
    explicit closed_port(std::string_view host = "127.0.0.1")
        : address_(io::address::ip(host, 0).value()),
          fd_(::socket(address_.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        CHECK(::bind(fd_, address_.raw(), address_.length()) == 0);
        socklen_t length = io::address::length_max;
        CHECK(::getsockname(fd_, address_.room(), &length) == 0);
        address_.resize(length);
    }
    ~closed_port() { ::close(fd_); }
    closed_port(const closed_port&) = delete;
    closed_port& operator=(const closed_port&) = delete;

    [[nodiscard]] const io::address& address() const { return address_; }
    [[nodiscard]] std::uint16_t port() const { return address_.port(); }

private:
    io::address address_;
    int fd_;
};

}  // namespace wire::test
