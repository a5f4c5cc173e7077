// TLS over a stream of wires, by OpenSSL 3. Two files to copy into a program.
//
//     const tls_context context = tls_server_context("cert.pem", "key.pem");
//     ...
//     tls_stream tls(peer, *context);  // in the wire of the connection
//     if (!tls.accept(within(10s))) return complain(tls.why());
//     while (auto n = tls.read(buffer, within(60s)))
//         if (*n == 0 || !tls.write_all(std::span(buffer).first(*n), within(60s))) break;
//     static_cast<void>(tls.shutdown(within(1s)));
//
// OpenSSL computes only: it takes bytes from one buffer and leaves bytes in another, and between
// its calls the wire moves them with the stream's read() and write(). So the thread never blocks,
// and no wire waits inside OpenSSL, whose queue of errors belongs to the thread. The buffers are
// behind a BIO of our own, because BIO_s_mem() allocates and moves what it holds: here nothing is
// allocated once the handshake is done (OpenSSL itself takes two small blocks for each record), and
// a request and its answer are one read and one write.
//
// A connection has 36 KiB of buffers here and some 35 KiB in OpenSSL. SSL_MODE_RELEASE_BUFFERS
// would give most of the latter back while it is idle, for an allocation with each record: set it
// on the context if idle connections are many. A handshake takes 8 to 11 KiB of stack, whether the
// key is P-256 or RSA with 4096 bits: the default of 64 KiB will do, and 32 KiB, too.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <wire/deadline.hpp>
#include <wire/io_progress.hpp>
#include <wire/result.hpp>
#include <wire/stream.hpp>

struct free_context {
    void operator()(SSL_CTX* c) const noexcept { SSL_CTX_free(c); }
};
/// What connections have in common: certificates, options, sessions. Any threads may share it.
using tls_context = std::unique_ptr<SSL_CTX, free_context>;

/// For servers, with a chain of certificates and its key, both PEM files. Throws
/// std::runtime_error with OpenSSL's reason, for example if a file is missing or they do not match.
tls_context tls_server_context(const std::string& certificate_file, const std::string& key_file);
/// For clients, which believe the authorities in a PEM file, or those of the system ("").
tls_context tls_client_context(const std::string& authorities_file = {});

struct tls_buffers;

/// One end of a TLS connection over a connected stream, which must outlive it and is used by nobody
/// else. Calls block the wire, never the thread. Once the handshake is over one wire may read while
/// others write; two that read, or anything beside the handshake, are a mistake (asserted).
///
/// All fail with the errors of the stream; with EPROTO if TLS refuses something; with ENODATA if
/// the peer has closed the stream without a close_notify: what came before may be cut short. why()
/// has the words. After EPROTO and ENODATA there is nothing to be done but to close.
class tls_stream {
public:
    /// Throws std::bad_alloc.
    tls_stream(wire::io::stream& peer, SSL_CTX& context);
    ~tls_stream();
    tls_stream(const tls_stream&) = delete;
    tls_stream& operator=(const tls_stream&) = delete;

    /// The server's part of the handshake.
    wire::result<void> accept(wire::deadline until = wire::never);
    /// The client's part. The certificate must be for `host`, a name or a numeric address.
    wire::result<void> connect(const std::string& host, wire::deadline until = wire::never);

    /// Receives at least one byte. Returns how many; 0 after the peer's close_notify.
    wire::result<std::size_t> read(std::span<std::byte> buffer, wire::deadline until = wire::never);
    /// Sends all of `data`. Stops early, saying how much of it OpenSSL has taken; what it has taken
    /// and could not be sent is sent with the next write_all() or shutdown().
    wire::io::io_progress write_all(std::span<const std::byte> data,
                                    wire::deadline until = wire::never);
    wire::io::io_progress write_all(std::string_view text, wire::deadline until = wire::never) {
        return write_all(std::as_bytes(std::span(text)), until);
    }
    /// Sends close_notify: the peer reads an end that it can believe. Reading goes on. Once it has
    /// been sent, to call this again does nothing.
    wire::result<void> shutdown(wire::deadline until = wire::never);

    /// Why the last call that failed did so: what was tried, and OpenSSL's or the system's words.
    [[nodiscard]] const std::string& why() const noexcept { return why_; }
    /// For what is not here: SSL_get_version(), SSL_session_reused(), SSL_key_update() ...
    [[nodiscard]] SSL* native_handle() const noexcept { return ssl_.get(); }

private:
    struct free_ssl {
        void operator()(SSL* s) const noexcept { SSL_free(s); }
    };
    template <class Call>
    int perform(const char* what, wire::deadline until, bool holds_writing, Call call);
    int handshake(wire::deadline until);
    [[nodiscard]] bool must_receive() const noexcept;
    int receive(wire::deadline until);
    int send(wire::deadline until, bool holds_writing);
    int send_left(wire::deadline until);
    int describe(const char* what, int error);
    int describe_refusal(const char* what);

    wire::io::stream& peer_;
    const std::unique_ptr<tls_buffers> buffers_;
    const std::unique_ptr<SSL, free_ssl> ssl_;
    std::string why_;
};
