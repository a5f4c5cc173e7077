// Our own echo server: a wire per connection, one thread.
//
//     wire_echo PORT [small]
//
// Its buffers take 16 KiB for each connection, small ones 4 KiB.
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

template <std::size_t size>
void echo(wire::io::stream peer) {
    std::array<std::byte, size> buffer;
    static_cast<void>(peer.set_no_delay(true));
    while (const auto n = peer.read(buffer))
        if (*n == 0 || !peer.write_all(std::span(buffer).first(*n))) return;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("usage: wire_echo PORT [small]\n", stderr);
        return 1;
    }
    const auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
    const auto serve = argc > 2 ? echo<4096> : echo<16384>;
    return wire::run([=] {
        auto door = wire::io::listen_tcp("127.0.0.1", port).value();
        while (auto peer = door.accept()) wire::go(serve, *std::move(peer));
    });
}
