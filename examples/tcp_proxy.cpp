// A TCP proxy: carries each connection on to a backend, through pipes in the kernel.
//
//     ./echo_server &                                on port 7000
//     ./tcp_proxy --backend 127.0.0.1:7000           on 127.0.0.1 and ::1, port 7001
//     printf 'hello\n' | nc -N 127.0.0.1 7001
//
// Each direction ends by itself: a client that has sent everything still gets its answer. But a
// connection that breaks on one side is reset on the other, so that nobody takes a part for all.
// A connection takes six descriptors. How the proxy starts and ends is in serve.hpp.

#include <sys/socket.h>

#include <atomic>
#include <charconv>
#include <cstdio>
#include <string>
#include <system_error>

#include "serve.hpp"

namespace {

namespace io = wire::io;

io::address backend;
double connect_timeout = 5;
std::atomic<int> trouble;  // why the last connection could not be carried; 0: it could

/// Says so when something that went well goes wrong, or in another way.
void complain(const char* what, int code) {
    if (trouble.exchange(code) == code) return;
    std::fprintf(stderr, "tcp_proxy: %s %s: %s\n", what, backend.to_string().c_str(),
                 std::system_category().message(code).c_str());
}

struct session {
    io::stream& client;
    io::stream& server;
    wire::deadline silent_until = serve::patience();

    /// Resets both connections; whoever waits for them gets EBADF.
    void cut() {
        constexpr linger at_once{.l_onoff = 1, .l_linger = 0};
        for (io::stream* s : {&client, &server}) {
            ::setsockopt(s->native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
            s->close();
        }
    }
};

/// One direction. Returns whether it came to its end.
bool carry(session& s, io::stream& from, io::stream& to) {
    auto pipe = io::splicer::make();
    if (!pipe) {
        complain("cannot carry bytes to", pipe.code());
        return false;
    }
    for (;;) {
        const wire::deadline until = s.silent_until;
        const auto n = pipe->fill(from, until);
        if (n.code() == ETIMEDOUT && until < s.silent_until) continue;  // the other was busy
        if (!n) return false;
        s.silent_until = serve::patience();
        if (*n == 0) return to.shutdown(io::direction::write).has_value();
        if (!pipe->drain(to, serve::patience())) return false;
    }
}

void carry_or_cut(session& s, io::stream& from, io::stream& to) {
    if (!carry(s, from, to)) s.cut();
}

void proxy(serve::connection& client) {
    auto server = io::connect(backend, wire::within(serve::seconds(connect_timeout)));
    io::stream none;
    session s{client, server ? *server : none};
    if (!server) {
        complain("cannot reach", server.code());
        return s.cut();
    }
    trouble = 0;
    static_cast<void>(server->set_no_delay(true));
    auto upload = wire::spawn({.name = "upload"}, [&] { carry_or_cut(s, client, *server); });
    carry_or_cut(s, *server, client);
    static_cast<void>(upload.join());
}

/// "127.0.0.1:80" or "[::1]:80"; returns what is wrong with it, if anything.
std::string parse_backend(const std::string& text) {
    const auto colon = text.rfind(':');
    std::string host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    const std::string digits = colon == text.npos ? "" : text.substr(colon + 1);
    std::uint16_t port = 0;
    const char* const end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, port);
    const auto at = io::address::ip(host, port);
    if (error != std::errc() || rest != end || port == 0 || !at)
        return "takes a numeric address and a port, as 127.0.0.1:7000, not '" + text + "'";
    backend = *at;
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    command_line line("tcp_proxy", "Carries connections on to a backend.");
    std::string to;
    line.add("--backend", to, "Where to: 127.0.0.1:7000 or [::1]:7000")
        .required()
        .check(parse_backend);
    line.add("--connect-timeout", connect_timeout, "Seconds for the backend to answer")
        .number(0.001, 1e9);
    serve::begin(line, argc, argv, {.port = 7001});
    return serve::connections(proxy);
}
