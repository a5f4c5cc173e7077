// Descriptors as one of several things to wait for: readable_wait and writable_wait.
#include "support/io.hpp"

#include <fcntl.h>
#include <stdlib.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <wire/datagram.hpp>
#include <wire/listener.hpp>
#include <wire/spawn.hpp>
#include <wire/stream.hpp>
#include <wire/wait.hpp>
#include <wire/wait_fd.hpp>
#include "support/diagnostics.hpp"
#include "support/raw_pipe.hpp"

namespace wire::test {
namespace {

using io::readable_wait;
using io::writable_wait;
using namespace std::chrono_literals;

void write_byte(io::stream& s) {
    const std::byte b{1};
    CHECK(s.write_all(std::span(&b, 1)));
}

TEST_CASE("fd wait: in a list with a timer, and again and again") {
    on_wires([] {
        const raw_pipe p;
        readable_wait data(p.fds[0]);
        wire::timer limit(within(1h));
        wait_list either;
        either.chain(limit);
        either.chain(data);
        for (int i = 0; i < 3; ++i) {
            go([&] { p.put(); });
            CHECK(either.await(soon()).value() == &data);
            CHECK(data.status());
            CHECK(p.take());
            data.reset();
            CHECK_FALSE(data.triggered());
        }
        limit.arm(within(1ms));
        CHECK(either.await(soon()).value() == &limit);
    });
}

TEST_CASE("fd wait: what is ready already triggers it, also after a reset") {
    on_wires([] {
        const raw_pipe p;
        writable_wait room(p.fds[1]);
        CHECK(room.await(soon()));
        p.put();
        readable_wait data(p.fds[0]);
        CHECK(data.await(soon()));
        data.reset();
        CHECK(data.await(soon()));
    });
}

TEST_CASE("fd wait: an event that comes while the wire is elsewhere is not lost") {
    // In libwire the descriptor was dropped then (B3).
    on_wires([] {
        const raw_pipe p;
        readable_wait data(p.fds[0]);
        p.put();
        CHECK(sleep(within(5ms)));
        CHECK(data.triggered());
        CHECK(data.await(soon()));
    });
}

TEST_CASE("fd wait: two waits and a wire may wait for one direction") {
    on_wires([] {
        const raw_pipe p;
        readable_wait a(p.fds[0]), b(p.fds[0]);
        auto h = spawn([&] { CHECK(io::wait_readable(p.fds[0], soon())); });
        yield();
        p.put();
        CHECK(a.await(soon()));
        CHECK(b.await(soon()));
        CHECK(h.join(soon()));
    });
}

TEST_CASE("fd wait: a wait that only looks takes nothing from a wire that reads") {
    on_wires([] {
        auto [near, far] = io::make_stream_pair().value();
        std::array<std::byte, 8> buffer;
        auto first = spawn([&] { CHECK(near.read(buffer, soon()).value() == 1); });
        yield();
        write_byte(far);
        CHECK(first.join(soon()));  // registered now
        readable_wait looks(near.native_handle());
        CHECK_FALSE(looks.triggered());
        auto reader = spawn([&] { CHECK(near.read(buffer, soon()).value() == 1); });
        yield();
        write_byte(far);
        CHECK(reader.join(soon()));
        CHECK(looks.triggered());
    });
}

TEST_CASE("fd wait: a stream that was watched before it first waits is watched on") {
    on_wires([] {
        auto [near, far] = io::make_stream_pair().value();
        std::array<std::byte, 8> buffer;
        readable_wait data(near.native_handle());
        auto reader = spawn([&] { CHECK(near.read(buffer, soon()).value() == 1); });
        yield();  // now it is registered as the library's: a hint, no error
        CHECK(data.status());
        data.reset();
        CHECK_FALSE(data.triggered());
        write_byte(far);
        CHECK(data.await(soon()));
        CHECK(data.status());
        CHECK(reader.join(soon()));
    });
}

TEST_CASE("fd wait: closing one of our descriptors triggers it with EBADF") {
    on_wires([] {
        auto [near, far] = io::make_stream_pair().value();
        std::array<std::byte, 8> buffer;
        CHECK(near.read(buffer, within(1ms)).code() == ETIMEDOUT);
        readable_wait data(near.native_handle());
        CHECK_FALSE(data.triggered());
        near.close();
        CHECK(data.await(soon()));
        CHECK(data.status().code() == EBADF);
        data.reset();  // nobody has that number now
        CHECK(data.triggered());
        CHECK(data.status().code() == EBADF);
    });
}

TEST_CASE("fd wait: a regular file is ready, a number that is not open an error") {
    on_wires([] {
        char name[] = "/tmp/wire-fd-wait-XXXXXX";
        const int file = ::mkstemp(name);
        CHECK(file >= 0);
        const readable_wait ready(file);
        CHECK(ready.triggered());
        CHECK(ready.status());
        ::unlink(name);
        ::close(file);
        const readable_wait bad(-1);
        CHECK(bad.triggered());
        CHECK(bad.status().code() == EBADF);
    });
}

TEST_CASE("fd wait: stopped, it is not triggered, and no longer keeps the runtime waiting") {
    const caught_diagnostics said;
    const raw_pipe p;
    runtime rt;
    io::reactor reactor(rt);
    wire::wait other;
    bool asleep = false;
    rt.go([&] {
        readable_wait data(p.fds[0]);
        data.stop();
        p.put();
        CHECK(sleep(within(2ms)));
        CHECK_FALSE(data.triggered());
        asleep = true;
        CHECK(other.await());
    });
    CHECK(rt.run().code() == EDEADLK);
    CHECK(asleep);
    CHECK(other.wake());
    CHECK(rt.run());
}

TEST_CASE("fd wait: a triggered one no longer counts either") {
    const caught_diagnostics said;
    const raw_pipe p;
    runtime rt;
    io::reactor reactor(rt);
    wire::wait other;
    rt.go([&] {
        const readable_wait data(p.fds[0]);
        p.put();
        CHECK(sleep(within(2ms)));
        CHECK(data.triggered());
        CHECK(other.await());
    });
    CHECK(rt.run().code() == EDEADLK);
    CHECK(other.wake());
    CHECK(rt.run());
}

TEST_CASE("fd wait: a listener is readable while connections wait, whoever holds them") {
    on_wires([] {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        auto first = spawn([&] { return door.accept(soon()).has_value(); });
        let_others_run();
        std::vector<io::stream> clients;
        const auto knock = [&] {
            clients.push_back(io::connect_tcp("127.0.0.1", door.port()).value());
        };
        knock();
        CHECK(first.join(soon()).value());
        auto waiting =
            spawn([&] { return io::wait_readable(door.native_handle(), soon()).code(); });
        let_others_run();
        knock();
        CHECK(waiting.join(soon()).value() == 0);
        CHECK(io::wait_readable(door.native_handle(), soon()));  // still
        readable_wait in_list(door.native_handle());
        CHECK(in_list.await(soon()));
        CHECK(door.accept(soon()));
        CHECK(door.accept(within(1ms)).code() == ETIMEDOUT);
    });
}

TEST_CASE("fd wait: one that began before any read learns that the stream is closed") {
    on_wires([] {
        auto [near, far] = io::make_stream_pair().value();
        auto waiting =
            spawn([&] { return io::wait_readable(near.native_handle(), soon()).code(); });
        let_others_run();
        std::array<std::byte, 8> buffer;
        CHECK(near.read(buffer, within(1ms)).code() == ETIMEDOUT);
        near.close();
        CHECK(waiting.join(soon()).value() == EBADF);
        CHECK(far.read(buffer, soon()).value_or(1) == 0);  // and its peer, too
    });
}

TEST_CASE("fd wait: the port of a closed socket is free at once, also if a wire waited") {
    on_wires([] {
        auto socket = io::bind_udp("127.0.0.1", 0).value();
        const std::uint16_t port = socket.local_address().value().port();
        std::array<std::byte, 8> buffer;
        auto waiting = spawn([&] { return socket.receive(buffer, soon()).code(); });
        let_others_run();
        CHECK(socket.receive(buffer, within(1ms)).code() == ETIMEDOUT);  // the poll is under way
        socket.close();
        CHECK(io::bind_udp("127.0.0.1", port));
        CHECK(waiting.join(soon()).value() == EBADF);
    });
}

}  // namespace
}  // namespace wire::test
