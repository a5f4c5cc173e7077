// Wires in a GLib main loop. Try it:  embed_glib 7000 &  nc 127.0.0.1 7000
#include <glib-unix.h>

#include "echo.hpp"

struct program {
    std::uint16_t port;
    wire::runtime rt{};
    embed::echo_service service{rt, port};
    wire::io::reactor reactor{rt};
    wire::io::pollable wires{rt};
    GMainLoop* loop = g_main_loop_new(nullptr, FALSE);
};

static gboolean on_wires(gint, GIOCondition, gpointer data) {
    auto& self = *static_cast<program*>(data);
    self.rt.run_once();
    if (self.service.stopped()) g_main_loop_quit(self.loop);
    return G_SOURCE_CONTINUE;
}

static gboolean on_tick(gpointer data) {
    auto& service = static_cast<program*>(data)->service;
    const auto next = service.due(service.tick()) - std::chrono::steady_clock::now();
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(next).count();
    g_timeout_add(static_cast<guint>(std::max<long>(ms, 0)), on_tick, data);
    return G_SOURCE_REMOVE;
}

int main(int argc, char** argv) {
    program self{embed::port_in(argc, argv)};
    g_unix_fd_add(self.wires.fd(), G_IO_IN, on_wires, &self);
    g_timeout_add(embed::period.count(), on_tick, &self);
    g_main_loop_run(self.loop);
    g_main_loop_unref(self.loop);
}
