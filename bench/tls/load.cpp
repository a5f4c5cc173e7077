// The load generator of the suite `tls`: connections to an echo server over TLS, each with one
// request under way, and what that costs the server.
//
//     load --port N --pid N --connections N --size BYTES --seconds S
//
// Like net/load.cpp it never sleeps, so that the server need not wake it. Prints one line of names
// and values: processor time of the server per request and rate are medians of stretches of 0.1 s.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "../net/load_figures.hpp"

namespace {

constexpr double warm_up = 0.3;  // seconds
constexpr double stretch = 0.1;
constexpr std::size_t size_max = 16'384;  // a record
constexpr int send_buffer = 256 * 1024;   // holds any message: a send never stops half-way

struct options {
    int port = 0, pid = 0;
    std::size_t connections = 1, size = 1024;
    double seconds = 1;
};

struct connection {
    int fd = -1;
    SSL* ssl = nullptr;
    std::size_t left = 0;  // bytes of the answer that are still to come
    std::int64_t sent_at = 0;
};

options parse(int argc, char** argv) {
    options o;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        const double value = std::atof(argv[i + 1]);
        if (name == "--port") o.port = static_cast<int>(value);
        if (name == "--pid") o.pid = static_cast<int>(value);
        if (name == "--connections") o.connections = static_cast<std::size_t>(value);
        if (name == "--size") o.size = std::min(static_cast<std::size_t>(value), size_max);
        if (name == "--seconds") o.seconds = value;
    }
    if (o.port > 0 && o.pid > 0 && o.connections > 0 && o.size > 0) return o;
    std::fputs("usage: load --port N --pid N --connections N --size BYTES --seconds S\n", stderr);
    std::exit(2);
}

class load {
public:
    explicit load(const options& o)
        : options_(o),
          message_(o.size, 'x'),
          connections_(o.connections),
          context_(SSL_CTX_new(TLS_client_method())),
          epoll_(::epoll_create1(0)) {
        if (::clock_getcpuclockid(o.pid, &server_) != 0) fail("clock_getcpuclockid");
        if (!context_ || epoll_ < 0) fail("set-up");
        SSL_CTX_set_read_ahead(context_, 1);
    }

    void run() {
        for (connection& c : connections_) connect(c);
        for (connection& c : connections_) send(c, now_ns());
        run_for(warm_up);
        before_ = latencies_.size();
        latencies_.clear();
        const std::int64_t end = now_ns() + static_cast<std::int64_t>(options_.seconds * 1e9);
        while (now_ns() < end) measure_stretch();
        report();
    }

private:
    // One after the other, blocking; non-blocking from then on.
    void connect(connection& c) {
        const int one = 1;
        c.fd = ::socket(AF_INET, SOCK_STREAM, 0);
        if (c.fd < 0) fail("socket");
        ::setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        ::setsockopt(c.fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(static_cast<std::uint16_t>(options_.port));
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(c.fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) fail("connect");
        c.ssl = SSL_new(context_);
        SSL_set_fd(c.ssl, c.fd);
        if (SSL_connect(c.ssl) != 1) fail("SSL_connect");
        epoll_event interest{};
        interest.events = EPOLLIN;
        interest.data.ptr = &c;
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &interest) != 0) fail("epoll_ctl");
        if (::fcntl(c.fd, F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
    }

    void send(connection& c, std::int64_t now) {
        c.sent_at = now;
        c.left = message_.size();
        if (SSL_write(c.ssl, message_.data(), static_cast<int>(message_.size())) <= 0)
            fail("SSL_write");
    }

    void measure_stretch() {
        const std::size_t done = latencies_.size();
        const std::int64_t cpu = clock_ns(server_);
        const std::int64_t start = now_ns();
        run_for(stretch);
        if (latencies_.size() == done) return;
        const auto requests = static_cast<double>(latencies_.size() - done);
        cpu_ns_.push_back(static_cast<double>(clock_ns(server_) - cpu) / requests);
        rates_.push_back(requests * 1e9 / static_cast<double>(now_ns() - start));
    }

    void run_for(double seconds) {
        const std::int64_t end = now_ns() + static_cast<std::int64_t>(seconds * 1e9);
        epoll_event events[256];
        for (std::int64_t now = now_ns(); now < end; now = now_ns()) {
            const int n = ::epoll_wait(epoll_, events, 256, 0);
            for (int i = 0; i < n; ++i) receive(*static_cast<connection*>(events[i].data.ptr));
        }
    }

    void receive(connection& c) {
        static char buffer[size_max];
        do {
            const int n = SSL_read(c.ssl, buffer, sizeof buffer);
            if (n <= 0 && SSL_get_error(c.ssl, n) == SSL_ERROR_WANT_READ) return;
            if (n <= 0) fail("the server has closed a connection");
            const auto got = static_cast<std::size_t>(n);
            if (got > c.left || std::memcmp(buffer, message_.data(), got) != 0) {
                errno = EPROTO;
                fail("the answer is not the request");
            }
            c.left -= got;
        } while (SSL_has_pending(c.ssl));
        if (c.left > 0) return;
        const std::int64_t now = now_ns();
        latencies_.push_back(
            static_cast<std::uint32_t>(std::min<std::int64_t>(now - c.sent_at, UINT32_MAX)));
        send(c, now);
    }

    void report() {
        if (cpu_ns_.empty()) fail("no request was answered");
        std::printf("requests %zu all %zu cpu_ns %.1f per_second %.0f p50_us %.1f p99_us %.1f\n",
                    latencies_.size(), before_ + latencies_.size(), percentile(cpu_ns_, 0.5),
                    percentile(rates_, 0.5), percentile(latencies_, 0.5) / 1e3,
                    percentile(latencies_, 0.99) / 1e3);
    }

    const options options_;
    const std::string message_;
    std::vector<connection> connections_;
    std::vector<std::uint32_t> latencies_;  // nanoseconds
    std::size_t before_ = 0;                // requests of the warm-up
    std::vector<double> cpu_ns_;            // the server's per request, of each stretch
    std::vector<double> rates_;             // requests per second, of each stretch
    SSL_CTX* const context_;
    const int epoll_;
    clockid_t server_{};
};

}  // namespace

int main(int argc, char** argv) {
    load(parse(argc, argv)).run();
}
