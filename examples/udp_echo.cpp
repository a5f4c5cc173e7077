// An echo server for datagrams: a socket for each thread and address, up to 32 messages with each
// system call.
//
//     ./udp_echo                                     on 127.0.0.1 and ::1, port 7000
//     printf 'hello\n' | nc -u -W 1 127.0.0.1 7000
//
// How it starts and ends is in serve.hpp.

#include <array>
#include <vector>

#include "serve.hpp"

namespace io = wire::io;

static void echo(io::datagram& socket) {
    constexpr std::size_t batch = 32, longest = 64 * 1024;
    std::vector<std::byte> memory(batch * longest);
    std::array<io::message, batch> messages;
    for (std::size_t i = 0; i < batch; ++i)
        messages[i].buffer = std::span(memory).subspan(i * longest, longest);
    while (auto n = socket.receive_batch(messages)) {
        for (std::span<const io::message> rest(messages.data(), *n); !rest.empty();) {
            const auto sent = socket.send_batch(rest);
            rest = rest.subspan(sent.done + (sent ? 0 : 1));  // whom it cannot reach it leaves out
        }
    }
}

int main(int argc, char** argv) {
    command_line line("udp_echo", "Sends back whatever datagram it receives.");
    serve::begin(line, argc, argv, {.port = 7000, .has_connections = false});
    serve::doors<io::datagram> sockets(serve::options.threads);
    return serve::run(serve::open_doors(sockets), [&](unsigned thread) {
        for (io::datagram& s : sockets[thread]) wire::go({.name = "echo"}, [&] { echo(s); });
        serve::wait_for_stop();
        for (io::datagram& s : sockets[thread]) s.close();  // ends echo()
    });
}
