// Our own echo server over TLS: the adapter of examples/third_party/tls, a wire per connection.
//
//     wire_echo PORT CERTIFICATE KEY
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <utility>

#include <wire/listener.hpp>
#include <wire/run.hpp>
#include <wire/stream.hpp>

#include "tls_stream.hpp"

namespace {

tls_context context;

void echo(wire::io::stream peer) {
    std::array<std::byte, 16384> buffer;
    static_cast<void>(peer.set_no_delay(true));
    tls_stream tls(peer, *context);
    if (!tls.accept()) return;
    while (const auto n = tls.read(buffer))
        if (*n == 0 || !tls.write_all(std::span(buffer).first(*n))) return;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fputs("usage: wire_echo PORT CERTIFICATE KEY\n", stderr);
        return 1;
    }
    const auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
    context = tls_server_context(argv[2], argv[3]);
    return wire::run([=] {
        auto door = wire::io::listen_tcp("127.0.0.1", port).value();
        while (auto peer = door.accept()) wire::go(echo, *std::move(peer));
    });
}
