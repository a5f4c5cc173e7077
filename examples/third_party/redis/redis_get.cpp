// Asks a Redis server for several keys at once, one wire for each, on one connection.
//
//     ./redis_get 127.0.0.1:6379 user:1 user:2
//     ./redis_get /run/redis/redis.sock --timeout 0.5 user:1
//     REDIS_PASSWORD=secret ./redis_get 127.0.0.1:6379 --tick user:1
//
// See redis_client.hpp. Another wire may tick meanwhile: nothing here blocks the thread.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <wire/wire.hpp>

#include "../../command_line.hpp"
#include "redis_client.hpp"

namespace {

struct {
    std::string server;
    std::vector<std::string> keys;
    double timeout = 1;
    bool tick = false;
} options;

int failed = 0;

void complain(const std::string& what, const std::string& why) {
    std::fprintf(stderr, "redis_get: %s: %s\n", what.c_str(), why.c_str());
    ++failed;
}

wire::deadline soon() {
    return wire::within(std::chrono::duration<double>(options.timeout));
}

/// What has gone wrong with a command; empty: nothing.
std::string problem(const redis_client& db, const wire::result<redis_reply>& reply) {
    if (reply && (*reply)->type == REDIS_REPLY_ERROR) return (*reply)->str;
    if (reply) return {};
    if (reply.code() == ETIMEDOUT) return "no answer in time";
    return db.error().empty() ? reply.error().message() : db.error();
}

void show(redis_client& db, const std::string& key) {
    const auto reply = db.command(soon(), {"GET", key});
    if (const std::string why = problem(db, reply); !why.empty()) return complain(key, why);
    std::printf("%s: %s\n", key.c_str(), (*reply)->str ? (*reply)->str : "(nil)");
}

bool log_in(redis_client& db) {
    const char* const password = std::getenv("REDIS_PASSWORD");
    if (!password) return true;
    const std::string why = problem(db, db.command(soon(), {"AUTH", password}));
    if (!why.empty()) complain("AUTH", why);
    return why.empty();
}

int get_all() {
    redis_client db;
    if (!db.connect(options.server, soon())) return complain("cannot connect", db.error()), 1;
    if (!log_in(db)) return 1;
    unsigned ticks = 0;
    auto ticker = wire::spawn([&] {
        while (wire::sleep(wire::within(std::chrono::milliseconds(1)))) ++ticks;
    });
    static_cast<void>(wire::with_scope(wire::never, [&](wire::scope& s) {
        for (const std::string& key : options.keys) s.go([&db, &key] { show(db, key); });
    }));
    ticker.cancel();
    static_cast<void>(ticker.join());
    if (options.tick) std::printf("%u ticks\n", ticks);
    return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    command_line line("redis_get", "Gets the values of keys from Redis, all at once.");
    line.add("SERVER", options.server, "HOST:PORT, or the path of a Unix socket").required();
    line.add("KEY", options.keys, "What to ask for").required();
    line.add("--timeout", options.timeout, "Seconds for each answer").range(0.001, 3600.0);
    line.add("--tick", options.tick, "Count the milliseconds meanwhile, on another wire");
    line.parse(argc, argv);
    return line.end(wire::run(get_all));
}
