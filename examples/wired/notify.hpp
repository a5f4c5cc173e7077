// What systemd is told of the daemon: the protocol of sd_notify(3), without its library.
//
// Each message is a datagram with lines NAME=VALUE to the socket that NOTIFY_SOCKET names; if
// nobody has set that, nobody wants to know.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include <wire/datagram.hpp>

namespace wired {

/// Sends `state`, such as "READY=1\nSTATUS=all is well"; does nothing if nobody wants to know.
/// Errors: those of the socket, and ETIMEDOUT if it takes nothing. Call from a wire.
inline wire::result<void> notify(std::string_view state) {
    const char* const path = std::getenv("NOTIFY_SOCKET");
    if (!path || !*path) return {};
    const auto to = wire::io::address::local(path);  // also "@name"
    if (!to) return wire::failure{to.code()};
    auto socket = wire::io::open_datagram(AF_UNIX);
    if (!socket) return wire::failure{socket.code()};
    return socket->send_to(std::as_bytes(std::span(state)), *to,
                           wire::within(std::chrono::seconds(5)));
}

/// The time for RELOADING=1, in microseconds of the clock that systemd means.
inline std::string monotonic_usec() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return std::to_string(t.tv_sec * 1'000'000 + t.tv_nsec / 1000);
}

/// How long the daemon may be silent until systemd restarts it; zero: for ever. WATCHDOG_PID says
/// whom that is meant for; the successor of a process inherits it with `of_predecessor`.
inline std::chrono::microseconds watchdog_time(bool of_predecessor) {
    const char* const usec = std::getenv("WATCHDOG_USEC");
    const char* const pid = std::getenv("WATCHDOG_PID");
    if (!usec || (pid && !of_predecessor && pid != std::to_string(::getpid()))) return {};
    return std::chrono::microseconds(std::strtoll(usec, nullptr, 10));
}

}  // namespace wired
