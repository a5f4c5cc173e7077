// An echo server: a wire for each connection, a runtime for each thread.
//
//     ./echo_server                                  on 127.0.0.1 and ::1, port 7000
//     printf 'hello\n' | nc -N 127.0.0.1 7000
//     ./echo_server --help
//
// SIGINT and SIGTERM stop it: it accepts nothing more, gives open connections --drain seconds to
// finish, and cuts the rest. A second signal ends it at once. SIGQUIT (control-\ in a terminal)
// prints what each wire waits for, and changes nothing.

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <list>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <wire/wire.hpp>

namespace {

namespace io = wire::io;
using seconds = std::chrono::duration<double>;

struct {
    std::string host, unix_path;
    std::uint16_t port = 7000;
    unsigned threads = 1, max_connections = 10000;
    double idle_timeout = 60, drain = 5;
} options;

// What the threads share, besides the options.
std::atomic<unsigned> connections, cut;
int stop = -1;  // an eventfd: readable, for every thread, from the first signal on

/// What one thread serves. Only its own wires touch it, so it needs no lock.
class server {
public:
    void add(io::listener door) { doors_.push_back(std::move(door)); }

    void run() {
        main_ = wire::this_wire::ref();
        for (io::listener& door : doors_) wire::go({.name = "accept"}, [&] { accept_from(door); });
        io::wait_readable(stop).value();
        for (io::listener& door : doors_) door.close();  // ends accept_from()
        drain();
    }

private:
    void accept_from(io::listener& door) {
        while (auto peer = door.accept()) {
            if (++connections <= options.max_connections) {
                static_cast<void>(peer->set_no_delay(true));  // no harm if a Unix socket refuses
                peers_.push_back(*std::move(peer));
                wire::go({.name = "echo"}, [this, at = std::prev(peers_.end())] { serve(at); });
            } else {
                --connections;
                wire::go({.name = "refuse"}, refuse, *std::move(peer));
            }
        }
    }

    void serve(std::list<io::stream>::iterator peer) {
        echo(*peer);
        peers_.erase(peer);
        --connections;
        wire::resume(main_);  // drain() may be waiting for the last one
    }

    static void echo(io::stream& peer) {
        std::array<std::byte, 16 * 1024> buffer;
        while (auto n = peer.read(buffer, patience()))
            if (*n == 0 || !peer.write_all(std::span(buffer).first(*n), patience())) return;
    }

    static wire::deadline patience() { return wire::within(seconds(options.idle_timeout)); }

    static void refuse(io::stream peer) {
        const wire::deadline until = wire::within(seconds(1));
        if (!peer.write_all("too many connections, try again later\n", until)) return;
        if (!peer.shutdown(io::direction::write)) return;
        // To close with unread bytes would reset the connection, and the line might be lost.
        std::array<std::byte, 1024> rest;
        while (auto n = peer.read(rest, until))
            if (*n == 0) return;
    }

    void drain() {
        const wire::deadline until = wire::within(seconds(options.drain));
        while (!peers_.empty() && wire::suspend(until)) {
        }
        cut += static_cast<unsigned>(peers_.size());
        for (io::stream& peer : peers_) peer.close();  // its wire gets EBADF, and ends
    }

    std::vector<io::listener> doors_;
    std::list<io::stream> peers_;
    wire::wire_ref main_;
};

[[noreturn]] void give_up(const std::string& reason) {
    std::fprintf(stderr, "echo_server: %s\n", reason.c_str());
    std::exit(1);
}

// Descriptors 0 to 2 that were closed would become sockets, and what is printed would go there.
void occupy_standard_descriptors() {
    int fd = ::open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO) fd = ::dup(fd);
    ::close(fd);
}

std::string why_in_use(const io::address& at) {
    const std::string path = at.path();
    if (path.empty())
        return "port " + std::to_string(at.port()) + " is already in use (" + at.to_string() +
               "): choose another with --port";
    std::error_code ignored;
    if (path.front() == '@' || std::filesystem::is_socket(path, ignored))
        return "another server listens on " + path + " already: choose another with --unix";
    return "cannot listen on " + path + ": there is a file that is no socket";
}

io::listener listen_on(const io::address& at, bool reuse_port = false) {
    auto door = io::listen(at, {.reuse_port = reuse_port});
    if (door.code() == EADDRINUSE) give_up(why_in_use(at));
    if (!door) give_up("cannot listen on " + at.to_string() + ": " + door.error().message());
    return *std::move(door);
}

