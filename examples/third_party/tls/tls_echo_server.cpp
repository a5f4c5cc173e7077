// An echo server that speaks TLS: as echo_server, with a tls_stream around each connection.
//
//     openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30
//         -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1
//         -keyout key.pem -out cert.pem                                  (one line)
//     ./tls_echo_server --cert cert.pem --key key.pem
//     openssl s_client -connect 127.0.0.1:7443 -CAfile cert.pem
//
// A connection that goes wrong costs a line on standard error, with OpenSSL's reason.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <stdexcept>

#include <wire/wire.hpp>

#include "../../serve.hpp"
#include "tls_stream.hpp"

namespace {

struct {
    std::string certificate, key;
    double handshake_timeout = 10;  // seconds
} options;

tls_context context;
std::atomic<std::size_t> deepest = 0;  // bytes of stack, of any connection

void complain(const tls_stream& tls) {
    std::fprintf(stderr, "tls_echo_server: %s\n", tls.why().c_str());
}

void echo(tls_stream& tls, serve::connection& peer) {
    std::array<std::byte, 16 * 1024> buffer;
    for (;;) {
        peer.idle = true;
        const auto n = tls.read(buffer, serve::patience());
        peer.idle = false;
        if (!n && !serve::stopping()) return complain(tls);
        if (!n || *n == 0) break;
        if (!tls.write_all(std::span(buffer).first(*n), serve::patience())) return complain(tls);
    }
    if (!tls.shutdown(serve::patience())) complain(tls);
}

void serve_one(serve::connection& peer) {
    tls_stream tls(peer, *context);
    if (tls.accept(wire::within(serve::seconds(options.handshake_timeout))))
        echo(tls, peer);
    else
        complain(tls);
    deepest = std::max(deepest.load(), wire::this_wire::high_water());
}

}  // namespace

int main(int argc, char** argv) {
    command_line line("tls_echo_server", "Sends back whatever it receives, over TLS.");
    line.add("--cert", options.certificate, "The chain of certificates, a PEM file").required();
    line.add("--key", options.key, "Its key, a PEM file").required();
    line.add("--handshake-timeout", options.handshake_timeout, "Seconds for a handshake")
        .number(0.001, 1e9);
    serve::begin(line, argc, argv, {.port = 7443, .refusal = ""});
    try {
        context = tls_server_context(options.certificate, options.key);
    } catch (const std::runtime_error& problem) {
        serve::give_up(problem.what());
    }
    const int code = serve::connections(serve_one);
    std::printf("deepest stack of a connection: %zu bytes\n", deepest.load());
    return code;
}
