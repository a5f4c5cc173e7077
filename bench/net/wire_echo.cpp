// Our own echo server: a wire per connection, one thread.
//
//     wire_echo PORT
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <utility>

#include <wire/listener.hpp>
#include <wire/run.hpp>
#include <wire/stream.hpp>

namespace {

void echo(wire::io::stream peer) {
    std::array<std::byte, 16384> buffer;
    static_cast<void>(peer.set_no_delay(true));
    while (const auto n = peer.read(buffer))
        if (*n == 0 || !peer.write_all(std::span(buffer).first(*n))) return;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("usage: wire_echo PORT\n", stderr);
        return 1;
    }
    const auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
    return wire::run([port] {
        auto door = wire::io::listen_tcp("127.0.0.1", port).value();
        std::puts("ready");
        std::fflush(stdout);
        while (auto peer = door.accept()) wire::go(echo, *std::move(peer));
    });
}
