// What the servers among the examples have in common: options, doors, signals, an end in order.
//
// A server is a name, a port and what it does with one connection, in a wire of its own:
//
//     static void echo(serve::connection& peer) { ... }
//
//     int main(int argc, char** argv) {
//         CLI::App app("Sends back whatever it receives.");
//         serve::begin(app, argc, argv, {.name = "echo_server", .port = 7000});
//         return serve::connections(echo);
//     }
//
// SIGINT and SIGTERM stop it: it accepts nothing more, ends idle connections, gives the others
// --drain seconds to finish, and cuts the rest. A second signal ends it at once. SIGQUIT, from the
// keyboard control-backslash, prints what each wire waits for, and changes nothing.
#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
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

namespace serve {

namespace io = wire::io;
using seconds = std::chrono::duration<double>;

/// The options that all servers take, with their defaults.
struct settings {
    const char* name;    ///< of the program
    std::uint16_t port;  ///< 0: any that is free
    std::string host = {}, unix_path = {};
    unsigned threads = 1, max_connections = 10000;
    double idle_timeout = 60, drain = 5;
    const char* refusal = "too many connections, try again later\n";  ///< what one too many reads
    bool has_connections = true;                                      ///< else datagrams
};
inline settings options;

inline std::atomic<bool> is_stopping;
inline int stop_event = -1;  // an eventfd: readable, for every thread, from the first signal on

/// Whether a signal came: a connection should end once it has nothing left to answer.
inline bool stopping() {
    return is_stopping;
}

/// How long a peer may be silent.
inline wire::deadline patience() {
    return wire::within(seconds(options.idle_timeout));
}

[[noreturn]] inline void give_up(const std::string& reason) {
    std::fprintf(stderr, "%s: %s\n", options.name, reason.c_str());
    std::exit(1);
}

/// A connection, and whether it waits for a request that has not begun: such a one may be ended.
struct connection : io::stream {
    explicit connection(io::stream peer) noexcept : stream(std::move(peer)) {}
    bool idle = false;
};

using protocol = std::function<void(connection&)>;

// ---- options

/// Takes a number from `least` to `most`, and nothing else.
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

inline CLI::Validator something() {
    return {[](const std::string& s) { return s.empty() ? "is empty" : ""; }, ""};
}

inline void add_address_options(CLI::App& app) {
    app.add_option("--host", options.host, "Numeric; else 127.0.0.1 and ::1")->check(something());
    app.add_option("--port", options.port, "0: any that is free")->check(number(0, 65535));
    app.add_option("--threads", options.threads, "Each has a socket")->check(number(1, 256));
}

inline void add_connection_options(CLI::App& app) {
    auto* path = app.add_option("--unix", options.unix_path, "A Unix socket, not TCP");
    path->check(something());
    for (const char* other : {"--host", "--port", "--threads"}) path->excludes(other);
    app.add_option("--idle-timeout", options.idle_timeout, "Seconds until a silent peer is cut")
        ->check(number(0.001, 1e9));
    app.add_option("--max-connections", options.max_connections, "More are refused")
        ->check(number(1, 1'000'000));
    app.add_option("--drain", options.drain, "Seconds for connections to finish at the end")
        ->check(number(0.0, 1e9));
}

// Descriptors 0 to 2 that were closed would become sockets, and what is printed would go there.
inline void occupy_standard_descriptors() {
    int fd = ::open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO) fd = ::dup(fd);
    ::close(fd);
}

/// Takes over the process: reads `options`, and what else was added to `app`, from the command
/// line. Ends the program if that is wrong, or a question.
inline void begin(CLI::App& app, int argc, char** argv, settings defaults) {
    options = std::move(defaults);
    occupy_standard_descriptors();
    std::signal(SIGPIPE, SIG_IGN);  // whoever reads what is printed may go; the service stays
    app.option_defaults()->always_capture_default();
    add_address_options(app);
    if (options.has_connections) add_connection_options(app);
    app.failure_message([](const CLI::App*, const CLI::Error& e) {
        const std::string name = options.name;
        return name + ": " + e.what() + "\nTry " + name + " --help\n";
    });
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        std::exit(app.exit(e) == 0 && std::cout.flush() ? 0 : 1);
    }
}

