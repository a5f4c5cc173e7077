// Streams: what each call returns, over Unix and over TCP connections.
#include "support/io.hpp"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <wire/spawn.hpp>

namespace wire::test {
namespace {

std::span<std::byte> bytes(std::span<char> text) {
    return std::as_writable_bytes(text);
}

TEST_CASE("stream: read returns what is there, and 0 at the end of the stream") {
    over_each([](stream& near, stream& far) {
        put(near, "hello");
        CHECK(take(far, 3) == "hel");
        CHECK(take(far) == "lo");
        near.close();
        CHECK(take(far) == "");
        CHECK(take(far) == "");
    });
}

TEST_CASE("stream: read blocks its wire until the peer writes") {
    over_each([](stream& near, stream& far) {
        auto reader = spawn([&] { return take(far); });
        let_others_run();
        CHECK_FALSE(reader.finished());
        put(near, "now");
        CHECK(reader.join(soon()).value() == "now");
    });
}

TEST_CASE("stream: read into an empty buffer returns 0 at once, with or without data") {
    over_each([](stream& near, stream& far) {
        CHECK(far.read(std::span<std::byte>(), shortly()).value_or(99) == 0);
        put(near, "x");
        CHECK(far.read(std::span<std::byte>(), shortly()).value_or(99) == 0);
        CHECK(take(far) == "x");
    });
}

TEST_CASE("stream: write of nothing returns 0 at once") {
    over_each([](stream& near, stream& far) {
        CHECK(near.write(std::span<const std::byte>(), shortly()).value_or(99) == 0);
        CHECK(near.write_all("", shortly()));
        put(near, "x");
        CHECK(take(far) == "x");
    });
}

TEST_CASE("stream: read_exactly waits for all of what comes in pieces") {
    over_each([](stream& near, stream& far) {
        go([&] {
            for (const char* part : {"a", "bc", "def"}) {
                put(near, part);
                let_others_run();
            }
        });
        std::array<char, 6> buffer{};
        const auto got = far.read_exactly(bytes(buffer), soon());
        CHECK(got);
        CHECK(got.done == 6);
        CHECK(std::string_view(buffer.data(), 6) == "abcdef");
    });
}

TEST_CASE("stream: read_at_least stops once it has enough, and takes what came along") {
    over_each([](stream& near, stream& far) {
        std::array<char, 8> buffer{};
        put(near, "abcde");
        const auto got = far.read_at_least(bytes(buffer), 2, soon());
        CHECK(got);
        CHECK(got.done == 5);
        const auto nothing = far.read_at_least(bytes(buffer), 0, soon());
        CHECK(nothing);
        CHECK(nothing.done == 0);
    });
}

TEST_CASE("stream: at the end read_exactly reports ENODATA and keeps the bytes before it") {
    over_each([](stream& near, stream& far) {
        put(near, "abc");
        near.close();
        std::array<char, 8> buffer{};
        const auto got = far.read_exactly(bytes(buffer), soon());
        CHECK(got.code == ENODATA);
        CHECK(got.error() == std::error_code(ENODATA, std::system_category()));
        CHECK(got.done == 3);
        CHECK(std::string_view(buffer.data(), 3) == "abc");
    });
}

TEST_CASE("stream: a deadline keeps the bytes that came before it") {
    over_each([](stream& near, stream& far) {
        put(near, "abc");
        std::array<char, 8> buffer{};
        const auto got = far.read_exactly(bytes(buffer), shortly());
        CHECK(got.code == ETIMEDOUT);
        CHECK(got.done == 3);
        CHECK(std::string_view(buffer.data(), 3) == "abc");
        put(near, "defgh");
        CHECK(far.read_exactly(bytes(buffer).first(5), soon()));  // the stream is as good as before
    });
}

TEST_CASE("stream: cancellation keeps the bytes that came before it") {
    over_each([](stream& near, stream& far) {
        std::array<char, 8> buffer{};
        auto reader = spawn([&] { return far.read_exactly(bytes(buffer)); });
        put(near, "abc");
        let_others_run();
        reader.cancel();
        const auto got = reader.join(soon()).value();
        CHECK(got.code == ECANCELED);
        CHECK(got.done == 3);
        CHECK(std::string_view(buffer.data(), 3) == "abc");
    });
}

TEST_CASE("stream: a cancelled wire's calls fail although they would not block") {
    over_each([](stream& near, stream& far) {
        put(near, "x");
        {
            cancel_scope scope;
            scope.cancel();
            CHECK(take(far) == "!ECANCELED");
            CHECK(far.write_all("y").code == ECANCELED);
            const shield against;
            CHECK(far.write_all("z"));
        }
        CHECK(take(far) == "x");
        CHECK(take(near) == "z");
    });
}

// Waits without the runtime: TCP may need a moment, also on loopback.
void await_arrival(const stream& at) {
    pollfd data{.fd = at.native_handle(), .events = POLLIN, .revents = 0};
    CHECK(::poll(&data, 1, 10'000) == 1);
}

TEST_CASE("stream: data that is there wins over a deadline that has passed") {
    over_each([](stream& near, stream& far) {
        put(near, "x");
        await_arrival(far);
        CHECK(take(far, 64, within(-1s)) == "x");
        CHECK(take(far, 64, within(-1s)) == "!ETIMEDOUT");
        put(near, "y");  // arrives while the reader is registered, but nobody has looked yet
        await_arrival(far);
        CHECK(take(far, 64, within(-1s)) == "y");
    });
}

TEST_CASE("stream: a deadline that passed while the wire was busy still ends the next read") {
    // libwire B6: a timeout that fired while the wire was elsewhere was dropped.
    over_each([](stream&, stream& far) {
        const deadline until = within(1ms);
        let_others_run();
        CHECK(take(far, 64, until) == "!ETIMEDOUT");
        CHECK(take(far, 64, until) == "!ETIMEDOUT");
    });
}

TEST_CASE("stream: readiness that comes while the wire is busy is not lost") {
    // libwire B3: an event for an fd that nobody waited for removed the fd from epoll.
    over_each([](stream& near, stream& far) {
        CHECK(take(far, 64, shortly()) == "!ETIMEDOUT");  // registers it
        for (int i = 0; i < 3; ++i) {
            put(near, "x");
            let_others_run();  // the event comes while nobody waits
            CHECK(take(far) == "x");
        }
        near.close();
        let_others_run();
        CHECK(take(far) == "");
    });
}

TEST_CASE("stream: one event is enough for a message that is read in small parts") {
    over_each([](stream& near, stream& far) {
        CHECK(take(far, 64, shortly()) == "!ETIMEDOUT");
        put(near, "abcdef");
        for (const char* part : {"ab", "cd", "ef"}) {
            let_others_run();
            CHECK(take(far, 2) == part);
        }
        CHECK(take(far, 2, shortly()) == "!ETIMEDOUT");
        put(near, "g");
        CHECK(take(far, 2) == "g");
    });
}

TEST_CASE("stream: a busy connection loses no wake-up while an idle one is waited for") {
    // libwire B2: with any other fd armed, a reply's wake-up got lost sooner or later.
    on_wires([] {
        auto [idle, silent] = unix_pair();
        auto [near, far] = tcp_pair();
        auto waiting = spawn([&] { return take(idle, 64, never); });
        auto server = spawn([&] { echo(far); });
        int answers = 0;
        for (int i = 0; i < 2000; ++i) {
            put(near, "x");
            answers += take(near) == "x";
        }
        CHECK(answers == 2000);
        near.close();
        server.join(soon()).value();
        silent.close();
        CHECK(waiting.join(soon()).value() == "");
    });
}

TEST_CASE("stream: a wire whose reads never block still lets the others run") {
    over_each([](stream& near, stream& far) {
        put(near, std::string(1000, 'x'));
        int reads = 0;
        int reads_before_other = -1;
        auto other = spawn([&] { reads_before_other = reads; });
        for (; reads < 1000; ++reads) CHECK(take(far, 1) == "x");
        CHECK(reads_before_other >= 0);
        CHECK(reads_before_other < 1000);
        other.join(soon()).value();
    });
}

TEST_CASE("stream: half a connection can be ended; the other half goes on") {
    over_each([](stream& near, stream& far) {
        put(near, "question");
        CHECK(near.shutdown(io::direction::write));
        CHECK(take_all(far) == "question");
        put(far, "answer");
        far.close();
        CHECK(take_all(near) == "answer");
    });
}

TEST_CASE("stream: shutdown wakes a wire that reads") {
    over_each([](stream&, stream& far) {
        auto reader = spawn([&] { return take(far); });
        let_others_run();
        CHECK(far.shutdown(io::direction::both));
        CHECK(reader.join(soon()).value() == "");
    });
}

TEST_CASE("stream: after close every call fails with EBADF, and close again is harmless") {
    over_each([](stream& near, stream&) {
        CHECK(near.is_open());
        near.close();
        near.close();
        CHECK_FALSE(near.is_open());
        CHECK(near.native_handle() == -1);
        CHECK(take(near) == "!EBADF");
        CHECK(near.write_all("x").code == EBADF);
        CHECK(near.shutdown(io::direction::both).code() == EBADF);
        CHECK(near.set_no_delay(true).code() == EBADF);
        CHECK(near.local_address().code() == EBADF);
        CHECK(near.peer_address().code() == EBADF);
        CHECK(near.release() == -1);
    });
}

TEST_CASE("stream: a default stream and a moved-from one are closed") {
    on_wires([] {
        stream none;
        CHECK(take(none) == "!EBADF");
        auto [near, far] = unix_pair();
        stream taken = std::move(near);
        CHECK_FALSE(near.is_open());
        CHECK(take(near) == "!EBADF");
        put(taken, "x");
        CHECK(take(far) == "x");
        taken = stream();  // closes what it held
        CHECK(take(far) == "");
    });
}

TEST_CASE("stream: a stream that has waited can be moved, and be waited for again") {
    over_each([](stream& near, stream& far) {
        CHECK(take(far, 64, shortly()) == "!ETIMEDOUT");
        stream moved = std::move(far);
        put(near, "x");
        CHECK(take(moved) == "x");
        far = std::move(moved);
        CHECK(take(far, 64, shortly()) == "!ETIMEDOUT");
    });
}

TEST_CASE("stream: addresses of both ends fit together") {
    on_wires([] {
        for (const char* host : {"127.0.0.1", "::1"}) {
            auto [near, far] = tcp_pair(host);
            CHECK(near.local_address()->to_string() == far.peer_address()->to_string());
            CHECK(near.peer_address()->to_string() == far.local_address()->to_string());
            CHECK(near.peer_address()->port() != 0);
        }
        auto [left, right] = unix_pair();
        CHECK(left.local_address()->to_string() == "unnamed");
        CHECK(right.peer_address()->to_string() == "unnamed");
    });
}

TEST_CASE("stream: options reach the socket") {
    on_wires([] {
        auto [near, far] = tcp_pair();
        int value = 0;
        socklen_t length = sizeof value;
        CHECK(near.set_no_delay(true));
        ::getsockopt(near.native_handle(), IPPROTO_TCP, TCP_NODELAY, &value, &length);
        CHECK(value != 0);
        CHECK(near.set_no_delay(false));
        ::getsockopt(near.native_handle(), IPPROTO_TCP, TCP_NODELAY, &value, &length);
        CHECK(value == 0);
        CHECK(near.set_option(SOL_SOCKET, SO_KEEPALIVE, 1));
        CHECK(near.set_option(SOL_SOCKET, 12345, 1).code() == ENOPROTOOPT);
    });
}

TEST_CASE("stream: adopt makes a blocking socket non-blocking and close-on-exec") {
    on_wires([] {
        int fds[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        auto near = stream::adopt(fds[0]).value();
        auto far = stream::adopt(fds[1]).value();
        CHECK((::fcntl(fds[0], F_GETFL) & O_NONBLOCK) != 0);
        CHECK((::fcntl(fds[0], F_GETFD) & FD_CLOEXEC) != 0);
        CHECK(take(near, 64, shortly()) == "!ETIMEDOUT");
        put(far, "x");
        CHECK(take(near) == "x");
    });
}

TEST_CASE("stream: adopt refuses what is no stream socket and leaves it to the caller") {
    CHECK(stream::adopt(-1).code() == EBADF);
    const int file = ::open("/dev/null", O_RDWR);
    CHECK(stream::adopt(file).code() == ENOTSOCK);
    CHECK(::close(file) == 0);
    const int udp = ::socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(stream::adopt(udp).code() == EPROTOTYPE);
    CHECK(::close(udp) == 0);
}

TEST_CASE("stream: every descriptor of the library is close-on-exec and non-blocking") {
    on_wires([] {
        auto [near, far] = tcp_pair();
        auto [left, right] = unix_pair();
        for (const stream* s : {&near, &far, &left, &right}) {
            CHECK((::fcntl(s->native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
            CHECK((::fcntl(s->native_handle(), F_GETFL) & O_NONBLOCK) != 0);
        }
    });
}

}  // namespace
}  // namespace wire::test
