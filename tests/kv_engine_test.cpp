// The engine of the example kv_server, with a clock of our own. What it answers is tested through
// the server, by e2e/kv_server.py, and by fuzz/resp_fuzz.cpp.
#include "kv/engine.hpp"

#include <doctest/doctest.h>

#include "support/count_malloc.hpp"

namespace {

std::int64_t now;

struct peer {
    kv::server home{false, {}, [] { return now; }};
    kv::session session{home};
    kv::buffer out;

    // Without allocations of its own. The answer is valid until the next call.
    std::string_view ask(std::string_view requests) {
        out.clear();
        CHECK(session.consume(requests, out) == requests.size());
        return out.view();
    }
};

TEST_CASE("kv engine: PING, GET and SET of what is there allocate nothing") {
    if (!wire::test::counts_allocations()) return;
    constexpr std::string_view requests =
        "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$40\r\n0123456789012345678901234567890123456789\r\n"
        "GET k\r\nPING\r\n";
    peer p;
    p.ask(requests);
    const wire::test::allocation_count allocated;
    for (int i = 0; i < 1000; ++i) p.ask(requests);
    CHECK(allocated.value() == 0);
}

TEST_CASE("kv engine: a key is there until its time is over, and not longer") {
    peer p;
    now = 1000;
    CHECK(p.ask("SET k v PX 1501\n") == "+OK\r\n");
    CHECK(p.ask("TTL k\n") == ":2\r\n");
    now = 2500;
    CHECK(p.ask("PTTL k\nGET k\n") == ":1\r\n$1\r\nv\r\n");
    now = 2501;
    CHECK(p.ask("DBSIZE\nGET k\nDBSIZE\n") == ":1\r\n$-1\r\n:0\r\n");
}

TEST_CASE("kv engine: what is over is erased without being asked for, the rest stays") {
    peer p;
    now = 1000;
    p.ask("SET a v PX 10\nSET b v PX 20\nSET c v PX 10\nSET c v\nSET d v PX 10\nPEXPIRE d 30\n");
    CHECK(p.home.values.ending() == 3);
    now = 1020;
    CHECK_FALSE(p.home.values.erase_over(0));
    CHECK(p.ask("DBSIZE\nEXISTS c d\n") == ":2\r\n:2\r\n");
    CHECK(p.home.values.ending() == 1);
    p.ask("FLUSHALL\n");
    CHECK(p.home.values.ending() == 0);
}

TEST_CASE("kv engine: it stops when there is enough to send, and goes on from there") {
    peer p;
    p.ask("SET k " + std::string(10'000, 'x') + "\n");
    p.out.clear();
    std::string_view requests = "GET k\nGET k\nGET k\n";
    requests.remove_prefix(p.session.consume(requests, p.out));
    CHECK(requests == "GET k\n");
    CHECK(p.ask(requests).size() == 10'010);
}

}  // namespace
