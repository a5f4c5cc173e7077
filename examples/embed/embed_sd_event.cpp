// Wires in an sd-event loop. Try it:  embed_sd_event 7000 &  nc 127.0.0.1 7000
#include <systemd/sd-event.h>

#include "echo.hpp"

struct program {
    std::uint16_t port;
    wire::runtime rt{};
    embed::echo_service service{rt, port};
    wire::io::reactor reactor{rt};
    wire::io::pollable wires{rt};
};

static int on_wires(sd_event_source* source, int, std::uint32_t, void* data) {
    auto& self = *static_cast<program*>(data);
    self.rt.run_once();
    return self.service.stopped() ? sd_event_exit(sd_event_source_get_event(source), 0) : 0;
}

static int on_tick(sd_event_source* timer, std::uint64_t was_due, void* data) {
    static_cast<program*>(data)->service.tick();
    constexpr std::uint64_t period = std::chrono::microseconds(embed::period).count();
    sd_event_source_set_time(timer, was_due + period);
    return sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

int main(int argc, char** argv) {
    program self{embed::port_in(argc, argv)};
    sd_event* loop = nullptr;
    sd_event_default(&loop);
    sd_event_add_io(loop, nullptr, self.wires.fd(), EPOLLIN, on_wires, &self);
    const auto first = std::chrono::ceil<std::chrono::microseconds>(self.service.due(1));
    const auto at = static_cast<std::uint64_t>(first.time_since_epoch().count());
    sd_event_add_time(loop, nullptr, CLOCK_MONOTONIC, at, 1, on_tick, &self);
    sd_event_loop(loop);
    sd_event_unref(loop);
}
