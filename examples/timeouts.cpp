// How to stop waiting: deadlines, scopes that cancel a whole block, and a shield for farewells.
//
//     ./timeouts
//
// Nothing is unwound by force: a call that may not wait any longer fails with ETIMEDOUT or
// ECANCELED, and the code around it returns as it does for any other error.

#include <array>
#include <cstdio>
#include <string>

#include <wire/wire.hpp>

namespace {

using namespace std::chrono_literals;
using wire::io::stream;

std::string text(std::error_code error) {
    return error ? error.message() : "all done";
}

// Every call that may block takes a deadline. What had arrived by then is not lost.
void deadline_of_one_call(stream& near, stream& far) {
    static_cast<void>(far.write_all("hello"));
    std::array<std::byte, 8> buffer;
    const auto got = near.read_exactly(buffer, wire::within(20ms));
    std::printf("deadline: %zu of 8 bytes, %s\n", got.done, text(got.error()).c_str());
}

// A deadline is a point in time, so several calls can share one.
void deadline_of_many_calls(stream& near) {
    const wire::deadline until = wire::within(20ms);
    std::array<std::byte, 1> buffer;
    int failures = 0;
    for (int i = 0; i < 3; ++i)
        if (!near.read(buffer, until)) ++failures;
    std::printf("shared deadline: %d of 3 reads failed\n", failures);
}

// A scope ends whatever blocks inside it, also in functions that know nothing of it.
void deadline_of_a_block(stream& near) {
    std::array<std::byte, 1> buffer;
    wire::cancel_scope scope(wire::within(20ms));
    const auto first = near.read(buffer);
    const auto second = near.read(buffer);  // again: until the scope is left
    std::printf("scope: %s, %s, expired: %s\n", text(first.error()).c_str(),
                text(second.error()).c_str(), scope.expired() ? "yes" : "no");
}

// Serves until it is cancelled; the shield lets it say goodbye all the same.
void serve(stream peer) {
    std::array<std::byte, 1> buffer;
    const auto n = peer.read(buffer);
    std::printf("server: %s\n", text(n.error()).c_str());
    const wire::shield farewell;
    static_cast<void>(peer.write_all("bye", wire::within(1s)));
}

void cancel_another_wire() {
    auto [near, far] = wire::io::make_stream_pair().value();
    auto server = wire::spawn({.name = "server"}, serve, std::move(far));
    wire::yield();  // it runs, and blocks in read()
    server.cancel();
    server.join().value();

    std::array<char, 3> word{};
    if (near.read_exactly(std::as_writable_bytes(std::span(word))))
        std::printf("client: %.3s\n", word.data());
}

}  // namespace

int main() {
    const int code = wire::run(
        [] {
            auto [near, far] = wire::io::make_stream_pair().value();
            deadline_of_one_call(near, far);
            deadline_of_many_calls(near);
            deadline_of_a_block(near);
            cancel_another_wire();
        },
        {.dump_on_quit = true});
    if (std::ferror(stdout) || std::fflush(stdout) != 0) {
        std::fprintf(stderr, "timeouts: cannot write to standard output\n");
        return 1;
    }
    return code;
}
