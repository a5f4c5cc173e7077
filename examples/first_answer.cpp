// The first answer wins: asks several servers at once, takes what comes first, and lets the others
// go; or gives up, once it has taken too long.
//
//     ./first_answer
//
// The servers are wires of this program that listen on loopback and take their time. Asking knows
// nothing of a race or of a deadline: the scope around it cancels what still waits.

#include <array>
#include <cstdio>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <wire/wire.hpp>

namespace {

using namespace std::chrono_literals;
namespace io = wire::io;

struct host {
    const char* name;
    std::chrono::milliseconds delay;
    io::listener door = io::listen_tcp("127.0.0.1", 0).value();
};

// Tells each client the name of the server, after a while.
void serve(host& h, wire::scope& servers) {
    while (auto peer = h.door.accept())
        servers.go({.name = h.name}, [&h, client = *std::move(peer)]() mutable {
            if (wire::sleep(wire::within(h.delay))) static_cast<void>(client.write_all(h.name));
        });
}

wire::result<std::string> ask(const host& h) {
    auto server = io::connect(h.door.local_address().value());
    if (!server) return wire::failure{server.code()};
    std::array<char, 16> name;
    const auto got = server->read_at_least(std::as_writable_bytes(std::span(name)), 1);
    if (!got) return wire::failure{got.code};
    return std::string(name.data(), got.done);
}

void race(std::span<host> hosts, wire::deadline until) {
    std::string first;
    const auto outcome = wire::with_scope(until, [&](wire::scope& s) {
        for (const host& h : hosts)
            s.go({.name = "ask"}, [&] {
                const auto answer = ask(h);
                if (answer && first.empty()) {
                    first = *answer;
                    s.cancel();
                } else {
                    std::printf("%s: %s\n", h.name,
                                answer ? "too late" : answer.error().message().c_str());
                }
            });
    });  // here all of them have ended
    std::printf("the first answer: %s\n",
                outcome ? first.c_str() : outcome.error().message().c_str());
}

void ask_around() {
    std::array<host, 3> hosts{{{"slow", 60s}, {"fast", 10ms}, {"slower", 120s}}};
    const auto outcome = wire::with_scope(wire::never, [&](wire::scope& servers) {
        for (host& h : hosts) servers.go({.name = "server"}, [&] { serve(h, servers); });
        race(hosts, wire::within(30s));
        hosts[1].delay = 180s;
        race(hosts, wire::within(50ms));
        servers.cancel();
    });
    static_cast<void>(outcome);
}

}  // namespace

int main() {
    const int code = wire::run(ask_around, {.dump_on_quit = true});
    if (std::ferror(stdout) || std::fflush(stdout) != 0) {
        std::fprintf(stderr, "first_answer: cannot write to standard output\n");
        return 1;
    }
    return code;
}
