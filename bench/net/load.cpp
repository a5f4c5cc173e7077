// The load generator of the suite `net`: many connections to an echo server on this machine, each
// with one request under way, and what that costs the server.
//
//     load --port N --pid N [--connections N] [--size BYTES] [--warm-up S] [--seconds S]
//          [--syscalls] [--slow N] [--request TEXT --answer BYTES]
//
// Requests are --size bytes that come back as they are; or TEXT, to which so many bytes come back.
// With --slow as many further connections each send a byte of their request every 4 s, one after
// the other, and never receive: they are there to see what they cost the others.
//
// It never sleeps, so that the server need not wake it: that would cost the server as much as all
// the rest, and clients on other machines do not.
//
// Prints one line of names and values. Processor time per request and rate are medians of stretches
// of 0.1 s; the former comes from the clock of the server's process. With --syscalls its system
// calls are counted, too, by a tracepoint of the kernel (which slows the server a little: use a run
// of its own).
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "load_figures.hpp"
#include "syscall_counter.hpp"

namespace {

constexpr std::size_t requests_max = 4'000'000;  // measured; bounds time and memory
constexpr double seconds_max = 60;
constexpr std::size_t connections_max = 15'000;
constexpr std::size_t size_max = 65'536;
constexpr int send_buffer = 256 * 1024;        // holds any message: a send never stops half-way
constexpr std::size_t connect_at_once = 1000;  // the listener's queue must hold them
constexpr double slow_period = 4;              // seconds

struct options {
    int port = 0;
    int pid = 0;
    std::size_t connections = 1;
    std::size_t size = 64;
    double warm_up = 0.3;
    double seconds = 1;
    bool syscalls = false;
    std::size_t slow = 0;
    std::string request;
    std::size_t answer = 0;
};

struct connection {
    int fd = -1;
    std::size_t left = 0;  // bytes of the answer that are still to come
    std::int64_t sent_at = 0;
};

[[noreturn]] void usage() {
    std::fputs(
        "usage: load --port N --pid N [--connections N] [--size BYTES] [--warm-up S]"
        " [--seconds S] [--syscalls] [--slow N] [--request TEXT --answer BYTES]\n",
        stderr);
    std::exit(2);
}

bool set_number(options& o, std::string_view name, double value) {
    if (name == "--port") return o.port = static_cast<int>(value), true;
    if (name == "--pid") return o.pid = static_cast<int>(value), true;
    if (name == "--connections") return o.connections = static_cast<std::size_t>(value), true;
    if (name == "--size") return o.size = static_cast<std::size_t>(value), true;
    if (name == "--answer") return o.answer = static_cast<std::size_t>(value), true;
    if (name == "--warm-up") return o.warm_up = value, true;
    if (name == "--seconds") return o.seconds = value, true;
    if (name == "--slow") return o.slow = static_cast<std::size_t>(value), true;
    return false;
}

options parse(int argc, char** argv) {
    options o;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--syscalls") {
            o.syscalls = true;
            continue;
        }
        if (++i == argc) usage();
        if (name == "--request")
            o.request = argv[i];
        else if (!set_number(o, name, std::atof(argv[i])))
            usage();
    }
    if (o.port <= 0 || o.pid <= 0 || o.connections == 0 || o.size == 0) usage();
    o.connections = std::min(o.connections, connections_max);
    o.slow = std::min(o.slow, connections_max);
    o.size = std::min(o.size, size_max);
    o.seconds = std::min(o.seconds, seconds_max);
    return o;
}

class load {
public:
    explicit load(const options& o)
        : options_(o),
          message_(o.request.empty() ? std::string(o.size, 'x') : o.request),
          answer_(o.request.empty() ? message_.size() : o.answer),
          connections_(o.connections),
          slow_(o.slow),
          latencies_(requests_max),
          counter_(o.syscalls ? o.pid : 0) {
        if (::clock_getcpuclockid(o.pid, &server_) != 0) fail("clock_getcpuclockid");
        epoll_ = ::epoll_create1(0);
        if (epoll_ < 0) fail("epoll_create1");
    }

    void run() {
        connect_all(slow_);
        for (connection& c : slow_) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, c.fd, nullptr);
        connect_all(connections_);
        for (connection& c : connections_) send(c, now_ns());
        next_drip_ = now_ns();
        run_for(options_.warm_up);
        done_ = 0;
        const std::int64_t calls = counter_.read();
        const std::int64_t end = now_ns() + static_cast<std::int64_t>(options_.seconds * 1e9);
        while (now_ns() < end && done_ < requests_max) measure_stretch();
        report(counter_.read() - calls);
    }

