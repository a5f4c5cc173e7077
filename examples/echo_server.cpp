// An echo server: a wire for each connection, a runtime for each thread.
//
//     ./echo_server                                  on 127.0.0.1 and ::1, port 7000
//     printf 'hello\n' | nc -N 127.0.0.1 7000
//     ./echo_server --help
//
// SIGINT and SIGTERM stop it: it accepts nothing more, gives open connections --drain seconds to
// finish, and cuts the rest. A second signal ends it at once.

#include <sys/eventfd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include <wire/wire.hpp>

namespace {

namespace io = wire::io;
using seconds = std::chrono::duration<double>;

struct {
    std::string host, unix_path;
    std::uint16_t port = 7000;
    unsigned threads = 1, max_connections = 0;
    double idle_timeout = 60, drain = 5;
} options;

// What the threads share, besides the options.
std::atomic<unsigned> connections, cut;
const int stop = ::eventfd(0, EFD_CLOEXEC);  // readable, for every thread, from the first signal on

/// What one thread serves. Only its own wires touch it, so it needs no lock.
class server {
public:
    void add(io::listener door) { doors_.push_back(std::move(door)); }

    void run() {
        main_ = wire::this_wire::ref();
        for (io::listener& door : doors_) wire::go([&] { accept_from(door); });
        io::wait_readable(stop).value();
        for (io::listener& door : doors_) door.close();  // ends accept_from()
        drain();
    }

private:
    void accept_from(io::listener& door) {
        while (auto peer = door.accept()) {
            if (++connections <= options.max_connections || options.max_connections == 0) {
                static_cast<void>(peer->set_no_delay(true));  // no harm that it fails on Unix sockets
                peers_.push_back(*std::move(peer));
                wire::go([this, at = std::prev(peers_.end())] { serve(at); });
            } else {
                --connections;
                wire::go(refuse, *std::move(peer));
            }
        }
    }

    void serve(std::list<io::stream>::iterator peer) {
        echo(*peer);
        peers_.erase(peer);
        --connections;
        wire::resume(main_);  // drain() may be waiting for the last one
    }

    static wire::deadline patience() {
        return options.idle_timeout > 0 ? wire::within(seconds(options.idle_timeout)) : wire::never;
    }

    static void echo(io::stream& peer) {
        std::array<std::byte, 16 * 1024> buffer;
        while (auto n = peer.read(buffer, patience()))
            if (*n == 0 || !peer.write_all(std::span(buffer).first(*n), patience())) return;
    }

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

io::listener listen_on(const io::address& at, bool reuse_port = false) {
    auto door = io::listen(at, {.reuse_port = reuse_port});
    if (door.code() == EADDRINUSE && at.port() != 0)
        give_up("port " + std::to_string(at.port()) + " is already in use (" + at.to_string() +
                "): choose another with --port");
    if (!door) give_up("cannot listen on " + at.to_string() + ": " + door.error().message());
    return *std::move(door);
}

// A listener for each thread: the kernel spreads the connections over those that share a port.
std::string open_tcp(std::vector<server>& servers, const std::string& host, std::uint16_t port) {
    const auto at = [&] { return io::address::ip(host, port); };
    if (!at()) give_up("--host takes a numeric IPv4 or IPv6 address, not '" + host + "'");
    const bool share = servers.size() > 1;
    if (share) port = listen_on(*at()).port();  // first alone: fails if another program has the port
    for (server& s : servers) {
        auto door = listen_on(*at(), share);
        port = door.port();
        s.add(std::move(door));
    }
    return at()->to_string();
}

// Returns where the servers listen, in words.
std::string open_doors(std::vector<server>& servers) {
    if (!options.unix_path.empty()) {
        const auto at = io::address::local(options.unix_path);
        if (!at) give_up("cannot listen on '" + options.unix_path + "': " + at.error().message());
        servers[0].add(listen_on(*at));
        return at->to_string();
    }
    if (!options.host.empty()) return open_tcp(servers, options.host, options.port);
    const std::string v4 = open_tcp(servers, "127.0.0.1", options.port);
    const bool has_v6 = io::listen_tcp("::1", 0).has_value();
    return has_v6 ? v4 + " and " + open_tcp(servers, "::1", options.port) : v4;
}

void say(const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
}

void wait_for_signal(std::optional<io::signals>& quit) {
    const int number = quit->wait().value();
    quit.reset();  // the next signal has its usual effect
    say("signal " + std::to_string(number) + ": " + std::to_string(connections) + " connections are open");
    ::eventfd_write(stop, 1);
}

void add_options(CLI::App& app) {
    app.option_defaults()->always_capture_default();
    auto* path = app.add_option("--unix", options.unix_path, "Listen on this Unix socket, not on TCP");
    app.add_option("--host", options.host, "Numeric address; else 127.0.0.1 and ::1")->excludes(path);
    app.add_option("--port", options.port, "TCP port; 0: any free one")->excludes(path);
    app.add_option("--threads", options.threads, "Threads, each with a runtime and a listener")
        ->check(CLI::Range(1, 256))
        ->excludes(path);
    app.add_option("--idle-timeout", options.idle_timeout, "Seconds of patience; 0: endless");
    app.add_option("--max-connections", options.max_connections, "Refuse more; 0: no limit");
    app.add_option("--drain", options.drain, "Seconds for connections to finish at the end");
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Sends back whatever it receives.");
    add_options(app);
    CLI11_PARSE(app, argc, argv);

    std::vector<server> servers(options.threads);
    const std::string where = open_doors(servers);
    std::optional<io::signals> quit;
    quit.emplace({SIGINT, SIGTERM});  // before the threads start
    say("listening on " + where);

    std::atomic<unsigned> started = 0;
    const int code = wire::run([&] {
        const unsigned i = started++;
        if (i == 0) wire::go(wait_for_signal, std::ref(quit));
        servers[i].run();
    }, {.threads = options.threads});
    say("stopped: " + std::to_string(cut) + " connections cut");
    return code;
}
