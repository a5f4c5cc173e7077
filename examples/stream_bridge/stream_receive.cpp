// Receives what stream_send has sent, and acknowledges each message once it is printed.
//
//     ./stream_receive orders --consumer store-7
//
// Prints "SENDER NUMBER TEXT" for each, and at the end, after --count messages or SIGINT, how many
// came, how many of them were taken over from receivers that have died, and how many more were
// thrown away as repeats. See stream_receiver.hpp.

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <wire/wire.hpp>

#include "../command_line.hpp"
#include "stream_receiver.hpp"

namespace {

struct {
    stream_receiver_options bridge;
    std::uint64_t count = 0;
    double timeout = 86400, idle = 30, work = 0, silence = 5;
} options;

using seconds = std::chrono::duration<double>;

void say(const std::string& text) {
    std::fprintf(stderr, "stream_receive: %s\n", text.c_str());
}

/// Whether the message is handled and acknowledged. What is printed is, also after a signal; what
/// could not be printed is not.
bool handle(stream_receiver& in, stream_message m) {
    const wire::shield to_the_end;
    std::printf("%s %ju %s\n", m.sender.c_str(), std::uintmax_t{m.number}, m.text.c_str());
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) return false;
    if (options.work > 0 && !wire::sleep(wire::within(seconds(options.work)))) return false;
    const auto acked = m.ack(wire::within(seconds(options.timeout)));
    if (!acked) say("cannot acknowledge " + m.id + ": " + in.error());
    return acked.has_value();
}

int receive_all(stream_receiver& in) {
    std::uint64_t received = 0;
    int code = 0;
    while (code == 0 && (options.count == 0 || received < options.count)) {
        auto m = in.recv(wire::within(seconds(options.timeout)));
        if (m) {
            ++received;
            code = handle(in, *std::move(m)) ? 0 : 1;
        } else if (m.code() == ECANCELED) {
            break;
        } else {
            const std::string why = in.error().empty() ? "nothing came" : in.error();
            say("cannot receive from " + options.bridge.stream + ": " + why);
            code = 1;
        }
    }
    std::printf("%ju messages, %ju taken over, %ju repeats thrown away\n", std::uintmax_t{received},
                std::uintmax_t{in.taken_over()}, std::uintmax_t{in.repeats()});
    return code;
}

int run() {
    wire::io::signals ends({SIGINT, SIGTERM});
    stream_receiver in(options.bridge);
    auto receiving = wire::spawn([&] { return receive_all(in); });
    auto watching = wire::spawn([&] {
        if (ends.wait() && receiving.joinable()) receiving.cancel();
    });
    return receiving.join().value();
}

}  // namespace

int main(int argc, char** argv) {
    auto& [bridge, count, timeout, idle, work, silence] = options;
    command_line line("stream_receive", "Receives the messages of a Redis Stream.");
    line.add("STREAM", bridge.stream, "The key of the stream").required();
    line.add("--server", bridge.server.address, "HOST:PORT, or the path of a Unix socket");
    line.add("--group", bridge.group, "The receivers that share the messages");
    line.add("--consumer", bridge.consumer, "This receiver's own name").required();
    line.add("--idle", idle, "Take over what others have not acknowledged for so many seconds")
        .range(0.01, 86400.0);
    line.add("--ahead", bridge.ahead, "Messages that are fetched ahead").number(1, 1'000'000);
    line.add("--count", count, "End after so many messages (0: never)");
    line.add("--timeout", timeout, "Seconds to wait for a message").range(0.001, 86400.0);
    line.add("--work", work, "Seconds that handling a message takes").range(0.0, 86400.0);
    line.add("--silence", silence, "Seconds after which a server that is silent is taken for dead")
        .range(0.01, 86400.0);
    line.parse(argc, argv);
    if (const char* const password = std::getenv("REDIS_PASSWORD"))
        bridge.server.password = password;
    bridge.idle_max = std::chrono::duration_cast<std::chrono::milliseconds>(seconds(idle));
    bridge.server.silence_max =
        std::chrono::duration_cast<std::chrono::milliseconds>(seconds(silence));
    bridge.server.on_trouble = [](const std::string& why) { say(why + "; trying again"); };
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    return line.end(wire::run(run));
}
