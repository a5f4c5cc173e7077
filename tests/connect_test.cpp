// Connecting: what happens when nobody answers, refuses, or is too slow.
#include "support/io.hpp"

#include <fcntl.h>
#include <poll.h>

#include <vector>

#include <wire/spawn.hpp>

#include "support/failing_call.hpp"

namespace wire::test {
namespace {

// A blocking listener whose queue is full: nothing accepts from it.
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

io::address any_tcp() {
    return io::address::ip("127.0.0.1", 0).value();
}

TEST_CASE("connect: a connection is made, over IPv4, IPv6 and Unix") {
    on_wires([] {
        for (const char* host : {"127.0.0.1", "::1"}) {
            auto [near, far] = tcp_pair(host);
            put(near, "x");
            CHECK(take(far) == "x");
        }
        auto door = io::listen_unix("@wire-connect-test").value();
        auto near = io::connect_unix("@wire-connect-test", soon()).value();
        auto far = door.accept(soon()).value();
        put(far, "y");
        CHECK(take(near) == "y");
    });
}

TEST_CASE("connect: nobody listens: ECONNREFUSED") {
    on_wires([] {
        const auto port = io::listen_tcp("127.0.0.1", 0)->port();  // closed again
        CHECK(io::connect_tcp("127.0.0.1", port, soon()).code() == ECONNREFUSED);
        CHECK(io::connect_unix("@nobody-is-there", soon()).code() == ECONNREFUSED);
        CHECK(io::connect_unix("/nonexistent/socket", soon()).code() == ENOENT);
    });
}

TEST_CASE("connect: a name, or too long a path, is refused without a system call") {
    on_wires([] {
        const failing_call sockets("socket", 0);
        CHECK(io::connect_tcp("localhost", 80).code() == EINVAL);
        CHECK(io::connect_unix(std::string(200, 'x')).code() == ENAMETOOLONG);
        CHECK(sockets.calls() == 0);
    });
}

TEST_CASE("connect: a full queue and a deadline: ETIMEDOUT, never a false success") {
    // libwire B5: the result of the wait was ignored, and 0 returned for a connection that is none.
    on_wires([] {
        const full_listener full(any_tcp());
        CHECK(io::connect(full.where(), within(50ms)).code() == ETIMEDOUT);
    });
}

TEST_CASE("connect: a full queue of a Unix socket and a deadline: ETIMEDOUT, too") {
    on_wires([] {
        const full_listener full(io::address::local("@wire-full-queue").value());
        CHECK(io::connect(full.where(), within(50ms)).code() == ETIMEDOUT);
    });
}

TEST_CASE("connect: a full queue of a Unix socket is waited out") {
    on_wires([] {
        const full_listener full(io::address::local("@wire-full-queue").value());
        auto near = spawn([&] { return io::connect(full.where(), soon()).code(); });
        let_others_run();
        CHECK_FALSE(near.finished());
        full.accept_one();
        CHECK(error_name(near.join(soon()).value()) == "");
    });
}

TEST_CASE("connect: cancellation ends it and closes the socket") {
    on_wires([] {
        const full_listener full(any_tcp());
        auto near = spawn([&] { return io::connect(full.where()).code(); });
        let_others_run();
        near.cancel();
        CHECK(near.join(soon()).value() == ECANCELED);
    });
}

TEST_CASE("connect: a deadline that has passed still allows what succeeds at once") {
    on_wires([] {
        auto door = io::listen_unix("@wire-passed-deadline").value();
        CHECK(io::connect_unix("@wire-passed-deadline", within(-1s)).code() == 0);
    });
}

TEST_CASE("connect: an interrupted connect goes on and succeeds") {
    on_wires([] {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        const failing_call interrupted("connect", EINTR, 1, 1);
        auto near = io::connect_tcp("127.0.0.1", door.port(), soon()).value();
        auto far = door.accept(soon()).value();
        put(near, "x");
        CHECK(take(far) == "x");
    });
}

TEST_CASE("connect: 200 wires connect at once") {
    on_wires([] {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        std::vector<handle<bool>> clients;
        for (int i = 0; i < 200; ++i)
            clients.push_back(spawn([port = door.port(), i] {
                auto near = io::connect_tcp("127.0.0.1", port, soon()).value();
                put(near, std::to_string(i));
                return take(near) == std::to_string(i);
            }));
        for (int i = 0; i < 200; ++i)
            go([peer = door.accept(soon()).value()]() mutable { put(peer, take(peer)); });
        for (auto& c : clients) CHECK(c.join(soon()).value());
    });
}

}  // namespace
}  // namespace wire::test
