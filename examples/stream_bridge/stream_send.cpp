// Sends numbered messages into a Redis Stream; stream_receive, on whatever machine, gets them.
//
//     ./stream_send orders --count 100
//     ./stream_send orders --name shop-1 --count 100
//     ./stream_send orders --name shop-1 --count 44 --first 57    # after a crash at "sent 56"
//
// Prints "sent N" when Redis has message N. See stream_sender.hpp.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <wire/wire.hpp>

#include "../command_line.hpp"
#include "stream_sender.hpp"

namespace {

struct {
    stream_sender_options bridge;
    std::string name = stream_sender::unique_name();
    std::uint64_t first = 1, count = 10;
    double timeout = 30, pause = 0, silence = 5;
} options;

using seconds = std::chrono::duration<double>;

void say(const std::string& text) {
    std::fprintf(stderr, "stream_send: %s\n", text.c_str());
}

int send_all() {
    stream_sender out(options.bridge, options.name, options.first);
    while (out.next() < options.first + options.count) {
        const std::string text = "message " + std::to_string(out.next());
        const auto sent = out.send(text, wire::within(seconds(options.timeout)));
        if (!sent) {
            const std::string why = out.error().empty() ? sent.error().message() : out.error();
            say("cannot send " + std::to_string(out.next() - 1) + ": " + why);
            return 1;
        }
        std::printf("sent %ju\n", std::uintmax_t{out.next() - 1});
        if (options.pause > 0 && !wire::sleep(wire::within(seconds(options.pause)))) return 1;
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    auto& [bridge, name, first, count, timeout, pause, silence] = options;
    command_line line("stream_send", "Sends numbered messages into a Redis Stream.");
    line.add("STREAM", bridge.stream, "The key of the stream").required();
    line.add("--server", bridge.server.address, "HOST:PORT, or the path of a Unix socket");
    line.add("--name", name, "This sender's own name, to send under after a crash, too");
    line.add("--first", first, "The number of the first message");
    line.add("--count", count, "How many");
    line.add("--unacknowledged", bridge.unacknowledged_max, "Wait while so many are on their way")
        .number<std::uint64_t>(1, 1'000'000'000);
    line.add("--timeout", timeout, "Seconds for each message").range(0.001, 86400.0);
    line.add("--pause", pause, "Seconds between messages").range(0.0, 86400.0);
    line.add("--silence", silence, "Seconds after which a server that is silent is taken for dead")
        .range(0.01, 86400.0);
    line.parse(argc, argv);
    if (const char* const password = std::getenv("REDIS_PASSWORD"))
        bridge.server.password = password;
    bridge.server.silence_max =
        std::chrono::duration_cast<std::chrono::milliseconds>(seconds(silence));
    bridge.server.on_trouble = [](const std::string& why) { say(why + "; trying again"); };
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    return line.end(wire::run(send_all));
}
