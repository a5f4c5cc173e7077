// What the embedded runtime does, the same in each loop: an echo server, and a wire that ticks.
//
// At the end it prints how many ticks there were of those that were due, of the wire and of the
// loop around it: neither starves the other.
#pragma once

#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <wire/wire.hpp>

namespace embed {

inline constexpr auto period = std::chrono::milliseconds(10);

inline void echo(wire::io::stream peer) {
    std::array<std::byte, 4096> buffer;
    static_cast<void>(peer.set_no_delay(true));
    while (const auto n = peer.read(buffer))
        if (*n == 0 || !peer.write_all(std::span(buffer).first(*n))) return;
}

/// The first argument of a program: a port, 0 or none for one that the system chooses. Ends the
/// program if it is none.
inline std::uint16_t port_in(int argc, char** argv) {
    const std::string_view text = argc > 1 ? argv[1] : "0";
    std::uint16_t port = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (argc <= 2 && error == std::errc() && rest == text.data() + text.size()) return port;
    std::fprintf(stderr, "usage: %s [PORT], a number up to 65535; 0: any that is free\n", argv[0]);
    std::exit(1);
}

/// Starts its wires, which run once the runtime does. Made in main() before other threads, and
/// before the reactor, which ends the wires before this is destroyed.
class echo_service {
public:
    echo_service(wire::runtime& rt, std::uint16_t port)
        : listener_(wire::io::listen_tcp("127.0.0.1", port)) {
        if (!listener_) {
            std::fprintf(stderr, "listen on 127.0.0.1:%d: %s; %s\n", port,
                         listener_.error().message().c_str(),
                         listener_.code() == EACCES ? "ports below 1024 are for root"
                                                    : "choose another port");
            std::exit(1);
        }
        std::printf("listening on 127.0.0.1:%d\n", listener_->port());
        std::fflush(stdout);
        rt.go({.name = "accept"}, [this] {
            while (auto peer = listener_->accept())
                wire::go({.name = "echo"}, echo, *std::move(peer));
        });
        rt.go({.name = "tick"}, [this] {
            for (wire::deadline next = in(1); wire::sleep(next); next = in(wires_ + 1)) ++wires_;
        });
        rt.go({.name = "signals"}, [this, &rt] {
            if (!ends_.wait()) return;
            report();
            stopped_ = true;
            rt.stop();
        });
    }

    /// When the loop's tick number `n` is due.
    [[nodiscard]] std::chrono::steady_clock::time_point due(long n) const {
        return begin_ + n * period;
    }
    /// The loop ticks. Returns which tick is the next.
    long tick(long times = 1) { return (loop_ += times) + 1; }
    /// SIGTERM or SIGINT has come: the loop shall end.
    [[nodiscard]] bool stopped() const { return stopped_; }

private:
    [[nodiscard]] wire::deadline in(long n) const {
        return wire::within(due(n) - std::chrono::steady_clock::now());
    }
    void report() const {
        const long all = (std::chrono::steady_clock::now() - begin_) / period;
        std::printf("of %ld ticks: the wire %ld, the loop %ld\n", all, wires_, loop_);
        std::fflush(stdout);
    }

    wire::result<wire::io::listener> listener_;
    wire::io::signals ends_{SIGTERM, SIGINT};
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
    long wires_ = 0, loop_ = 0;
    bool stopped_ = false;
};

}  // namespace embed
