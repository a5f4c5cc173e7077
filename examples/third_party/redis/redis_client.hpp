// A connection to Redis for wires: hiredis, whose asynchronous half calls back, as blocking calls.
//
//     redis_client db;
//     if (const auto ok = db.connect("127.0.0.1:6379", wire::within(1s)); !ok)
//         return complain(db.error());
//     const auto name = db.command(wire::within(50ms), {"GET", "user:7"});
//     if (name && (*name)->type == REDIS_REPLY_STRING) std::puts((*name)->str);
//
// Any number of wires share a connection. What they ask in one turn goes out in one write, and the
// replies come in the order of asking: commands of many wires are a pipeline by themselves.
#pragma once

#include <hiredis/async.h>

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <wire/wire.hpp>

struct redis_free {
    void operator()(redisReply* r) const noexcept { freeReplyObject(r); }
};
/// What Redis has answered; an error of its own, such as "NOAUTH ...", is a REDIS_REPLY_ERROR.
using redis_reply = std::unique_ptr<redisReply, redis_free>;

/// Commands that are sent together, and whose replies are waited for together.
class redis_pipeline {
public:
    /// Appends a command, word by word: {"SET", key, value}. Words may hold any bytes.
    void add(std::span<const std::string_view> words);
    void add(std::initializer_list<std::string_view> words) {
        add(std::span(words.begin(), words.size()));
    }
    [[nodiscard]] std::size_t size() const noexcept { return commands_.size(); }

private:
    friend class redis_client;
    std::vector<std::string> commands_;  // as the protocol wants them
};

/// A connection, shared by the wires of one runtime. One wire of its own ("redis", which needs the
/// 64 KiB of stack that wires have by default) waits for the socket. Made and destroyed on wires.
///
/// No SUBSCRIBE and no MONITOR, which are refused (EOPNOTSUPP), nor CLIENT REPLY: each command has
/// one reply here. (A peer that sends more, which no Redis does, runs into an assertion in hiredis
/// that ends the program.) hiredis writes without MSG_NOSIGNAL: connect() sets SIGPIPE to be
/// ignored, unless the program does something else about it.
class redis_client {
public:
    /// Commands without a reply so far, at most, those that were given up among them.
    static constexpr std::size_t unanswered_max = 1 << 20;

    redis_client() = default;
    /// As disconnect().
    ~redis_client() { disconnect(); }
    redis_client(const redis_client&) = delete;
    redis_client& operator=(const redis_client&) = delete;

    /// Connects, or connects again, to "HOST:PORT" or to the path of a Unix socket, which begins
    /// with "/". A host name is looked up on a helper thread. Fails with the system's error,
    /// EHOSTUNREACH (unknown host), EINVAL (`server` is neither), ETIMEDOUT or ECANCELED; error()
    /// says it in words. One wire at a time. Throws std::bad_alloc.
    wire::result<void> connect(const std::string& server, wire::deadline until = wire::never);
    /// Ends the connection; wires that wait for replies fail with ENOTCONN.
    void disconnect() noexcept;

    [[nodiscard]] bool connected() const noexcept { return context_ && driver_.joinable(); }
    /// Why the last connection could not be made, or has ended: "redis 127.0.0.1:6379: Server
    /// closed the connection". Empty if there was none, or disconnect() ended it.
    [[nodiscard]] const std::string& error() const noexcept { return error_; }

    /// Sends a command, as redis_pipeline::add() has it, and waits for its reply.
    ///
    /// Fails with ENOTCONN (no connection), ECONNRESET (it has ended; the command was executed, or
    /// not), EPROTO (that was no Redis), EOPNOTSUPP, ENOBUFS (unanswered_max), ETIMEDOUT or
    /// ECANCELED. Of those two the command is not taken back: it is executed all the same, and its
    /// reply is dropped when it comes. Call from a wire. Throws std::bad_alloc.
    wire::result<redis_reply> command(wire::deadline until,
                                      std::span<const std::string_view> words);
    wire::result<redis_reply> command(wire::deadline until,
                                      std::initializer_list<std::string_view> words) {
        return command(until, std::span(words.begin(), words.size()));
    }
    /// Sends all commands at once, and waits for all replies, which are in the same order. No other
    /// wire's command comes in between. Fails as command() does, as a whole.
    wire::result<std::vector<redis_reply>> run(const redis_pipeline& commands,
                                               wire::deadline until = wire::never);

private:
    struct waiting;
    wire::result<void> connect_unix(wire::deadline until);
    wire::result<void> connect_tcp(wire::deadline until);
    wire::result<void> open(redisAsyncContext* context, wire::deadline until);
    wire::result<void> fail(int code, const std::string& why);
    wire::result<void> exchange(std::span<const std::string> commands, std::span<redis_reply> room,
                                wire::deadline until);
    wire::result<void> wait_for(waiting& w, std::uint64_t first, wire::deadline until);
    void attach(redisAsyncContext& context) noexcept;
    void drive();
    void read();
    void write();
    void cleanup() noexcept;
    static int code_of(const redisAsyncContext& context) noexcept;
    static void on_reply(redisAsyncContext* context, void* reply, void*);

    redisAsyncContext* context_ = nullptr;  // hiredis frees it, and calls cleanup() before
    redisReplyObjectFunctions objects_{};
    std::string where_, error_;

    // Who waits for the replies that are to come, in their order; nullptr has given up.
    std::deque<waiting*> replies_;
    std::uint64_t first_ = 0;  // the number of the first of them

    std::optional<wire::io::readable_wait> readable_;
    std::optional<wire::io::writable_wait> writable_;
    wire::wait something_to_write_;
    bool socket_full_ = false;
    wire::handle<void> driver_;
};
