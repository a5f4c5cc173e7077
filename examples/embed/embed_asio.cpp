// Wires in an Asio io_context. Try it:  embed_asio 7000 &  nc 127.0.0.1 7000
#include <asio.hpp>

#include "echo.hpp"

struct program {
    std::uint16_t port;
    wire::runtime rt{};
    embed::echo_service service{rt, port};
    wire::io::reactor reactor{rt};
    wire::io::pollable wires{rt};
    asio::io_context loop{1};
    asio::posix::stream_descriptor door{loop, wires.fd()};
    asio::steady_timer timer{loop};

    void when_ready() {
        door.async_wait(door.wait_read, [this](const asio::error_code& error) {
            if (error) return;
            rt.run_once();
            if (service.stopped()) loop.stop();
            when_ready();
        });
    }
    void tick_at(long n) {
        timer.expires_at(service.due(n));
        timer.async_wait([this](const asio::error_code& error) {
            if (!error) tick_at(service.tick());
        });
    }
};

int main(int argc, char** argv) {
    program self{embed::port_in(argc, argv)};
    self.when_ready();
    self.tick_at(1);
    self.loop.run();
    self.door.release();  // it is the pollable's
}
