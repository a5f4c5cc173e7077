// An echo server: a wire for each connection, a runtime for each thread.
//
//     ./echo_server                                  on 127.0.0.1 and ::1, port 7000
//     printf 'hello\n' | nc -N 127.0.0.1 7000
//     ./echo_server --help
//
// How it starts and ends is in serve.hpp, which the other servers use too.

#include <array>

#include "serve.hpp"

static void echo(serve::connection& peer) {
    std::array<std::byte, 16 * 1024> buffer;
    while (auto n = peer.read(buffer, serve::patience()))
        if (*n == 0 || !peer.write_all(std::span(buffer).first(*n), serve::patience())) return;
}

int main(int argc, char** argv) {
    command_line line("echo_server", "Sends back whatever it receives.");
    serve::begin(line, argc, argv, {.port = 7000});
    return serve::connections(echo);
}
