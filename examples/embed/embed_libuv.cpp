// Wires in a libuv loop. Try it:  embed_libuv 7000 &  nc 127.0.0.1 7000
#include <uv.h>

#include "echo.hpp"

struct program {
    std::uint16_t port;
    wire::runtime rt{};
    embed::echo_service service{rt, port};
    wire::io::reactor reactor{rt};
    wire::io::pollable wires{rt};
};

static void on_wires(uv_poll_t* door, int, int) {
    auto& self = *static_cast<program*>(door->data);
    self.rt.run_once();
    if (self.service.stopped()) uv_stop(door->loop);
}

static void on_tick(uv_timer_t* timer) {
    auto& service = static_cast<program*>(timer->data)->service;
    const auto next = service.due(service.tick()) - std::chrono::steady_clock::now();
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(next).count();
    uv_timer_start(timer, on_tick, static_cast<std::uint64_t>(std::max<long>(ms, 0)), 0);
}

int main(int argc, char** argv) {
    program self{embed::port_in(argc, argv)};
    uv_loop_t* const loop = uv_default_loop();
    uv_poll_t door;
    uv_timer_t timer;
    door.data = timer.data = &self;
    uv_poll_init(loop, &door, self.wires.fd());
    uv_poll_start(&door, UV_READABLE, on_wires);
    uv_timer_init(loop, &timer);
    uv_timer_start(&timer, on_tick, embed::period.count(), 0);
    uv_run(loop, UV_RUN_DEFAULT);
}
