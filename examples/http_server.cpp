// An HTTP/1.1 server: a text, and the files below a folder.
//
//     ./http_server --root .                         on 127.0.0.1 and ::1, port 8080
//     curl http://127.0.0.1:8080/hello http://127.0.0.1:8080/README.md
//     ./http_server --help
//
// Boost.Beast's parser reads the requests (http/parser.cpp), http/session.cpp answers them, and
// here is what moves the bytes: all requests that have come are answered with one write; a client
// that does not read its answers blocks its own wire, whose memory is what the two buffers take.

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <system_error>

#include "http/session.hpp"
#include "serve.hpp"

namespace {

struct {
    std::string root;
    double request_timeout = 10;
    std::uint64_t body_max = 1 << 20;
} options;

int root = -1;  // the folder, open

// By a clock that is some milliseconds late, and faster than the exact one.
wire::deadline about(double delay) {
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    const auto ns = std::int64_t{1'000'000'000} * now.tv_sec + now.tv_nsec;
    return wire::deadline::at_ns(ns + static_cast<std::int64_t>(delay * 1e9));
}

wire::deadline patience() {
    return about(serve::options.idle_timeout);
}

/// A connection, what it has sent, and what it gets.
class conversation {
public:
    conversation(serve::connection& peer, http::site& site)
        : peer_(peer), site_(site), session_(site, options.body_max) {}

    void run() {
        do {
            const auto n = receive();
            if (n.code() == ETIMEDOUT && !peer_.idle) {
                session_.refuse(408, out_);
                break;
            }
            if (!n || *n == 0) return;
            filled_ += *n;
        } while (answer());
        if (send_output()) farewell();
    }

private:
    wire::result<std::size_t> receive() {
        peer_.idle = filled_ == 0 && !session_.busy();
        if (peer_.idle && serve::stopping()) return std::size_t{0};
        const auto room = std::as_writable_bytes(std::span(in_)).subspan(filled_);
        return peer_.read(room, peer_.idle ? patience() : time_for_request());
    }

    // A request has a deadline of its own, which a client cannot put off by sending slowly.
    wire::deadline time_for_request() {
        if (std::exchange(current_, session_.answered()) != session_.answered())
            until_ = about(options.request_timeout);
        return until_;
    }

    // Answers what has come. False if the connection is to end, after what is in the output.
    bool answer() {
        std::string_view rest(in_.data(), filled_);
        for (;;) {
            site_.closing = serve::stopping();
            const http::next what = session_.consume(rest, out_);
            if (what == http::next::close) return false;
            if (!send_output()) return false;
            if (what == http::next::send_file && !send_attachment()) return false;
            if (what == http::next::read) break;
        }
        std::memmove(in_.data(), rest.data(), rest.size());
        filled_ = rest.size();
        return true;
    }

    bool send_output() {
        const auto sent = peer_.write_all(out_.bytes(), patience());
        out_.clear();
        return static_cast<bool>(sent);
    }

    // In pieces, each of which a client has to take in time.
    bool send_attachment() {
        constexpr std::uint64_t piece_max = 256 * 1024;
        const http::resource& what = session_.attachment();
        for (std::uint64_t sent = 0, n; sent < what.size; sent += n) {
            n = std::min(what.size - sent, piece_max);
            if (!peer_.send_file(what.content.number(), sent, n, patience())) return false;
        }
        return true;
    }

    // Closing with unread bytes would reset the connection, and the last answer might be lost.
    void farewell() {
        const wire::deadline until = about(1);
        if (!peer_.shutdown(serve::io::direction::write)) return;
        while (auto n = peer_.read(std::as_writable_bytes(std::span(in_)), until))
            if (*n == 0) return;
    }

    serve::connection& peer_;
    http::site& site_;
    http::session session_;
    wire::deadline until_;           // of the request that comes,
    std::uint64_t current_ = ~0ULL;  // which is the one after so many
    std::size_t filled_ = 0;
    std::array<char, http::head_max> in_;
    http::output out_;
};

void talk(serve::connection& peer) {
    thread_local http::site site(root);
    // On the stack, it would take up pages that most connections never use.
    std::make_unique<conversation>(peer, site)->run();
}

void open_root() {
    if (options.root.empty()) return;
    root = ::open(options.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        serve::give_up("cannot open the folder '" + options.root +
                       "': " + std::generic_category().message(errno));
}

}  // namespace

int main(int argc, char** argv) {
    command_line line("http_server", "Serves a text at /hello, and the files of a folder.");
    line.add("--root", options.root, "The folder; without it there is only the text").not_empty();
    line.add("--request-timeout", options.request_timeout,
             "Seconds for a request to come, from its first byte to its last")
        .number(0.001, 1e9);
    line.add("--max-body", options.body_max, "Bytes that a request may bring along")
        .number(std::uint64_t{0}, ~std::uint64_t{0});
    serve::begin(line, argc, argv,
                 {.port = 8080,
                  .refusal = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                             "Content-Length: 0\r\n\r\n"});
    open_root();
    return serve::connections(talk);
}
