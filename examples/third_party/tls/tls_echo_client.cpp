// Talks to an echo server over TLS, from two wires: one sends, one receives and compares.
//
//     ./tls_echo_client --ca cert.pem --port 7443 --bytes 10000000
//     ./tls_echo_client --ca cert.pem --port 7443 --name localhost --rounds 2
//
// A second round takes up the session of the first: its handshake needs no certificate.

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <wire/wire.hpp>

#include "../../command_line.hpp"
#include "tls_stream.hpp"

namespace {

namespace io = wire::io;
using seconds = std::chrono::duration<double>;

struct {
    std::string host = "127.0.0.1", name, authorities;
    std::uint16_t port = 7443;
    std::uint64_t bytes = 1000;
    unsigned rounds = 1;
    double timeout = 10;
    bool update_keys = false;
} options;

struct free_session {
    void operator()(SSL_SESSION* s) const noexcept { SSL_SESSION_free(s); }
};
using session = std::unique_ptr<SSL_SESSION, free_session>;

bool complain(const std::string& why) {
    std::fprintf(stderr, "tls_echo_client: %s\n", why.c_str());
    return false;
}

// What to do about a certificate that OpenSSL does not believe.
const char* advice(long verified) {
    if (verified == X509_V_OK) return "";
    const bool other_name =
        verified == X509_V_ERR_HOSTNAME_MISMATCH || verified == X509_V_ERR_IP_ADDRESS_MISMATCH;
    return other_name ? "; --name says whose it must be" : "; --ca says whom to believe";
}

std::byte byte_at(std::uint64_t i) {
    return static_cast<std::byte>(i * 2654435761U >> 16U);
}

bool send_all(tls_stream& tls) {
    std::vector<std::byte> part(64 * 1024);
    for (std::uint64_t sent = 0; sent < options.bytes; sent += part.size()) {
        part.resize(std::min<std::uint64_t>(part.size(), options.bytes - sent));
        for (std::size_t i = 0; i < part.size(); ++i) part[i] = byte_at(sent + i);
        if (options.update_keys) SSL_key_update(tls.native_handle(), SSL_KEY_UPDATE_REQUESTED);
        if (!tls.write_all(part, wire::within(seconds(options.timeout))))
            return complain(tls.why());
    }
    return tls.shutdown(wire::within(seconds(options.timeout))) || complain(tls.why());
}

bool receive_all(tls_stream& tls) {
    std::array<std::byte, 16 * 1024> buffer;
    std::uint64_t received = 0;
    for (;;) {
        const auto n = tls.read(buffer, wire::within(seconds(options.timeout)));
        if (!n) return complain(tls.why() + ", after " + std::to_string(received) + " bytes");
        if (*n == 0) break;
        for (std::size_t i = 0; i < *n; ++i)
            if (buffer[i] != byte_at(received + i))
                return complain("the echo is not what was sent");
        received += *n;
    }
    if (received == options.bytes) return true;
    return complain("only " + std::to_string(received) + " bytes came back");
}

bool talk(tls_stream& tls) {
    auto sender = wire::spawn({.name = "send"}, [&] { return send_all(tls); });
    const bool received = receive_all(tls);
    if (!received) sender.cancel();
    return sender.join().value() && received;
}

bool go_round(SSL_CTX& context, session& last) {
    const auto until = wire::within(seconds(options.timeout));
    auto peer = io::connect(options.host, std::to_string(options.port), until);
    if (!peer)
        return complain("cannot connect to " + options.host + ", port " +
                        std::to_string(options.port) + ": " + peer.error().message() +
                        (peer.code() == ECONNREFUSED ? "; does it listen on that --port?" : ""));
    tls_stream tls(*peer, context);
    SSL* const ssl = tls.native_handle();
    if (last) SSL_set_session(ssl, last.get());
    if (!tls.connect(options.name.empty() ? options.host : options.name, until))
        return complain(tls.why() + advice(SSL_get_verify_result(ssl)));
    if (!talk(tls)) return false;
    std::printf("%ju bytes and back, %s, %s session\n", std::uintmax_t{options.bytes},
                SSL_get_version(ssl), SSL_session_reused(ssl) ? "resumed" : "new");
    last.reset(SSL_get1_session(ssl));  // with TLS 1.3 it came after the handshake
    return true;
}

int run() {
    tls_context context;
    try {
        context = tls_client_context(options.authorities);
    } catch (const std::runtime_error& problem) {
        return complain(problem.what()), 1;
    }
    session last;
    for (unsigned i = 0; i < options.rounds; ++i)
        if (!go_round(*context, last)) return 1;
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    command_line line("tls_echo_client", "Sends bytes over TLS and wants them back.");
    line.add("--host", options.host, "A name or an address").not_empty();
    line.add("--port", options.port).number(1, 65535);
    line.add("--ca", options.authorities, "Whom to believe, a PEM file; else as the system does");
    line.add("--name", options.name, "What the certificate must be for; else --host");
    line.add("--bytes", options.bytes, "To send").number<std::uint64_t>(0, 1'000'000'000'000);
    line.add("--rounds", options.rounds, "Connections, one after the other").number(1, 1000);
    line.add("--timeout", options.timeout, "Seconds without progress").range(0.001, 1e9);
    line.add("--update-keys", options.update_keys, "New keys for every 64 KiB");
    line.parse(argc, argv);
    return wire::run(run);
}
