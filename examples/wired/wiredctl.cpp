// Asks a running wired for something.
//
//     ./wiredctl status | wires | reload | drain | upgrade | hold SECONDS
//
// Prints the answer; the exit code is 1 if it is a refusal, or if there is none.

#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include <wire/wire.hpp>

#include "command_line.hpp"

namespace {

struct {
    std::string control = "/run/wired/control";
    std::vector<std::string> command;
    double timeout = 60;
} options;

int complain(const std::string& what, int error) {
    std::fprintf(stderr, "wiredctl: %s %s: %s\n", what.c_str(), options.control.c_str(),
                 std::system_category().message(error).c_str());
    if (error == ENOENT || error == ECONNREFUSED)
        std::fprintf(stderr,
                     "wiredctl: does wired run, and is that its `control`? see --control\n");
    if (error == ETIMEDOUT)
        std::fprintf(stderr, "wiredctl: its thread may be held up; see its log\n");
    return 1;
}

int ask() {
    const wire::deadline until = wire::within(std::chrono::duration<double>(options.timeout));
    auto daemon = wire::io::connect_unix(options.control, until);
    if (!daemon) return complain("nobody answers at", daemon.code());
    std::string line;
    for (const std::string& word : options.command) line += (line.empty() ? "" : " ") + word;
    if (const auto sent = daemon->write_all(line + '\n', until); !sent)
        return complain("cannot ask at", sent.code);
    std::string head;
    std::array<char, 4096> text;
    for (;;) {
        const auto n = daemon->read(std::as_writable_bytes(std::span(text)), until);
        if (!n) return complain("no more answer from", n.code());
        if (*n == 0) break;
        std::fwrite(text.data(), 1, *n, stdout);
        std::fflush(stdout);
        if (head.size() < 5) head.append(text.data(), *n);
    }
    if (head.empty()) return complain("no answer from", ECONNRESET);
    return head.starts_with("error") ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    command_line line("wiredctl",
                      "Asks a running wired: status, wires, reload, drain, upgrade, hold.");
    line.add("COMMAND", options.command, "And what belongs to it").required();
    line.add("--control", options.control, "Its control socket").not_empty();
    line.add("--timeout", options.timeout, "Seconds for the whole answer").number(0.001, 1e6);
    line.parse(argc, argv);
    return line.end(wire::run(ask));
}