// ---- doors

inline std::string why_in_use(const io::address& at) {
    const std::string path = at.path();
    if (path.empty())
        return "port " + std::to_string(at.port()) + " is already in use (" + at.to_string() +
               "): choose another with --port";
    std::error_code ignored;
    if (path.front() == '@' || std::filesystem::is_socket(path, ignored))
        return "another server listens on " + path + " already: choose another with --unix";
    return "cannot listen on " + path + ": there is a file that is no socket";
}

/// The socket that was to be opened at `at`, or the end of the program with a sentence.
template <class Socket>
Socket opened(wire::result<Socket> door, const io::address& at) {
    if (door.code() == EADDRINUSE) give_up(why_in_use(at));
    if (!door) give_up("cannot listen on " + at.to_string() + ": " + door.error().message());
    return *std::move(door);
}

/// Opens a socket for each thread, open(address, shared): the kernel spreads the work over those
/// that share a port. Returns where, in words.
template <class Socket, class Open>
std::string open_on_host(std::vector<std::vector<Socket>>& doors, const std::string& host,
                         std::uint16_t port, Open open) {
    const auto at = [&] { return io::address::ip(host, port); };
    if (!at()) give_up("--host takes a numeric IPv4 or IPv6 address, not '" + host + "'");
    const bool share = doors.size() > 1;
    const auto port_of = [](const Socket& door) { return door.local_address().value().port(); };
    if (share)
        port = port_of(opened(open(*at(), false), *at()));  // first alone: fails if it is taken
    for (auto& of_thread : doors) {
        of_thread.push_back(opened(open(*at(), share), *at()));
        port = port_of(of_thread.back());
    }
    return at()->to_string();
}

/// The same as the options say: on --host, or on both addresses of this machine.
template <class Socket, class Open>
std::string open_doors(std::vector<std::vector<Socket>>& doors, Open open) {
    if (!options.host.empty()) return open_on_host(doors, options.host, options.port, open);
    const std::string v4 = open_on_host(doors, "127.0.0.1", options.port, open);
    const bool has_v6 = open(*io::address::ip("::1", 0), false).has_value();
    return has_v6 ? v4 + " and " + open_on_host(doors, "::1", options.port, open) : v4;
}

// ---- running

inline std::atomic<unsigned> open_connections, cut_connections;

/// Waits for the first signal.
inline void wait_for_stop() {
    io::wait_readable(stop_event).value();
}

inline void stop_at_signal(std::optional<io::signals>& quit) {
    const int number = quit->wait().value();
    quit.reset();  // the next signal has its usual effect
    std::printf("signal %d", number);
    if (options.has_connections) std::printf(", open connections: %u", open_connections.load());
    std::printf("\n");
    is_stopping = true;
    ::eventfd_write(stop_event, 1);
}

/// Says `where` it listens, and calls on_thread(0), on_thread(1) ... as the first wire of each
/// thread. They return after wait_for_stop(). Returns the exit code.
template <class F>
int run(const std::string& where, F on_thread) {
    stop_event = ::eventfd(0, EFD_CLOEXEC);
    if (stop_event < 0) give_up("eventfd: " + std::generic_category().message(errno));
    std::optional<io::signals> quit;
    quit.emplace({SIGINT, SIGTERM});  // before the threads start
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    std::printf("listening on %s\n", where.c_str());

    const auto main_thread = std::this_thread::get_id();
    std::atomic<unsigned> started = 0;
    const auto first_wire = [&] {
        if (std::this_thread::get_id() == main_thread)
            wire::go({.name = "signals"}, stop_at_signal, std::ref(quit));
        on_thread(started++);
    };
    const int code = wire::run(first_wire, {.threads = options.threads, .dump_on_quit = true});
    std::printf("stopped");
    if (options.has_connections) std::printf(", cut connections: %u", cut_connections.load());
    std::printf("\n");
    if (std::ferror(stdout)) give_up("could not write everything to standard output");
    return code;
}

