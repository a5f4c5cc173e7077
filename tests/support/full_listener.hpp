// A listener that lets nobody in: connecting to it hangs.
#pragma once

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include <wire/address.hpp>

namespace wire::test {

/// A blocking listener whose queue is full: nothing accepts from it.
class full_listener {
public:
    explicit full_listener(const io::address& at) : door_(::socket(at.family(), SOCK_STREAM, 0)) {
        CHECK(::bind(door_, at.raw(), at.length()) == 0);
        CHECK(::listen(door_, 0) == 0);
        socklen_t length = sizeof bound_;
        ::getsockname(door_, reinterpret_cast<sockaddr*>(&bound_), &length);
        length_ = length;
        while (one_more()) {
        }
    }
    ~full_listener() {
        for (const int fd : clients_) ::close(fd);
        ::close(door_);
    }
    [[nodiscard]] io::address where() const {
        return io::address::from(reinterpret_cast<const sockaddr*>(&bound_), length_);
    }
    void accept_one() const { ::close(::accept(door_, nullptr, nullptr)); }

private:
    bool one_more() {
        const int fd = ::socket(bound_.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
        clients_.push_back(fd);
        if (::connect(fd, reinterpret_cast<const sockaddr*>(&bound_), length_) == 0) return true;
        if (errno != EINPROGRESS) return false;
        pollfd p{.fd = fd, .events = POLLOUT, .revents = 0};
        return ::poll(&p, 1, 50) == 1;
    }

    int door_;
    sockaddr_storage bound_{};
    socklen_t length_ = 0;
    std::vector<int> clients_;
};

}  // namespace wire::test
