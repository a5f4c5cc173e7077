// What the programs of the suite `redis` share.
//
//     PROGRAM PORT DEPTH       prints names and values
//
// GETs one key of a server on 127.0.0.1, DEPTH of them under way at a time. BENCH_MS is the time to
// measure for.
#pragma once

#include <hiredis/hiredis.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "../file/measure.hpp"

namespace bench {

// The command, word by word.
constexpr std::string_view get = "GET", key = "key";
inline const char* words[] = {get.data(), key.data()};
constexpr std::size_t sizes[] = {get.size(), key.size()};

/// What one thread asks for.
struct load {
    int port;
    std::size_t depth;
};

inline load load_of(int argc, char** argv) {
    if (argc == 3) return {std::atoi(argv[1]), std::strtoul(argv[2], nullptr, 10)};
    std::fprintf(stderr, "usage: %s PORT DEPTH\n", argv[0]);
    std::exit(2);
}

[[noreturn]] inline void stop_with(const char* what, const char* why) {
    std::fprintf(stderr, "%s: %s\n", what, why);
    std::exit(1);
}

/// Ends the program unless it is the value that suite.py has set.
inline void check(const redisReply* reply) {
    if (!reply) stop_with("GET", "the connection has ended");
    if (reply->type != REDIS_REPLY_STRING || std::string_view(reply->str, reply->len) != "xxx")
        stop_with("GET", reply->str ? reply->str : "another value");
}

}  // namespace bench
