#include "stream_sender.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <random>

using namespace std::chrono_literals;

std::string stream_sender::unique_name() {
    char host[HOST_NAME_MAX + 1] = "";
    ::gethostname(host, sizeof host - 1);
    std::random_device chance;
    return std::string(host) + "." + std::to_string(::getpid()) + "." + std::to_string(chance()) +
           std::to_string(chance());
}

// An acknowledged message is deleted, so the stream's length is what is not acknowledged.
wire::result<void> stream_sender::wait_for_room(wire::deadline until) {
    redis_pipeline ask;
    ask.add({"XLEN", options_.stream});
    for (auto pause = 1ms; length_ >= options_.unacknowledged_max;
         pause = std::min(2 * pause, 100ms)) {
        const auto replies = link_.run(ask, until);
        if (!replies) return wire::failure{replies.code()};
        length_ = static_cast<std::uint64_t>(replies->front()->integer);
        if (length_ < options_.unacknowledged_max) break;
        error_ = "stream " + options_.stream + " is full: " + std::to_string(length_) +
                 " messages are not acknowledged";
        if (until <= wire::within(0s)) return wire::failure{ETIMEDOUT};
        if (const auto slept = wire::sleep(std::min(until, wire::within(pause))); !slept)
            return slept;
    }
    return {};
}

wire::result<void> stream_sender::send_as(std::uint64_t number, std::string_view message,
                                          wire::deadline until) {
    next_ = std::max(next_, number + 1);
    error_.clear();
    if (const auto room = wait_for_room(until); !room) return room;
    error_.clear();
    redis_pipeline add;
    add.add({"XADD", options_.stream, "*", "from", name_, "number", std::to_string(number),
             "message", message});
    add.add({"XLEN", options_.stream});
    const auto replies = link_.run(add, until);
    if (!replies) return wire::failure{replies.code()};
    length_ = static_cast<std::uint64_t>(replies->back()->integer);
    return {};
}
