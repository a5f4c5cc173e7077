#include "tls_stream.hpp"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <new>
#include <stdexcept>
#include <system_error>

#include <wire/mutex.hpp>

// Ciphertext on its way. Records of 16 KiB and what encryption adds fit into either.
//
//     in:   socket -> [in_begin, in_end) -> OpenSSL      filled by the one wire that reads
//     out:  OpenSSL -> [out_begin, out_end) -> socket    emptied by who holds `writing`
//
// OpenSSL appends to `out` whoever calls it: a wire that reads may have to answer. What is there
// stays where it is until all of it is sent, so that this may happen during a send.
struct tls_buffers {
    std::array<std::byte, 18 * 1024> in, out;
    std::size_t in_begin = 0, in_end = 0, out_begin = 0, out_end = 0;
    bool reading = false;
    wire::mutex writing;

    [[nodiscard]] bool nothing_to_read() const noexcept { return in_begin == in_end; }
    [[nodiscard]] bool nothing_to_send() const noexcept { return out_begin == out_end; }
};

namespace {

constexpr std::size_t record_max = 16 * 1024;  // of plain text
constexpr int clean_end = -1;                  // besides errno

// ---- the BIO between OpenSSL and the buffers

int take_from(BIO* bio, char* to, std::size_t size, std::size_t* taken) {
    auto& b = *static_cast<tls_buffers*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (b.in_begin == b.in_end) return BIO_set_retry_read(bio), -1;
    *taken = std::min(size, b.in_end - b.in_begin);
    std::memcpy(to, b.in.data() + b.in_begin, *taken);
    b.in_begin += *taken;
    return 1;
}

int leave_in(BIO* bio, const char* from, std::size_t size, std::size_t* left) {
    auto& b = *static_cast<tls_buffers*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (b.out_end == b.out.size()) return BIO_set_retry_write(bio), -1;
    *left = std::min(size, b.out.size() - b.out_end);
    std::memcpy(b.out.data() + b.out_end, from, *left);
    b.out_end += *left;
    return 1;
}

long control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;  // the wire sends once OpenSSL has returned
}

BIO* make_bio(tls_buffers* buffers) {
    static BIO_METHOD* const method = [] {
        BIO_METHOD* const m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
        if (!m) throw std::bad_alloc();
        BIO_meth_set_read_ex(m, take_from);
        BIO_meth_set_write_ex(m, leave_in);
        BIO_meth_set_ctrl(m, control);
        return m;
    }();
    BIO* const bio = BIO_new(method);
    if (!bio) throw std::bad_alloc();
    BIO_set_data(bio, buffers);
    BIO_set_init(bio, 1);
    return bio;
}

// ---- words

// What OpenSSL has noted on this thread, in the order of noting; the queue is empty then.
std::string noted() {
    std::string text;
    std::array<char, 256> one;
    while (const unsigned long error = ERR_get_error()) {
        ERR_error_string_n(error, one.data(), one.size());
        text += (text.empty() ? "" : "; ") + std::string(one.data());
    }
    return text.empty() ? "OpenSSL gives no reason" : text;
}

tls_context make_context(const SSL_METHOD* method) {
    tls_context made(SSL_CTX_new(method));
    if (!made) throw std::runtime_error("SSL_CTX_new: " + noted());
    SSL_CTX_set_min_proto_version(made.get(), TLS1_2_VERSION);
    SSL_CTX_set_options(made.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    return made;
}

void require(bool fine, const std::string& what) {
    if (!fine) throw std::runtime_error(what + ": " + noted());
}

}  // namespace

tls_context tls_server_context(const std::string& certificate_file, const std::string& key_file) {
    ERR_clear_error();
    tls_context made = make_context(TLS_server_method());
    SSL_CTX* const c = made.get();
    require(SSL_CTX_use_certificate_chain_file(c, certificate_file.c_str()) == 1,
            "cannot use the certificate " + certificate_file);
    require(SSL_CTX_use_PrivateKey_file(c, key_file.c_str(), SSL_FILETYPE_PEM) == 1,
            "cannot use the key " + key_file);
    return made;
}

