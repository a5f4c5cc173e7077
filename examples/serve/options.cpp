// What a server takes from its command line.

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "serve.hpp"

namespace serve {
namespace {

std::string program;

void add_address_options(command_line& line) {
    line.add("--host", options.host, "Numeric; else 127.0.0.1 and ::1").not_empty();
    line.add("--port", options.port, "0: any that is free").number(0, 65535);
    if (options.has_threads)
        line.add("--threads", options.threads, "Each has a socket").number(1, 256);
}

void add_connection_options(command_line& line) {
    auto path = line.add("--unix", options.unix_path, "A Unix socket, not TCP");
    path.not_empty().excludes("--host").excludes("--port");
    if (options.has_threads) path.excludes("--threads");
    line.add("--idle-timeout", options.idle_timeout, "Seconds until a silent peer is cut")
        .number(0.001, 1e9);
    line.add("--max-connections", options.max_connections, "More are refused").number(1, 1'000'000);
    line.add("--drain", options.drain, "Seconds for connections to finish at the end")
        .number(0.0, 1e9);
}

// Descriptors 0 to 2 that were closed would become sockets, and what is printed would go there.
void occupy_standard_descriptors() {
    int fd = ::open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO) fd = ::dup(fd);
    ::close(fd);
}

}  // namespace

settings options;

void begin(command_line& line, int argc, char** argv, settings defaults) {
    program = line.name();
    options = std::move(defaults);
    occupy_standard_descriptors();
    std::signal(SIGPIPE, SIG_IGN);  // whoever reads what is printed may go; the service stays
    add_address_options(line);
    if (options.has_connections) add_connection_options(line);
    line.parse(argc, argv);
}

wire::deadline patience() {
    return wire::within(seconds(options.idle_timeout));
}

void give_up(const std::string& reason) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), reason.c_str());
    std::exit(1);
}

}  // namespace serve
