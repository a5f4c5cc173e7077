// What tests of the io layer share: a runtime with a reactor, connected streams, results as text.
#pragma once

#include <dirent.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <wire/cancel.hpp>
#include <wire/listener.hpp>
#include <wire/reactor.hpp>
#include <wire/runtime.hpp>
#include <wire/stream.hpp>
#include "threads.hpp"

namespace wire::test {

using namespace std::chrono_literals;
using io::listener;
using io::stream;

/// A bound for what must happen: a test that runs into it fails, instead of hanging.
inline deadline soon() {
    return within(10s);
}
/// A delay that a test waits for on purpose.
inline deadline shortly() {
    return within(10ms);
}

inline int open_descriptors() {
    int n = 0;
    DIR* const all = ::opendir("/proc/self/fd");
    while (::readdir(all)) ++n;
    ::closedir(all);
    return n;
}

/// Whether no more than `n` stay open: another thread may be about to close some.
inline bool descriptors_fall_to(int n) {
    return comes_true([n] { return open_descriptors() <= n; });
}

/// Runs `body` as the first wire of a runtime with a reactor, until every wire has ended, and
/// demands that no descriptor stays open.
template <class F>
void on_wires(F body, const io::reactor_options& options = {}) {
    const int before = open_descriptors();
    ::alarm(60);
    {
        // Assertions of the test framework need deeper stacks than wires usually have.
        runtime rt({.stack = {.size = 256 * 1024}});
        const io::reactor reactor(rt, options);
        rt.go({.name = "test"}, std::move(body));
        CHECK(rt.run());
    }
    ::alarm(0);
    CHECK(open_descriptors() == before);
}

using stream_pair = std::pair<stream, stream>;

/// Two ends of a TCP connection on loopback. On a wire.
inline stream_pair tcp_pair(std::string_view host = "127.0.0.1") {
    auto door = io::listen_tcp(host, 0).value();
    auto near = io::connect_tcp(host, door.port(), soon()).value();
    return {std::move(near), door.accept(soon()).value()};
}
inline stream_pair unix_pair() {
    return io::make_stream_pair().value();
}

/// Runs `body(near, far)` on wires, over a Unix and over a TCP connection.
template <class F>
void over_each(F body) {
    for (const bool tcp : {false, true}) {
        CAPTURE(tcp);
        on_wires([&] {
            auto [near, far] = tcp ? tcp_pair() : unix_pair();
            body(near, far);
        });
    }
}

/// A small kernel buffer, so that long texts leave in many parts.
inline void shrink_buffer(stream& s) {
    CHECK(s.set_option(SOL_SOCKET, SO_SNDBUF, 16 * 1024));
}

/// The error's name with an exclamation mark: "!ECONNRESET"; "" for 0.
inline std::string error_name(int code) {
    return code == 0 ? "" : std::string("!") + ::strerrorname_np(code);
}

/// What one read() brought: text, "" at the end of the stream, or the error's name.
inline std::string take(stream& s, std::size_t size = 64, deadline until = soon()) {
    std::string buffer(size, '\0');
    const auto n = s.read(std::as_writable_bytes(std::span(buffer)), until);
    if (!n) return error_name(n.code());
    buffer.resize(*n);
    return buffer;
}

/// What came until the end of the stream, with the error's name if another end was met.
inline std::string take_all(stream& s, deadline until = soon()) {
    std::string all;
    std::array<char, 8192> buffer;
    for (;;) {
        const auto n = s.read(std::as_writable_bytes(std::span(buffer)), until);
        if (!n) return all + error_name(n.code());
        if (*n == 0) return all;
        all.append(buffer.data(), *n);
    }
}

/// Sends all of `text`, demanding that it works.
inline void put(stream& s, std::string_view text) {
    const auto sent = s.write_all(text, soon());
    CHECK(error_name(sent.code) == "");
    CHECK(sent.done == text.size());
}

/// Sends until there is no room, and none comes: TCP would make its buffers larger in the course of
/// time.
inline void stuff(stream& from, stream& to) {
    CHECK(to.set_option(SOL_SOCKET, SO_RCVBUF, 16 * 1024));
    shrink_buffer(from);
    const std::string much(64 * 1024, 'x');
    while (from.write_all(much, shortly())) {
    }
    while (from.write_all("x", within(100ms))) {  // what is too small to be called room
    }
}

/// Sends back what comes, until the end or an error.
inline void echo(stream& s) {
    std::array<std::byte, 8192> buffer;
    while (auto n = s.read(buffer, soon()))
        if (*n == 0 || !s.write_all(std::span(buffer).first(*n), soon())) return;
}

/// Text whose every part tells its place, to find what is lost, doubled or out of order.
inline std::string long_text(std::size_t size) {
    std::string text;
    text.reserve(size + 8);
    for (char word[] = "0000000,"; text.size() < size;) {
        text.append(word, 8);
        for (int digit = 6; digit >= 0 && ++word[digit] > '9'; --digit) word[digit] = '0';
    }
    text.resize(size);
    return text;
}

/// An abstract Unix address that no other process has: the same test may run on the other backend
/// at the same time.
inline std::string own_address(std::string_view what) {
    return "@wire-" + std::string(what) + '-' + std::to_string(::getpid());
}

/// Lets the runtime sleep and serve its poller, while the caller waits for nothing.
inline void let_others_run() {
    CHECK(sleep(shortly()));
}
/// Lets the other wires run until done(), at most 10 s.
template <class F>
void let_others_run_until(F done) {
    for (const deadline end = soon(); !done() && within(0s) < end;) let_others_run();
}

}  // namespace wire::test