tls_context tls_client_context(const std::string& authorities_file) {
    ERR_clear_error();
    tls_context made = make_context(TLS_client_method());
    SSL_CTX_set_verify(made.get(), SSL_VERIFY_PEER, nullptr);
    if (authorities_file.empty())
        require(SSL_CTX_set_default_verify_paths(made.get()) == 1, "the system's authorities");
    else
        require(SSL_CTX_load_verify_file(made.get(), authorities_file.c_str()) == 1,
                "cannot use the authorities in " + authorities_file);
    return made;
}

// ---- the connection

tls_stream::tls_stream(wire::io::stream& peer, SSL_CTX& context)
    : peer_(peer),
      buffers_(std::make_unique_for_overwrite<tls_buffers>()),
      ssl_(SSL_new(&context)) {
    if (!ssl_) throw std::bad_alloc();
    BIO* const bio = make_bio(buffers_.get());
    SSL_set_bio(ssl_.get(), bio, bio);  // one reference for both, and it takes that
    SSL_set_read_ahead(ssl_.get(), 1);  // head and body of a record at once
}

tls_stream::~tls_stream() = default;

wire::result<void> tls_stream::accept(wire::deadline until) {
    SSL_set_accept_state(ssl_.get());
    return wire::to_result(handshake(until));
}

wire::result<void> tls_stream::connect(const std::string& host, wire::deadline until) {
    std::array<unsigned char, 16> ignored;
    const bool numeric = ::inet_pton(AF_INET, host.c_str(), ignored.data()) == 1 ||
                         ::inet_pton(AF_INET6, host.c_str(), ignored.data()) == 1;
    SSL_set_connect_state(ssl_.get());
    ERR_clear_error();
    const bool fine =
        numeric ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host.c_str()) == 1
                : SSL_set1_host(ssl_.get(), host.c_str()) == 1 &&
                      SSL_set_tlsext_host_name(ssl_.get(), host.c_str()) == 1;
    if (!fine) return wire::failure{describe_refusal("host name")};
    return wire::to_result(handshake(until));
}

wire::result<std::size_t> tls_stream::read(std::span<std::byte> buffer, wire::deadline until) {
    if (buffer.empty()) return 0;
    int error = must_receive() ? describe("read", receive(until)) : 0;
    std::size_t n = 0;
    if (error == 0)
        error = perform("read", until, false,
                        [&] { return SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &n); });
    if (error > 0) return wire::failure{error};
    return n;
}

wire::io::io_progress tls_stream::write_all(std::span<const std::byte> data, wire::deadline until) {
    if (const auto turn = buffers_->writing.lock(until); !turn)
        return {0, describe("write", turn.code())};
    const std::lock_guard unlock(buffers_->writing, std::adopt_lock);
    std::size_t done = 0;
    int error = describe("write", send_left(until));
    while (error == 0 && done < data.size()) {
        const auto part = data.subspan(done, std::min(data.size() - done, record_max));
        std::size_t n = 0;
        error = perform("write", until, true,
                        [&] { return SSL_write_ex(ssl_.get(), part.data(), part.size(), &n); });
        done += n;
    }
    return {done, error};
}

wire::result<void> tls_stream::shutdown(wire::deadline until) {
    if (const auto turn = buffers_->writing.lock(until); !turn)
        return wire::failure{describe("shutdown", turn.code())};
    const std::lock_guard unlock(buffers_->writing, std::adopt_lock);
    int error = describe("shutdown", send_left(until));
    // 0: it has been said, and the peer has not said so yet. A second call would wait for that.
    const auto say_so = [&] { return SSL_shutdown(ssl_.get()) < 0 ? -1 : 1; };
    if (error == 0 && (SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) == 0)
        error = perform("shutdown", until, true, say_so);
    return wire::to_result(error);
}

