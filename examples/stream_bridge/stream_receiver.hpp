// The receiving end of a channel between machines: messages come out of a Redis Stream.
//
//     stream_receiver in({.stream = "orders", .consumer = "store-7"});
//     while (auto m = in.recv()) {
//         handle(m->text);
//         if (!m->ack(wire::within(2s))) complain(in.error());
//     }
//
// Several receivers, on any machines, share the messages of a stream: each goes to one of them. A
// message that is not acknowledged in time, because its receiver is dead or slow, goes to another.
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "number_set.hpp"
#include "redis_link.hpp"

struct stream_receiver_options {
    redis_server server = {};
    std::string stream;               ///< the key of the stream; made if it is not there
    std::string group = "receivers";  ///< one for each stream: what it acknowledges is deleted
    std::string consumer;             ///< the receiver's own name, such as that of the host
    /// Whoever has not acknowledged a message for so long is taken for dead. Longer than handling
    /// a message takes, times `ahead`.
    std::chrono::milliseconds idle_max = std::chrono::seconds(30);
    /// Messages that are fetched before somebody asks for them.
    unsigned ahead = 16;
};

class stream_receiver;

/// A message, to be acknowledged once it has been handled. One that is destroyed before is given
/// out again, after options.idle_max, perhaps to another receiver. Must be gone before its receiver
/// is.
class stream_message {
public:
    stream_message(stream_message&& other) noexcept
        : text(std::move(other.text)),
          sender(std::move(other.sender)),
          number(other.number),
          id(std::move(other.id)),
          home_(std::exchange(other.home_, nullptr)) {}
    stream_message& operator=(stream_message&& other) noexcept {
        stream_message old(std::move(*this));
        text = std::move(other.text);
        sender = std::move(other.sender);
        number = other.number;
        id = std::move(other.id);
        home_ = std::exchange(other.home_, nullptr);
        return *this;
    }
    ~stream_message();

    std::string text;
    std::string sender;        ///< empty if no stream_sender has sent it
    std::uint64_t number = 0;  ///< the sender's
    std::string id;            ///< of the entry in the stream, such as "1700000000000-0"

    /// Tells Redis that it has been handled, and deletes it there. Tries until `until`; fails as
    /// redis_link::run() does, and may be called again then.
    wire::result<void> ack(wire::deadline until = wire::never);

private:
    friend class stream_receiver;
    explicit stream_message(stream_receiver& home) noexcept : home_(&home) {}
    stream_receiver* home_;
};

/// For the wires of one runtime, of which several may receive. It has a wire of its own that
/// fetches, and two connections. Made and destroyed on wires.
class stream_receiver {
public:
    explicit stream_receiver(stream_receiver_options options);
    ~stream_receiver() { fetcher_ = {}; }
    stream_receiver(const stream_receiver&) = delete;
    stream_receiver& operator=(const stream_receiver&) = delete;

    /// Waits for a message. What this receiver has given out before, by sender and number, is
    /// acknowledged and thrown away. Fails with ETIMEDOUT or ECANCELED; once Redis refuses to give
    /// any, with EACCES or EINVAL (error() has its words).
    wire::result<stream_message> recv(wire::deadline until = wire::never);

    /// What is in the way of receiving or acknowledging; empty: nothing.
    [[nodiscard]] const std::string& error() const noexcept {
        return refused_ || answers_.error().empty() ? source_.error() : answers_.error();
    }
    /// Messages that were thrown away because they were here before.
    [[nodiscard]] std::uint64_t repeats() const noexcept { return repeats_; }
    /// Messages that were taken over from receivers that did not acknowledge them.
    [[nodiscard]] std::uint64_t taken_over() const noexcept { return taken_over_; }

private:
    friend class stream_message;
    void fetch();
    wire::result<void> make_group();
    wire::result<void> read();
    wire::result<void> take_over();
    wire::result<void> take(const redisReply& entries, std::uint64_t* counted);
    wire::result<void> acknowledge(const std::string& id, wire::deadline until);
    void give_up(const stream_message& m);

    const stream_receiver_options options_;
    redis_link source_;                      // where XREADGROUP blocks
    redis_link answers_;                     // for what must not wait behind it
    std::set<std::string> held_;             // ids of the messages that exist here
    numbers_by_sender given_;                // what was given out, and not given up
    wire::channel<stream_message> fetched_;  // these leave both when they are destroyed
    std::uint64_t repeats_ = 0, taken_over_ = 0;
    std::chrono::steady_clock::time_point next_take_over_{};
    int refused_ = 0;
    wire::handle<void> fetcher_;
};