// A listener for each thread: the kernel spreads the connections over those that share a port.
std::string open_tcp(std::vector<server>& servers, const std::string& host, std::uint16_t port) {
    const auto at = [&] { return io::address::ip(host, port); };
    if (!at()) give_up("--host takes a numeric IPv4 or IPv6 address, not '" + host + "'");
    const bool share = servers.size() > 1;
    if (share)
        port = listen_on(*at()).port();  // first alone: fails if another program has the port
    for (server& s : servers) {
        auto door = listen_on(*at(), share);
        port = door.port();
        s.add(std::move(door));
    }
    return at()->to_string();
}

std::string open_unix(server& s, const std::string& path) {
    const auto at = io::address::local(path);
    if (!at) give_up("cannot listen on '" + path + "': " + at.error().message());
    s.add(listen_on(*at));
    return path;
}

// Returns where, in words.
std::string open_doors(std::vector<server>& servers) {
    if (!options.unix_path.empty()) return open_unix(servers[0], options.unix_path);
    if (!options.host.empty()) return open_tcp(servers, options.host, options.port);
    const std::string v4 = open_tcp(servers, "127.0.0.1", options.port);
    const bool has_v6 = io::listen_tcp("::1", 0).has_value();
    return has_v6 ? v4 + " and " + open_tcp(servers, "::1", options.port) : v4;
}

void wait_for_signal(std::optional<io::signals>& quit) {
    const int number = quit->wait().value();
    quit.reset();  // the next signal has its usual effect
    std::printf("signal %d, open connections: %u\n", number, connections.load());
    ::eventfd_write(stop, 1);
}

// Takes a number from `least` to `most`, and nothing else.
template <class T>
CLI::Validator number(T least, T most) {
    return {[=](const std::string& text) -> std::string {
                T n{};
                const char* const end = text.data() + text.size();
                const auto [rest, error] = std::from_chars(text.data(), end, n);
                if (error == std::errc() && rest == end && n >= least && n <= most) return {};
                std::ostringstream reason;
                reason << "takes a number from " << least << " to " << most << ", not '" << text
                       << "'";
                return reason.str();
            },
            ""};
}

void add_options(CLI::App& app) {
    app.option_defaults()->always_capture_default();
    const CLI::Validator something([](const std::string& s) { return s.empty() ? "is empty" : ""; },
                                   "");
    auto* path = app.add_option("--unix", options.unix_path, "A Unix socket to listen on, not TCP");
    path->check(something);
    app.add_option("--host", options.host, "Numeric; else 127.0.0.1 and ::1")
        ->check(something)
        ->excludes(path);
    app.add_option("--port", options.port, "0: any that is free")
        ->check(number(0, 65535))
        ->excludes(path);
    app.add_option("--threads", options.threads, "Each has a listener")
        ->check(number(1, 256))
        ->excludes(path);
    app.add_option("--idle-timeout", options.idle_timeout, "Seconds until a silent peer is cut")
        ->check(number(0.001, 1e9));
    app.add_option("--max-connections", options.max_connections, "More are refused")
        ->check(number(1, 1'000'000));
    app.add_option("--drain", options.drain, "Seconds for connections to finish at the end")
        ->check(number(0.0, 1e9));
    app.failure_message([](const CLI::App*, const CLI::Error& e) {
        return std::string("echo_server: ") + e.what() + "\nTry echo_server --help\n";
    });
}

}  // namespace

int main(int argc, char** argv) {
    occupy_standard_descriptors();
    std::signal(SIGPIPE, SIG_IGN);  // whoever reads what is printed may go; the service stays
    CLI::App app("Sends back whatever it receives.");
    add_options(app);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 && std::cout.flush() ? 0 : 1;
    }
    stop = ::eventfd(0, EFD_CLOEXEC);
    if (stop < 0) give_up("eventfd: " + std::generic_category().message(errno));

    std::vector<server> servers(options.threads);
    const std::string where = open_doors(servers);
    std::optional<io::signals> quit;
    quit.emplace({SIGINT, SIGTERM});  // before the threads start
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    std::printf("listening on %s\n", where.c_str());

    const auto main_thread = std::this_thread::get_id();
    std::atomic<unsigned> started = 0;
    const auto serve = [&] {
        if (std::this_thread::get_id() == main_thread)
            wire::go({.name = "signals"}, wait_for_signal, std::ref(quit));
        servers[started++].run();
    };
    const int code = wire::run(serve, {.threads = options.threads, .dump_on_quit = true});
    std::printf("stopped, cut connections: %u\n", cut.load());
    if (std::ferror(stdout)) give_up("could not write everything to standard output");
    return code;
}