int tls_stream::handshake(wire::deadline until) {
    const int error =
        perform("handshake", until, false, [&] { return SSL_do_handshake(ssl_.get()); });
    return error == clean_end ? describe("handshake", ENODATA) : error;
}

// Calls OpenSSL until it is content, moving bytes in between. Returns 0, an errno or clean_end.
template <class Call>
int tls_stream::perform(const char* what, wire::deadline until, bool holds_writing, Call call) {
    for (;;) {
        if (ERR_peek_error() != 0) ERR_clear_error();  // left by others on this thread
        const std::size_t before = buffers_->out_end;
        const int outcome = SSL_get_error(ssl_.get(), call());
        const bool refused = outcome != SSL_ERROR_NONE && outcome != SSL_ERROR_ZERO_RETURN &&
                             outcome != SSL_ERROR_WANT_READ && outcome != SSL_ERROR_WANT_WRITE;
        if (refused) describe_refusal(what);
        // What it has to say goes out, an alert too, before the wire waits or returns.
        int error = 0;
        if (buffers_->out_end != before || outcome == SSL_ERROR_WANT_WRITE)
            error = send(until, holds_writing);
        if (refused) return EPROTO;
        if (error == 0 && outcome == SSL_ERROR_WANT_READ) error = receive(until);
        if (error != 0) return describe(what, error);
        if (outcome == SSL_ERROR_NONE) return 0;
        if (outcome == SSL_ERROR_ZERO_RETURN)
            return holds_writing ? describe(what, EPIPE) : clean_end;
    }
}

// Whether OpenSSL could do nothing but ask for more.
bool tls_stream::must_receive() const noexcept {
    SSL* const s = ssl_.get();
    return buffers_->nothing_to_read() && SSL_has_pending(s) == 0 && SSL_is_init_finished(s) != 0 &&
           (SSL_get_shutdown(s) & SSL_RECEIVED_SHUTDOWN) == 0;
}

int tls_stream::receive(wire::deadline until) {
    tls_buffers& b = *buffers_;
    WIRE_ASSERT(!b.reading, "two wires read from one TLS stream at once");
    b.reading = true;
    const auto n = peer_.read(b.in, until);
    b.reading = false;
    if (!n) return n.code();
    b.in_begin = 0;
    b.in_end = *n;
    return *n == 0 ? ENODATA : 0;
}

// A wire that reads leaves it to the one that is writing, if there is one: that sends everything.
// To wait for it would be to stop reading because the peer does.
int tls_stream::send(wire::deadline until, bool holds_writing) {
    tls_buffers& b = *buffers_;
    if (holds_writing) return send_left(until);
    if (!b.writing.try_lock()) {
        if (b.out_end < b.out.size()) return 0;
        if (const auto turn = b.writing.lock(until); !turn) return turn.code();
    }
    const std::lock_guard unlock(b.writing, std::adopt_lock);
    return send_left(until);
}

int tls_stream::send_left(wire::deadline until) {
    tls_buffers& b = *buffers_;
    while (!b.nothing_to_send()) {
        const auto left = std::span(b.out).subspan(b.out_begin, b.out_end - b.out_begin);
        const auto n = peer_.write(left, until);
        if (!n) return n.code();
        b.out_begin += *n;
    }
    b.out_begin = b.out_end = 0;
    return 0;
}

int tls_stream::describe(const char* what, int error) {
    if (error == 0) return 0;
    const bool cut = error == ENODATA;
    why_ = std::string("TLS ") + what + ": " +
           (cut ? "the peer has closed the connection without saying so (no close_notify)"
                : std::system_category().message(error));
    return error;
}

int tls_stream::describe_refusal(const char* what) {
    why_ = std::string("TLS ") + what + ": " + noted();
    const long verdict = SSL_get_verify_result(ssl_.get());
    if (verdict != X509_V_OK)
        why_ += std::string(" (") + X509_verify_cert_error_string(verdict) + ")";
    return EPROTO;
}
