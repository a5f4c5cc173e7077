// Connecting: what happens when nobody answers, refuses, or is too slow.
#include "support/io.hpp"

#include <fcntl.h>

#include <vector>

#include <wire/spawn.hpp>

#include "support/closed_port.hpp"
#include "support/failing_call.hpp"
#include "support/full_listener.hpp"

namespace wire::test {
namespace {

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
        auto door = io::listen_unix(own_address("connect")).value();
        auto near = io::connect_unix(own_address("connect"), soon()).value();
        auto far = door.accept(soon()).value();
        put(far, "y");
        CHECK(take(near) == "y");
    });
}

TEST_CASE("connect: nobody listens: ECONNREFUSED") {
    on_wires([] {
        const closed_port nobody;
        CHECK(io::connect_tcp("127.0.0.1", nobody.port(), soon()).code() == ECONNREFUSED);
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
        const full_listener full(io::address::local(own_address("full-queue")).value());
        CHECK(io::connect(full.where(), within(50ms)).code() == ETIMEDOUT);
    });
}

TEST_CASE("connect: a full queue of a Unix socket is waited out") {
    on_wires([] {
        const full_listener full(io::address::local(own_address("full-queue")).value());
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
        auto door = io::listen_unix(own_address("passed-deadline")).value();
        CHECK(io::connect_unix(own_address("passed-deadline"), within(-1s)).code() == 0);
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
