// Two wires play ping-pong over a connection: each blocks in read() until the other has written.
//
//     ./ping_pong        5 rounds
//     ./ping_pong 100    100 rounds
//
// Both run on this one thread. A wire that blocks gives the thread to the other, so the lines below
// come in strict alternation without any lock.

#include <array>
#include <cstdio>
#include <cstdlib>

#include <wire/wire.hpp>

namespace {

using wire::io::stream;

constexpr std::size_t word = 4;  // "ping" or "pong"

void ping(stream peer, int rounds) {
    std::array<std::byte, word> answer;
    for (int round = 1; round <= rounds; ++round) {
        std::printf("ping %d\n", round);
        if (!peer.write_all("ping") || !peer.read_exactly(answer)) return;
    }
}  // `peer` is closed here, and pong() reads the end of the stream

int pong(stream peer) {
    std::array<std::byte, word> call;
    int round = 0;
    while (peer.read_exactly(call)) {
        std::printf("pong %d\n", ++round);
        if (!peer.write_all("pong")) break;
    }
    return round;
}

}  // namespace

int main(int argc, char** argv) {
    const char* const wanted = argc > 1 ? argv[1] : "5";
    char* rest = nullptr;
    const long rounds = std::strtol(wanted, &rest, 10);
    if (argc > 2 || *rest != '\0' || rounds < 1 || rounds > 1'000'000) {
        std::fprintf(stderr, "ping_pong: takes the number of rounds, from 1 to 1000000\n");
        return 1;
    }
    const int code = wire::run(
        [rounds] {
            auto [left, right] = wire::io::make_stream_pair().value();
            auto second = wire::spawn({.name = "pong"}, pong, std::move(right));
            wire::go({.name = "ping"}, ping, std::move(left), static_cast<int>(rounds));
            std::printf("%d rounds\n", second.join().value());
        },
        {.dump_on_quit = true});
    if (std::ferror(stdout) || std::fflush(stdout) != 0) {
        std::fprintf(stderr, "ping_pong: cannot write to standard output\n");
        return 1;
    }
    return code;
}
