// A connection to Redis that is made again when it has ended, for commands that may be repeated.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <wire/wire.hpp>

#include "redis_client.hpp"

/// Where a Redis server is.
struct redis_server {
    std::string address = "127.0.0.1:6379";  ///< HOST:PORT, or the path of a Unix socket
    std::string password;                    ///< none: no AUTH
    /// A server that is silent for so long is taken for dead, and connected to again.
    std::chrono::milliseconds silence_max = std::chrono::seconds(5);
    /// Told in a sentence whenever something new keeps a command from being executed.
    std::function<void(const std::string&)> on_trouble = {};
};

/// For the wires of one runtime. Made and destroyed on wires.
class redis_link {
public:
    explicit redis_link(redis_server server) : server_(std::move(server)) {}

    /// Runs commands until Redis has executed them. They are sent again when the connection has
    /// ended or Redis is silent, so they may be executed several times; and when Redis says that it
    /// cannot do so now (OOM, LOADING and the like). Pauses grow from 10 ms to 1 s.
    ///
    /// Fails with EACCES (NOAUTH, WRONGPASS, NOPERM), ESRCH (NOGROUP, UNBLOCKED), EINVAL (another
    /// error of Redis, such as WRONGTYPE; or no address), ETIMEDOUT or ECANCELED; error() says why,
    /// of ETIMEDOUT what was in the way.
    wire::result<std::vector<redis_reply>> run(const redis_pipeline& commands,
                                               wire::deadline until = wire::never);

    [[nodiscard]] const std::string& error() const noexcept { return error_; }

private:
    wire::result<std::vector<redis_reply>> run_once(const redis_pipeline& commands,
                                                    wire::deadline until);
    wire::result<void> connect(wire::deadline until);
    wire::result<void> open(wire::deadline until);
    wire::result<void> log_in(wire::deadline until);
    int judge(const redisReply& reply);
    int fail(int code, std::string why);
    void drop(unsigned connection);

    const redis_server server_;
    redis_client db_;
    wire::mutex connecting_;
    bool ready_ = false;       // connected and logged in
    unsigned connection_ = 0;  // its number
    std::string error_, told_;
};
