// What a key-value server does, without its sockets: bytes in, bytes out.
#pragma once

#include <unistd.h>

#include "resp.hpp"
#include "store.hpp"

namespace kv {

/// What all connections share. Any thread.
struct server {
    /// `shared`: sessions are on more than one thread.
    explicit server(bool shared, const limits& limit = {}, store::clock now = steady_ms)
        : most(limit), values(shared, now), started_ms(now()) {}

    const limits most;
    store values;
    const std::int64_t started_ms;
    std::atomic<std::uint64_t> connections = 0, commands = 0;  // so far
    std::atomic<std::uint64_t> clients = 0;                    // now
};

/// One connection: cuts its requests out of what comes in and answers them in order.
///
/// After an error in the protocol, or QUIT, it is over: it takes nothing more.
class session {
public:
    explicit session(server& s) : server_(s), id_(++s.connections), parser_(s.most) { ++s.clients; }
    ~session() { --server_.clients; }
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    /// Runs requests at the front of `in` and appends their answers to `out`, until no whole one
    /// is left, or `out` holds enough to be sent first. Returns how many bytes of `in` it used. The
    /// next call must begin with the rest, with or without more behind it.
    std::size_t consume(std::string_view in, buffer& out);

    /// Whether to send what is in the way of an answer, and close.
    [[nodiscard]] bool is_over() const { return over_; }

private:
    void run(const words& request, buffer& out);

    server& server_;
    const std::uint64_t id_;
    parser parser_;
    std::uint64_t commands_ = 0;  // not yet in those of the server
    bool over_ = false;
};

}  // namespace kv
