// What the servers among the examples have in common: options, doors, signals, an end in order.
//
// A server is a name, a port and what it does with one connection, in a wire of its own:
//
//     static void echo(serve::connection& peer) { ... }
//
//     int main(int argc, char** argv) {
//         command_line line("echo_server", "Sends back whatever it receives.");
//         serve::begin(line, argc, argv, {.port = 7000});
//         return serve::connections(echo);
//     }
//
// SIGINT and SIGTERM stop it: it accepts nothing more, ends idle connections, gives the others
// --drain seconds to finish, and cuts the rest. A second signal ends it at once. SIGQUIT, from the
// keyboard control-backslash, prints what each wire waits for, and changes nothing.
//
// How it does that is in the folder serve/: options.cpp, doors.cpp, connections.cpp, running.cpp.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <wire/wire.hpp>

#include "command_line.hpp"

namespace serve {

namespace io = wire::io;
using seconds = std::chrono::duration<double>;

// ---- options

/// The options that all servers take, with their defaults.
struct settings {
    std::uint16_t port;  ///< 0: any that is free
    std::string host = {}, unix_path = {};
    unsigned threads = 1, max_connections = 10000;
    double idle_timeout = 60, drain = 5;
    const char* refusal = "too many connections, try again later\n";  ///< what one too many reads
    bool has_connections = true;                                      ///< else datagrams
    bool has_threads = true;                                          ///< else always one
};
extern settings options;

/// Takes over the process: reads `options`, and what else was added to `line`, from the command
/// line. Ends the program if that is wrong, or a question.
void begin(command_line& line, int argc, char** argv, settings defaults);

/// How long a peer may be silent.
wire::deadline patience();

/// Ends the program with a sentence.
[[noreturn]] void give_up(const std::string& reason);

// ---- connections

/// A connection, and whether it waits for a request that has not begun: such a one may be ended.
struct connection : io::stream {
    explicit connection(io::stream peer) noexcept : stream(std::move(peer)) {}
    bool idle = false;
};

using protocol = std::function<void(connection&)>;

/// Serves each connection with talk(connection&), until a signal. Returns the exit code.
int connections(const protocol& talk);

/// How many there are, and how many had to be cut.
extern std::atomic<unsigned> open_connections, cut_connections;

// ---- doors

/// The sockets of each thread: the kernel spreads the work over those that share a port.
template <class Socket>
using doors = std::vector<std::vector<Socket>>;

/// Opens them as the options say, or takes over those that systemd has opened. Returns where, in
/// words.
std::string open_doors(doors<io::listener>& all);
/// Opens them as the options say. Returns where, in words.
std::string open_doors(doors<io::datagram>& all);

// ---- running

/// Says `where` it listens, and calls on_thread(0), on_thread(1) ... as the first wire of each
/// thread. They return after wait_for_stop(). Returns the exit code.
int run(const std::string& where, const std::function<void(unsigned)>& on_thread);

/// Waits for the first signal.
void wait_for_stop();

/// Whether a signal came: a connection should end once it has nothing left to answer.
bool stopping();

extern int stop_event;  ///< an eventfd: readable, for every thread, from the first signal on

}  // namespace serve
