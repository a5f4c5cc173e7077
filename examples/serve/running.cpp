// A server from its first line to its last.

#include <sys/eventfd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <optional>
#include <system_error>
#include <thread>

#include "serve.hpp"

namespace serve {
namespace {

std::atomic<bool> is_stopping;

void stop_at_signal(std::optional<io::signals>& quit) {
    const int number = quit->wait().value();
    quit.reset();  // the next signal has its usual effect
    std::printf("signal %d", number);
    if (options.has_connections) std::printf(", open connections: %u", open_connections.load());
    std::printf("\n");
    is_stopping = true;
    ::eventfd_write(stop_event, 1);
}

}  // namespace

int stop_event = -1;

bool stopping() {
    return is_stopping;
}

void wait_for_stop() {
    io::wait_readable(stop_event).value();
}

int run(const std::string& where, const std::function<void(unsigned)>& on_thread) {
    stop_event = ::eventfd(0, EFD_CLOEXEC);
    if (stop_event < 0) give_up("eventfd: " + std::generic_category().message(errno));
    std::optional<io::signals> quit;
    quit.emplace({SIGINT, SIGTERM});  // before the threads start
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    std::printf("listening on %s\n", where.c_str());

    const auto main_thread = std::this_thread::get_id();
    std::atomic<unsigned> started = 0;
    const auto first_wire = [&] {
        if (std::this_thread::get_id() == main_thread)
            wire::go({.name = "signals"}, stop_at_signal, std::ref(quit));
        on_thread(started++);
    };
    const int code = wire::run(first_wire, {.threads = options.threads, .dump_on_quit = true});
    std::printf("stopped");
    if (options.has_connections) std::printf(", cut connections: %u", cut_connections.load());
    std::printf("\n");
    if (std::ferror(stdout)) give_up("could not write everything to standard output");
    return code;
}

}  // namespace serve
