// The smallest echo server. Try it:  printf 'hello\n' | nc -N 127.0.0.1 7000
#include <array>
#include <wire/wire.hpp>

void echo(wire::io::stream peer) {
    std::array<std::byte, 4096> buffer;
    while (auto n = peer.read(buffer, wire::within(std::chrono::minutes(1))))
        if (*n == 0 || !peer.write_all(std::span(buffer).first(*n))) return;
}
int main() {
    return wire::run([] {
        auto listener = wire::io::listen_tcp("127.0.0.1", 7000).value();
        while (auto peer = listener.accept()) wire::go(echo, *std::move(peer));
    });
}