private:
    void connect_all(std::vector<connection>& all) const {
        for (std::size_t first = 0; first < all.size(); first += connect_at_once) {
            const std::size_t last = std::min(first + connect_at_once, all.size());
            for (std::size_t i = first; i < last; ++i) start_connect(all[i]);
            for (std::size_t left = last - first; left > 0; --left) finish_connect();
        }
    }

    void start_connect(connection& c) const {
        const int one = 1;
        c.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (c.fd < 0) fail("socket");
        ::setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        ::setsockopt(c.fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(static_cast<std::uint16_t>(options_.port));
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(c.fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 &&
            errno != EINPROGRESS)
            fail("connect");
        epoll_event interest{};
        interest.events = EPOLLOUT;
        interest.data.ptr = &c;
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &interest) != 0) fail("epoll_ctl");
    }

    // Of whichever connection is next.
    void finish_connect() const {
        epoll_event event;
        if (::epoll_wait(epoll_, &event, 1, 10'000) != 1) fail("connect: nothing within 10 s");
        const int fd = static_cast<connection*>(event.data.ptr)->fd;
        socklen_t size = sizeof errno;
        ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &errno, &size);
        if (errno != 0) fail("connect");
        event.events = EPOLLIN;
        if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) != 0) fail("epoll_ctl");
    }

    void send(connection& c, std::int64_t now) const {
        c.sent_at = now;
        c.left = answer_;
        if (::send(c.fd, message_.data(), message_.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(message_.size()))
            fail("send");
    }

    void measure_stretch() {
        const std::size_t done = done_;
        const std::int64_t cpu = clock_ns(server_);
        const std::int64_t start = now_ns();
        run_for(0.1);
        if (done_ == done) return;
        const auto requests = static_cast<double>(done_ - done);
        cpu_ns_.push_back(static_cast<double>(clock_ns(server_) - cpu) / requests);
        rates_.push_back(requests * 1e9 / static_cast<double>(now_ns() - start));
    }

    void run_for(double seconds) {
        const std::int64_t end = now_ns() + static_cast<std::int64_t>(seconds * 1e9);
        epoll_event events[256];
        for (std::int64_t now = now_ns(); now < end && done_ < requests_max; now = now_ns()) {
            drip(now);
            const int n = ::epoll_wait(epoll_, events, 256, 0);
            for (int i = 0; i < n; ++i) receive(*static_cast<connection*>(events[i].data.ptr));
        }
    }

    // A byte from each slow connection whose turn has come.
    void drip(std::int64_t now) {
        if (slow_.empty()) return;
        const auto gap =
            static_cast<std::int64_t>(slow_period * 1e9) / static_cast<std::int64_t>(slow_.size());
        for (int i = 0; i < 8 && now >= next_drip_; ++i, ++drips_, next_drip_ += gap) {
            const char* const next = &message_[drips_ / slow_.size() % message_.size()];
            if (::send(slow_[drips_ % slow_.size()].fd, next, 1, MSG_NOSIGNAL) != 1)
                fail("the server has closed a slow connection");
        }
    }

    void receive(connection& c) {
        static char buffer[size_max];
        const ssize_t n = ::recv(c.fd, buffer, sizeof buffer, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) fail("the server has closed a connection");
        const auto got = static_cast<std::size_t>(n);
        const bool is_echo = options_.request.empty();
        if (got > c.left || (is_echo && std::memcmp(buffer, message_.data(), got) != 0)) {
            errno = EPROTO;
            fail("the answer is not the request");
        }
        c.left -= got;
        if (c.left > 0) return;
        const std::int64_t now = now_ns();
        if (done_ < requests_max)
            latencies_[done_++] =
                static_cast<std::uint32_t>(std::min<std::int64_t>(now - c.sent_at, UINT32_MAX));
        send(c, now);
    }

    void report(std::int64_t calls) {
        if (done_ == 0) {
            std::fputs("no request was answered\n", stderr);
            std::exit(1);
        }
        latencies_.resize(done_);
        std::printf("requests %zu cpu_ns %.1f per_second %.0f p50_us %.1f p99_us %.1f p999_us %.1f",
                    done_, percentile(cpu_ns_, 0.5), percentile(rates_, 0.5),
                    percentile(latencies_, 0.5) / 1e3, percentile(latencies_, 0.99) / 1e3,
                    percentile(latencies_, 0.999) / 1e3);
        if (counter_.works())
            std::printf(" syscalls %.3f", static_cast<double>(calls) / static_cast<double>(done_));
        std::puts("");
    }

    const options options_;
    const std::string message_;
    const std::size_t answer_;  // bytes
    std::vector<connection> connections_;
    std::vector<connection> slow_;
    std::size_t drips_ = 0;
    std::int64_t next_drip_ = 0;
    std::vector<std::uint32_t> latencies_;  // nanoseconds
    std::vector<double> cpu_ns_;            // the server's per request, of each stretch
    std::vector<double> rates_;             // requests per second, of each stretch
    std::size_t done_ = 0;
    syscall_counter counter_;
    clockid_t server_{};
    int epoll_ = -1;
};

}  // namespace

int main(int argc, char** argv) {
    load(parse(argc, argv)).run();
}
