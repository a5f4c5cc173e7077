#include "control.hpp"

#include <array>
#include <cstdlib>
#include <string>

#include "daemon.hpp"

namespace wired {
namespace {

using namespace std::chrono_literals;

// A line; what comes behind it stays in the socket. Empty: none came.
std::string read_line(io::stream& peer) {
    constexpr std::size_t size_max = 200;
    const wire::deadline until = wire::within(5s);
    std::string line;
    std::array<std::byte, 1> one;
    while (line.size() < size_max && peer.read_exactly(one, until)) {
        if (static_cast<char>(one[0]) == '\n') return line;
        line += static_cast<char>(one[0]);
    }
    return {};
}

// Also when the daemon ends meanwhile.
void say(io::stream& peer, std::string_view text) {
    const wire::shield last_words;
    static_cast<void>(peer.write_all(text, wire::within(5s)));
}

std::string all_wires() {
    constexpr const char* states[] = {"is ready", "is running", "waits for ", "has finished"};
    std::string text;
    for (const wire::wire_info& w : wire::wires()) {
        text += std::to_string(w.id) + " \"" + std::string(w.name) + "\" " +
                states[static_cast<int>(w.state)] + std::string(w.waits_for);
        if (w.state == wire::wire_state::waiting)
            text += " for " + std::to_string(w.waited / 1ms) + " ms";
        text += '\n';
    }
    return text;
}

void drain(daemon& d, io::stream& peer) {
    const std::string begun = d.begin_drain("wiredctl");
    say(peer, begun);
    if (begun.starts_with("error")) return;
    say(peer, d.finish_drain());
    d.end();
}

}  // namespace

void answer(daemon& d, io::stream& peer) {
    const std::string line = read_line(peer);
    if (line == "status")
        say(peer, d.status());
    else if (line == "wires")
        say(peer, all_wires());
    else if (line == "reload")
        say(peer, d.reload());
    else if (line == "drain")
        drain(d, peer);
    else if (line.starts_with("hold "))
        say(peer, d.hold(std::strtod(line.c_str() + 5, nullptr)));
    else if (line == "upgrade")
        say(peer, d.upgrade());
    else if (line == "take-over")
        say(peer, d.give_to(peer));
    else
        say(peer,
            "error: the commands are status, wires, reload, drain, upgrade and "
            "hold SECONDS\n");
}

}  // namespace wired