// ---- connections

/// What one thread serves. Only its own wires touch it, so it needs no lock.
class acceptor {
public:
    acceptor(std::vector<io::listener>& doors, const protocol& talk) : doors_(doors), talk_(talk) {}

    void run() {
        main_ = wire::this_wire::ref();
        for (io::listener& door : doors_) wire::go({.name = "accept"}, [&] { accept_from(door); });
        wait_for_stop();
        for (io::listener& door : doors_) door.close();  // ends accept_from()
        drain();
    }

private:
    void accept_from(io::listener& door) {
        while (auto peer = door.accept()) {
            if (++open_connections <= options.max_connections) {
                static_cast<void>(peer->set_no_delay(true));  // no harm if a Unix socket refuses
                peers_.emplace_back(*std::move(peer));
                wire::go({.name = "connection"}, [this, at = std::prev(peers_.end())] {
                    talk_(*at);
                    peers_.erase(at);
                    --open_connections;
                    wire::resume(main_);  // drain() may be waiting for the last one
                });
            } else {
                --open_connections;
                wire::go({.name = "refuse"}, refuse, *std::move(peer));
            }
        }
    }

    static void refuse(io::stream peer) {
        const wire::deadline until = wire::within(seconds(1));
        if (!peer.write_all(options.refusal, until)) return;
        if (!peer.shutdown(io::direction::write)) return;
        // To close with unread bytes would reset the connection, and the line might be lost.
        std::array<std::byte, 1024> rest;
        while (auto n = peer.read(rest, until))
            if (*n == 0) return;
    }

    void drain() {
        const wire::deadline until = wire::within(seconds(options.drain));
        for (connection& peer : peers_)
            if (peer.idle) static_cast<void>(peer.shutdown(io::direction::read));  // it reads 0
        while (!peers_.empty() && wire::suspend(until)) {
        }
        cut_connections += static_cast<unsigned>(peers_.size());
        for (connection& peer : peers_) peer.close();  // its wire gets EBADF, and ends
    }

    std::vector<io::listener>& doors_;
    const protocol& talk_;
    std::list<connection> peers_;
    wire::wire_ref main_;
};

using listeners = std::vector<std::vector<io::listener>>;  // of each thread

// The doors that systemd has opened, a duplicate for each thread. Returns where; "" if none.
inline std::string take_over(listeners& doors) {
    const auto handed = io::inherited_sockets();
    if (!handed) give_up("what LISTEN_FDS hands over makes no sense: " + handed.error().message());
    std::string where;
    for (const io::inherited_socket& socket : *handed) {
        for (auto& of_thread : doors) {
            const int copy = ::fcntl(socket.fd.number(), F_DUPFD_CLOEXEC, 0);
            auto door = io::listener::adopt(copy);
            if (!door) give_up("cannot listen on " + socket.name + ": " + door.error().message());
            of_thread.push_back(*std::move(door));
        }
        const auto at = doors[0].back().local_address().value();
        where += (where.empty() ? "" : " and ") + at.to_string();
    }
    return where;
}

// The doors of each thread. Returns where, in words.
inline std::string open_doors(listeners& doors) {
    if (std::string where = take_over(doors); !where.empty()) return where;
    const auto open = [](const io::address& at, bool share) {
        return io::listen(at, {.reuse_port = share});
    };
    const std::string& path = options.unix_path;
    if (path.empty()) return open_doors(doors, open);
    const auto at = io::address::local(path);
    if (!at) give_up("cannot listen on '" + path + "': " + at.error().message());
    doors[0].push_back(opened(open(*at, false), *at));
    return path;
}

/// Serves each connection with talk(connection&), until a signal. Returns the exit code.
inline int connections(const protocol& talk) {
    listeners doors(options.threads);
    const std::string where = open_doors(doors);
    std::vector<acceptor> acceptors;  // outlive the wires of connections that were cut
    for (auto& of_thread : doors) acceptors.emplace_back(of_thread, talk);
    return run(where, [&](unsigned thread) { acceptors[thread].run(); });
}

}  // namespace serve
