// TLS over a stream of wires, both ends in one runtime: what waits, what fails, and how it is told.
#include "tls_stream.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>

#include "support/count_malloc.hpp"
#include "support/dies.hpp"
#include "support/io.hpp"
#include "support/temporary_directory.hpp"

namespace wire::test {
namespace {

// ---- a certificate for "localhost", made anew

void name_it(X509* x) {
    X509_NAME* const name = X509_get_subject_name(x);
    const auto* const text = reinterpret_cast<const unsigned char*>("localhost");
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0);
    X509_set_issuer_name(x, name);
}

void write_certificate(const std::string& certificate_file, const std::string& key_file) {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const x = X509_new();
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    name_it(x);
    CHECK(X509_sign(x, key, EVP_sha256()) > 0);
    FILE* const to_certificate = std::fopen(certificate_file.c_str(), "w");
    FILE* const to_key = std::fopen(key_file.c_str(), "w");
    CHECK(PEM_write_X509(to_certificate, x) == 1);
    CHECK(PEM_write_PrivateKey(to_key, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
    std::fclose(to_certificate);
    std::fclose(to_key);
    X509_free(x);
    EVP_PKEY_free(key);
}

struct contexts {
    contexts() {
        write_certificate(folder / "cert.pem", folder / "key.pem");
        server = tls_server_context(folder / "cert.pem", folder / "key.pem");
        client = tls_client_context(folder / "cert.pem");
    }
    temporary_directory folder;
    tls_context server, client;
};

contexts& shared() {
    static contexts all;
    return all;
}

// A connection after its handshake.
struct connected {
    connected(stream& near, stream& far)
        : client(near, *shared().client), server(far, *shared().server) {
        auto accepted = spawn([&] { return server.accept(soon()); });
        const auto done = client.connect("localhost", soon());
        CHECK_MESSAGE(done, client.why());
        CHECK_MESSAGE(accepted.join().value(), server.why());
    }
    tls_stream client, server;
};

template <class F>
void over_tls(F body) {
    shared();  // its files are open and closed before descriptors are counted
    over_each([&](stream& near, stream& far) {
        for (stream* const s : {&near, &far}) {  // so that little is much
            shrink_buffer(*s);
            CHECK(s->set_option(SOL_SOCKET, SO_RCVBUF, 16 * 1024));
        }
        connected both(near, far);
        body(both.client, both.server, near);
    });
}

std::string take(tls_stream& s, std::size_t size = 64, deadline until = soon()) {
    std::string buffer(size, '\0');
    const auto n = s.read(std::as_writable_bytes(std::span(buffer)), until);
    if (!n) return error_name(n.code());
    buffer.resize(*n);
    return buffer;
}

// `size` bytes, or what came before an error, and its name.
std::string take_exactly(tls_stream& s, std::size_t size) {
    std::string all;
    while (all.size() < size && (all.empty() || all.back() != '!')) {
        const std::string part = take(s, std::min<std::size_t>(size - all.size(), 10'000));
        all += part.starts_with('!') ? part + '!' : part;
    }
    return all;
}

// Sends as much of it as has room, and waits until none comes. Returns how much.
std::size_t stuff(tls_stream& s, std::string_view text) {
    std::size_t sent = 0;
    for (std::size_t more = 1; more > 0; sent += more)
        more = s.write_all(text.substr(sent), within(100ms)).done;
    return sent;
}

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != text.npos;
}

// ---- what OpenSSL takes from the heap by itself

std::size_t allocated_by_openssl = 0;

void* count_malloc(std::size_t size, const char*, int) {
    ++allocated_by_openssl;
    return std::malloc(size);
}
void* count_realloc(void* old, std::size_t size, const char*, int) {
    ++allocated_by_openssl;
    return std::realloc(old, size);
}
void count_free(void* old, const char*, int) {
    std::free(old);
}
// Before OpenSSL's first allocation, or it refuses.
const bool counts_openssl = CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) == 1;

// ---- what it moves

TEST_CASE("tls stream: what one end writes the other reads, both ways") {
    over_tls([](tls_stream& client, tls_stream& server, stream&) {
        CHECK(client.write_all("hello", soon()));
        CHECK(take(server) == "hello");
        CHECK(server.write_all("you too", soon()));
        CHECK(take(client, 3) == "you");
        CHECK(take(client) == " too");
    });
}

TEST_CASE("tls stream: both ends may write more than anything holds while both read") {
    over_tls([](tls_stream& client, tls_stream& server, stream&) {
        const std::string text = long_text(500'000);
        const auto read_all = [&](tls_stream& s) { return take_exactly(s, text.size()) == text; };
        auto first = spawn([&] { return client.write_all(text, soon()).done; });
        auto second = spawn([&] { return server.write_all(text, soon()).done; });
        auto third = spawn([&] { return read_all(client); });
        CHECK(read_all(server));
        CHECK(third.join().value());
        CHECK(first.join().value() == text.size());
        CHECK(second.join().value() == text.size());
    });
}

TEST_CASE("tls stream: two wires that write do not mix their bytes") {
    over_tls([](tls_stream& client, tls_stream& server, stream&) {
        const std::string a(200'000, 'a'), b(200'000, 'b');
        auto first = spawn([&] { return client.write_all(a, soon()).done; });
        auto second = spawn([&] { return client.write_all(b, soon()).done; });
        CHECK(take_exactly(server, a.size() + b.size()) == a + b);
        CHECK(first.join().value() + second.join().value() == a.size() + b.size());
    });
}

TEST_CASE("tls stream: a request and its answer allocate nothing that OpenSSL does not") {
    CHECK(counts_openssl);
    if (!counts_allocations()) return;
    over_tls([](tls_stream& client, tls_stream& server, stream&) {
        std::array<std::byte, 1024> buffer{};
        const auto once = [&] {
            return client.write_all(std::span(buffer), soon()) && server.read(buffer, soon()) &&
                   server.write_all(std::span(buffer), soon()) && client.read(buffer, soon());
        };
        for (int i = 0; i < 10; ++i) CHECK(once());
        int failures = 0;
        const std::size_t before = allocated_by_openssl;
        const allocation_count allocated;
        for (int i = 0; i < 100; ++i) failures += !once();
        CHECK(allocated.value() == allocated_by_openssl - before);
        MESSAGE("blocks that OpenSSL itself takes, per record: "
                << (allocated_by_openssl - before) / 400);
        CHECK(failures == 0);
    });
}

TEST_CASE("tls stream: new keys in the middle are no event") {
    over_tls([](tls_stream& client, tls_stream& server, stream&) {
        for (int i = 0; i < 5; ++i) {
            CHECK(SSL_key_update(client.native_handle(), SSL_KEY_UPDATE_REQUESTED) == 1);
            CHECK(client.write_all("x", soon()));
            CHECK(take(server) == "x");
            CHECK(server.write_all("y", soon()));
            CHECK(take(client) == "y");
        }
    });
}

TEST_CASE("tls stream: a reader that has an alert to send does not wait for a stuck writer") {
    over_tls([](tls_stream&, tls_stream& server, stream& near) {
        const std::string much(1'000'000, 'x');
        auto writer = spawn([&] { return server.write_all(much, soon()).code; });
        let_others_run();
        put(near, std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, '?'));
        CHECK(take(server) == "!EPROTO");
        CHECK(contains(server.why(), "bad record mac"));
        CHECK_FALSE(writer.finished());
        writer.cancel();
        CHECK(error_name(writer.join().value()) == "!ECANCELED");
    });
}

// ---- ends

TEST_CASE("tls stream: after shutdown() the peer reads an end, and may go on writing") {
    over_tls([](tls_stream& client, tls_stream& server, stream&) {
        CHECK(client.write_all("last", soon()));
        CHECK(client.shutdown(soon()));
        CHECK(take(server) == "last");
        CHECK(take(server) == "");
        CHECK(take(server) == "");
        CHECK(server.write_all("still here", soon()));
        CHECK(take(client) == "still here");
        CHECK(server.shutdown(soon()));
        CHECK(take(client) == "");
        CHECK_FALSE(client.write_all("too late", soon()));
        CHECK(contains(client.why(), "shutdown"));
    });
}

TEST_CASE("tls stream: a shutdown that ran out of time is finished by the next one") {
    over_tls([](tls_stream& client, tls_stream& server, stream&) {
        const std::string text = long_text(500'000);
        const std::size_t sent = stuff(client, text);
        CHECK(sent < text.size());
        CHECK(client.shutdown(shortly()).code() == ETIMEDOUT);
        auto reader = spawn([&] { return take(client); });
        auto again = spawn([&] { return client.shutdown(soon()).code(); });
        CHECK(take_exactly(server, sent) == text.substr(0, sent));
        CHECK(take(server) == "");
        CHECK(again.join().value() == 0);
        CHECK(client.shutdown(soon()));  // nothing is left to do
        CHECK(server.write_all("fine", soon()));
        CHECK(reader.join().value() == "fine");
    });
}

TEST_CASE("tls stream: a stream that ends without close_notify is a failure, not an end") {
    over_tls([](tls_stream& client, tls_stream& server, stream& near) {
        CHECK(client.write_all("cut", soon()));
        CHECK(near.shutdown(io::direction::write));
        CHECK(take(server) == "cut");
        CHECK(take(server) == "!ENODATA");
        CHECK(contains(server.why(), "no close_notify"));
    });
}

TEST_CASE("tls stream: a reset is told as such") {
    over_tls([](tls_stream&, tls_stream& server, stream& near) {
        CHECK(io::wait_readable(near.native_handle(), soon()));
        near.close();  // with what the server has sent after the handshake, unread
        CHECK(take(server) == "!ECONNRESET");
        CHECK(contains(server.why(), "TLS read: Connection reset"));
    });
}

// ---- waiting

TEST_CASE("tls stream: a deadline ends a read, and what comes later is read") {
    over_tls([](tls_stream& client, tls_stream& server, stream&) {
        CHECK(take(server, 64, shortly()) == "!ETIMEDOUT");
        CHECK(contains(server.why(), "TLS read: "));
        CHECK(client.write_all("late", soon()));
        CHECK(take(server) == "late");
    });
}

TEST_CASE("tls stream: a write that ran out of time goes on where it stopped") {
    over_tls([](tls_stream& client, tls_stream& server, stream&) {
        const std::string text = long_text(500'000);
        const auto sent = client.write_all(text, shortly());
        CHECK(error_name(sent.code) == "!ETIMEDOUT");
        auto rest = spawn([&] {
            return client.write_all(std::string_view(text).substr(sent.done), soon()).code;
        });
        CHECK(take_exactly(server, text.size()) == text);
        CHECK(rest.join().value() == 0);
    });
}

TEST_CASE("tls stream: cancellation ends a handshake") {
    shared();
    over_each([](stream&, stream& far) {
        tls_stream server(far, *shared().server);
        auto accepted = spawn([&] { return server.accept(soon()).code(); });
        let_others_run();
        accepted.cancel();
        CHECK(accepted.join().value() == ECANCELED);
    });
}

// A relay that passes one byte at each of its turns. If the adapter blocked the thread, no byte
// would come through. Each time it leaves an error in OpenSSL's queue, which is the thread's.
void trickle(stream& from, stream& to, std::size_t& turns) {
    std::array<std::byte, 1> one;
    while (const auto n = from.read(one)) {
        if (*n == 0 || !to.write_all(std::span(one))) return;
        ++turns;
        ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR);
        yield();
    }
}

TEST_CASE("tls stream: others run while bytes trickle in, and leave no errors behind") {
    shared();
    over_each([](stream& near, stream& far) {
        auto [inner, outer] = unix_pair();
        tls_stream client(near, *shared().client), server(outer, *shared().server);
        std::size_t there = 0, back = 0, ticks = 0;
        auto ticker = spawn([&] {
            while (sleep(within(100us))) ++ticks;
        });
        auto first = spawn([&, &inner = inner] { trickle(far, inner, there); });
        auto second = spawn([&, &inner = inner] { trickle(inner, far, back); });
        auto accepted = spawn([&] { return server.accept(soon()); });
        CHECK_MESSAGE(client.connect("localhost", soon()), client.why());
        CHECK_MESSAGE(accepted.join().value(), server.why());
        CHECK(client.write_all("hello", soon()));
        CHECK_MESSAGE(take(server) == "hello", server.why());
        CHECK(there > 200);
        CHECK(back > 200);
        CHECK(ticks > 0);
    });
}

TEST_CASE("tls stream: a handshake and a transfer fit into 32 KiB of stack") {
    shared();
    over_each([](stream& near, stream& far) {
        const spawn_options small = {.stack = 32 * 1024};
        std::size_t used = 0;
        auto accepted = spawn(small, [&] {
            tls_stream server(far, *shared().server);
            const bool fine = server.accept(soon()) && server.write_all("hello", soon());
            used = std::max(used, this_wire::high_water());
            return fine;
        });
        auto connected = spawn(small, [&] {
            tls_stream client(near, *shared().client);
            std::array<std::byte, 5> buffer;
            const bool fine = client.connect("localhost", soon()) && client.read(buffer, soon());
            used = std::max(used, this_wire::high_water());
            return fine;
        });
        CHECK(accepted.join().value());
        CHECK(connected.join().value());
        MESSAGE("stack of a handshake: " << used << " bytes");
    });
}

TEST_CASE("tls stream: two wires that read at once are told so") {
    shared();
    const auto read_twice = [] {
        on_wires([] {
            auto [near, far] = unix_pair();
            tls_stream server(far, *shared().server);
            auto first = spawn([&] { return server.accept(soon()); });
            let_others_run();
            static_cast<void>(server.accept(soon()));
        });
    };
    CHECK(dies(read_twice, "two wires read from one TLS stream at once"));
}

// ---- refusals

void refuse(SSL_CTX& client_context, const char* host, const char* client_says,
            const char* server_says) {
    shared();
    over_each([&](stream& near, stream& far) {
        tls_stream client(near, client_context), server(far, *shared().server);
        auto accepted = spawn([&] {
            // With TLS 1.3 the server is done before the client has looked at the certificate.
            std::array<std::byte, 8> buffer;
            const auto done = server.accept(soon());
            return done ? server.read(buffer, soon()).code() : done.code();
        });
        CHECK(client.connect(host, soon()).code() == EPROTO);
        CHECK_MESSAGE(contains(client.why(), client_says), client.why());
        CHECK(accepted.join().value() == EPROTO);
        CHECK_MESSAGE(contains(server.why(), server_says), server.why());
    });
}

TEST_CASE("tls stream: a certificate for another name is refused, and both ends say so") {
    refuse(*shared().client, "example.org", "hostname mismatch", "alert bad certificate");
    refuse(*shared().client, "127.0.0.1", "IP address mismatch", "alert bad certificate");
}

TEST_CASE("tls stream: a certificate that nobody has vouched for is refused") {
    const tls_context stranger = tls_client_context();
    refuse(*stranger, "localhost", "self-signed certificate", "alert unknown ca");
}

TEST_CASE("tls stream: a peer that speaks no TLS is told from one that goes") {
    shared();
    over_each([](stream& near, stream& far) {
        tls_stream server(far, *shared().server);
        put(near, "GET / HTTP/1.1\r\n\r\n");
        CHECK(server.accept(soon()).code() == EPROTO);
        CHECK_MESSAGE(contains(server.why(), "TLS handshake: error:"), server.why());
        CHECK_MESSAGE(contains(server.why(), "http request"), server.why());
    });
    over_each([](stream& near, stream& far) {
        tls_stream server(far, *shared().server);
        put(near, "\x16\x03\x01");
        near.close();
        CHECK(server.accept(soon()).code() == ENODATA);
        CHECK_MESSAGE(contains(server.why(), "TLS handshake: the peer"), server.why());
    });
}

TEST_CASE("tls stream: a context that cannot be made says which file, and why") {
    const std::string cert = shared().folder / "cert.pem", none = shared().folder / "none.pem";
    const auto words = [](auto make) -> std::string {
        try {
            make();
        } catch (const std::runtime_error& problem) {
            return problem.what();
        }
        return "nothing is wrong";
    };
    CHECK(contains(words([&] { tls_server_context(none, none); }), none));
    CHECK(contains(words([&] { tls_server_context(cert, none); }), "the key " + none));
    CHECK(contains(words([&] { tls_server_context(cert, cert); }), "the key " + cert));
    CHECK(contains(words([&] { tls_client_context(none); }), "No such file"));
}

}  // namespace
}  // namespace wire::test
