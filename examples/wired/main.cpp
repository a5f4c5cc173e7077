// A daemon made of wires: a key-value service for clients of redis, as systemd wants it.
//
//     ./wired --config wired.toml
//     redis-cli -p 7379 set greeting hello
//     ./wiredctl status
//     ./wired --config wired.toml --take-over     in place of the one that runs; nobody notices
//
// SIGHUP reads the settings anew, SIGTERM and SIGINT end it in order, SIGQUIT prints its wires,
// and a wire that holds the thread for longer than a second is told with its backtrace.
// config.cpp reads the settings, notify.hpp talks to systemd, service.cpp serves clients,
// control.cpp serves wiredctl, handover.cpp moves everything to a successor, and daemon.cpp puts
// that together. docs/daemons.md tells why it is as it is.

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <wire/diagnostics.hpp>
#include <wire/inherited.hpp>

#include "command_line.hpp"
#include "daemon.hpp"
#include "handover.hpp"

namespace {

using enum wire::io::log_level;
using wired::start_error;

// Whether standard error leads to systemd's journal, as systemd.exec(5) says.
bool errors_go_to_journal() {
    const char* const stream = std::getenv("JOURNAL_STREAM");
    struct stat s {};
    if (!stream || ::fstat(STDERR_FILENO, &s) != 0) return false;
    return stream == std::to_string(s.st_dev) + ':' + std::to_string(s.st_ino);
}

// What the library itself has to tell, such as which wire holds the thread. It does not go through
// the log, which would have to wait for that thread.
void tell_journal(wire::diagnostic, std::string_view text) noexcept {
    ::dprintf(STDERR_FILENO, "<4>wire: %.*s\n", static_cast<int>(text.size()), text.data());
}

// The sockets that systemd has opened: one called "control" for wiredctl, one for clients.
wired::inherited sockets_of_systemd() {
    auto handed = wire::io::inherited_sockets();
    if (!handed) throw start_error("LISTEN_FDS makes no sense: " + handed.error().message());
    wired::inherited sockets;
    for (auto& [name, fd] : *handed) {
        wire::io::listener& place = name == "control" ? sockets.control : sockets.door;
        if (place.is_open())
            throw start_error("systemd hands over a second socket \"" + name +
                              "\": there is one for clients and one called \"control\"");
        auto door = wire::io::listener::adopt(fd.number());
        if (!door)
            throw start_error("the socket \"" + name +
                              "\" of systemd is no listening stream: " + door.error().message());
        static_cast<void>(fd.release());
        place = *std::move(door);
    }
    return sockets;
}

int run(const wired::options& options, bool check, wire::io::log& log) {
    const wired::config settings = wired::read_config(options.config);
    if (check) return 0;
    log.set_least(settings.log_level);
    auto sockets = sockets_of_systemd();
    wire::io::signals set{SIGHUP, SIGINT, SIGTERM};  // before there are other threads
    const auto first_wire = [&] {
        try {
            return wired::daemon(options, settings, std::move(sockets), log, set).run();
        } catch (const start_error& e) {
            log(critical, "%s", e.what());
            return 1;
        }
    };
    return wire::run(first_wire, {.dump_on_quit = true, .stall = std::chrono::seconds(1)});
}

}  // namespace

int main(int argc, char** argv) {
    wired::options options{.program = argv[0], .config = {}};
    bool check = false;
    command_line line("wired", "Keeps values under keys, as a daemon.");
    line.add("--config", options.config, "The file of settings").required().not_empty();
    line.add("--take-over", options.take_over, "Replace the instance that runs");
    line.add("--check", check, "Read the settings, and no more");
    line.add("--journal", options.journal,
             "Log lines as systemd's journal takes them; else if it reads");
    line.parse(argc, argv);

    std::signal(SIGPIPE, SIG_IGN);  // whoever reads the log may go; the service stays
    const bool journal = options.journal || errors_go_to_journal();
    wire::io::log log(STDERR_FILENO, {.for_journal = journal});
    if (journal) wire::set_diagnostics_handler(&tell_journal);
    try {
        return run(options, check, log);
    } catch (const std::exception& e) {
        log(critical, "%s", e.what());
        return 1;
    }
}
