// The sending end of a channel between machines: messages go into a Redis Stream.
//
//     stream_sender out({.server = {.address = "queue.example:6379"}, .stream = "orders"});
//     if (const auto ok = out.send("42 apples", wire::within(2s)); !ok) complain(out.error());
//
// What send() has returned success for is in Redis, and stays there until a stream_receiver has
// acknowledged it. An entry of the stream has three fields: "from" (the sender's name), "number"
// and "message". Receivers know by name and number which messages are repeats.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "redis_link.hpp"

struct stream_sender_options {
    redis_server server = {};
    std::string stream;  ///< the key of the stream
    /// send() waits while so many messages are not acknowledged. Nothing is ever dropped for room;
    /// each send() that is under way at once, of any sender, may add one more.
    std::uint64_t unacknowledged_max = 10'000;
};

/// For the wires of one runtime. Made and destroyed on wires.
class stream_sender {
public:
    /// The `name` is this sender's own: nobody else has it, or has had it. Only one that is started
    /// again and knows how far it was may have its name back, and continues with the `first` number
    /// that it is not sure of. Under a name with other messages behind the same numbers, those
    /// would be thrown away as repeats.
    explicit stream_sender(stream_sender_options options, std::string name = unique_name(),
                           std::uint64_t first = 1)
        : options_(std::move(options)),
          link_(options_.server),
          name_(std::move(name)),
          next_(first) {}

    /// Returns when Redis has the message (and has written it to disk, if it is configured to do so
    /// first). Connects, waits for room and tries again until `until`.
    ///
    /// Fails with ETIMEDOUT or ECANCELED: Redis has the message, or has not: send_as() may repeat
    /// it. Fails with EACCES or EINVAL, and has not sent it then, if Redis refuses it: see
    /// redis_link::run(). error() has the words.
    ///
    /// Messages that one wire sends are received in that order, unless they are repeated.
    wire::result<void> send(std::string_view message, wire::deadline until = wire::never) {
        return send_as(next_, message, until);
    }
    /// The same with a number of the caller's; send() continues after it. Of messages with the same
    /// number a receiver gives out the first.
    wire::result<void> send_as(std::uint64_t number, std::string_view message,
                               wire::deadline until = wire::never);

    /// The number of the next message.
    [[nodiscard]] std::uint64_t next() const noexcept { return next_; }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const std::string& error() const noexcept {
        return error_.empty() ? link_.error() : error_;
    }

    /// A name that nobody else has: of the host, the process and chance.
    [[nodiscard]] static std::string unique_name();

private:
    wire::result<void> wait_for_room(wire::deadline until);

    const stream_sender_options options_;
    redis_link link_;
    const std::string name_;
    std::uint64_t next_;
    std::uint64_t length_ = ~std::uint64_t{0};  // of the stream, as last seen
    std::string error_;
};
