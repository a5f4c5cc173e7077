// The adapter for hiredis, against a peer that says what the test wants, when it wants. What a real
// server does to it is tested by redis.py.
#include "redis_client.hpp"

#include "support/closed_port.hpp"
#include "support/dies.hpp"
#include "support/full_listener.hpp"
#include "support/io.hpp"

namespace wire::test {
namespace {

std::string at(std::uint16_t port, std::string_view host = "127.0.0.1") {
    return std::string(host) + ":" + std::to_string(port);
}

/// A client, and the other end of its connection.
struct pair {
    pair() {
        CHECK(db.connect(at(door.port()), soon()));
        peer = door.accept(soon()).value();
    }
    listener door = io::listen_tcp("127.0.0.1", 0).value();
    redis_client db;
    stream peer;
};

std::string text(const result<redis_reply>& reply) {
    if (!reply) return error_name(reply.code());
    return (*reply)->str ? (*reply)->str : std::to_string((*reply)->type);
}

auto ask(redis_client& db, std::string word, deadline until = soon()) {
    return spawn([&db, word = std::move(word), until] {
        return text(db.command(until, {"GET", word}));
    });
}

std::string get(std::string_view key) {
    return "*2\r\n$3\r\nGET\r\n$" + std::to_string(key.size()) + "\r\n" + std::string(key) + "\r\n";
}

TEST_CASE("redis client: what wires ask in one turn goes out together, and each has its reply") {
    on_wires([] {
        pair p;
        auto a = ask(p.db, "a"), b = ask(p.db, "b"), c = ask(p.db, "c");
        CHECK(take(p.peer, 256) == get("a") + get("b") + get("c"));
        put(p.peer, "+for a\r\n$5\r\nf");
        CHECK(a.join(soon()).value() == "for a");
        put(p.peer, "or b\r\n-ERR for c\r\n");
        CHECK(b.join(soon()).value() == "for b");
        CHECK(c.join(soon()).value() == "ERR for c");
    });
}

TEST_CASE("redis client: words may hold any bytes") {
    on_wires([] {
        pair p;
        const std::string odd("\r\n\0%s", 5);
        auto done = spawn([&] { return text(p.db.command(soon(), {"SET", odd, ""})); });
        CHECK(take(p.peer, 256) == "*3\r\n$3\r\nSET\r\n$5\r\n" + odd + "\r\n$0\r\n\r\n");
        put(p.peer, "+OK\r\n");
        CHECK(done.join(soon()).value() == "OK");
    });
    const std::initializer_list<std::string_view> none;
    CHECK(dies([&] { redis_pipeline().add(none); }, "a Redis command has no words"));
}

TEST_CASE("redis client: a reply that comes after the deadline is dropped") {
    on_wires([] {
        pair p;
        auto late = ask(p.db, "late", shortly());
        CHECK(late.join(soon()).value() == "!ETIMEDOUT");
        auto next = ask(p.db, "next");
        CHECK(take(p.peer, 256) == get("late"));
        CHECK(take(p.peer, 256) == get("next"));
        put(p.peer, "+of late\r\n");
        let_others_run();
        CHECK_FALSE(next.finished());
        put(p.peer, "+of next\r\n");
        CHECK(next.join(soon()).value() == "of next");
    });
}

TEST_CASE("redis client: a wire that is cancelled does not disturb those before and after it") {
    on_wires([] {
        pair p;
        auto before = ask(p.db, "1"), gone = ask(p.db, "2"), after = ask(p.db, "3");
        CHECK(take(p.peer, 256).size() == 3 * get("1").size());
        gone.cancel();
        CHECK(gone.join(soon()).value() == "!ECANCELED");
        put(p.peer, "+1\r\n+2\r\n+3\r\n");
        CHECK(before.join(soon()).value() == "1");
        CHECK(after.join(soon()).value() == "3");
        gone = spawn([&] {
            cancel_scope inside;
            inside.cancel();
            return text(p.db.command(soon(), {"PING"}));
        });
        CHECK(gone.join(soon()).value() == "!ECANCELED");
        CHECK(take(p.peer, 64, shortly()) == "!ETIMEDOUT");  // it has not been sent
    });
}

TEST_CASE("redis client: a pipeline is one wait, and is given up as a whole") {
    on_wires([] {
        pair p;
        redis_pipeline both;
        both.add({"GET", "a"});
        both.add({"GET", "b"});
        CHECK(both.size() == 2);
        CHECK(p.db.run(both, shortly()).code() == ETIMEDOUT);
        CHECK(take(p.peer, 256) == get("a") + get("b"));
        auto other = ask(p.db, "c");
        auto done = spawn([&] { return p.db.run(both, soon()).value(); });
        CHECK(take(p.peer, 256) == get("c") + get("a") + get("b"));
        put(p.peer, "+late\r\n:1\r\n+other\r\n+first\r\n");
        CHECK(other.join(soon()).value() == "other");
        CHECK_FALSE(done.finished());
        put(p.peer, "-ERR second\r\n");
        const auto replies = done.join(soon()).value();
        CHECK(replies.size() == 2);
        CHECK(std::string(replies[0]->str) == "first");
        CHECK(replies[1]->type == REDIS_REPLY_ERROR);
        CHECK(p.db.run(redis_pipeline()).value().empty());
    });
}

TEST_CASE("redis client: the end of the connection is told to every wire that waits") {
    on_wires([] {
        pair p;
        auto a = ask(p.db, "a"), b = ask(p.db, "b"), c = ask(p.db, "c");
        CHECK(take(p.peer, 256).size() == 3 * get("a").size());
        put(p.peer, "+1\r\n");
        p.peer = stream();
        CHECK(a.join(soon()).value() == "1");
        CHECK(b.join(soon()).value() == "!ECONNRESET");
        CHECK(c.join(soon()).value() == "!ECONNRESET");
        CHECK_FALSE(p.db.connected());
        CHECK(p.db.error() == "redis " + at(p.door.port()) + ": Server closed the connection");
        CHECK(text(p.db.command(soon(), {"PING"})) == "!ENOTCONN");

        CHECK(p.db.connect(at(p.door.port(), "localhost"), soon()));
        CHECK(p.db.error().empty());
        p.peer = p.door.accept(soon()).value();
        a = ask(p.db, "a");
        CHECK(take(p.peer, 256) == get("a"));
        put(p.peer, "$-1\r\n");
        CHECK(a.join(soon()).value() == std::to_string(REDIS_REPLY_NIL));
    });
}

TEST_CASE("redis client: who waits when the client goes away fails with ENOTCONN") {
    on_wires([] {
        auto p = std::make_unique<pair>();
        auto a = ask(p->db, "a");
        let_others_run();
        p = nullptr;
        CHECK(a.join(soon()).value() == "!ENOTCONN");
    });
}

TEST_CASE("redis client: a peer that does not speak Redis is EPROTO") {
    on_wires([] {
        pair p;
        auto a = ask(p.db, "a");
        CHECK(take(p.peer, 256) == get("a"));
        put(p.peer, "HTTP/1.1 400 Bad Request\r\n\r\n");
        CHECK(a.join(soon()).value() == "!EPROTO");
        CHECK(p.db.error().find("Protocol error") != std::string::npos);
    });
}

TEST_CASE("redis client: an error that nobody has asked for is the connection's") {
    on_wires([] {
        pair p;
        put(p.peer, "-ERR max number of clients reached\r\n");
        let_others_run_until([&] { return !p.db.connected(); });
        CHECK_FALSE(p.db.connected());
        CHECK(p.db.error().ends_with(": ERR max number of clients reached"));
    });
}

TEST_CASE("redis client: commands that have other than one reply are refused") {
    on_wires([] {
        pair p;
        for (const char* const refused : {"MONITOR", "subscribe", "PSUBSCRIBE", "UnSubscribe"})
            CHECK(text(p.db.command(soon(), {refused, "a"})) == "!EOPNOTSUPP");
        auto a = ask(p.db, "monitor");
        CHECK(take(p.peer, 256) == get("monitor"));
        put(p.peer, "+1\r\n");
        CHECK(a.join(soon()).value() == "1");
    });
}

TEST_CASE("redis client: what the socket does not take at once follows when there is room") {
    on_wires([] {
        pair p;
        const std::string much = long_text(8 << 20);
        auto done = spawn([&] { return text(p.db.command(soon(), {"SET", "k", much})); });
        let_others_run();
        auto next = ask(p.db, "k");
        std::string came;
        while (!came.ends_with(get("k"))) came += take(p.peer, 1 << 20);
        CHECK(came.find(much) != std::string::npos);
        put(p.peer, "+OK\r\n$" + std::to_string(much.size()) + "\r\n" + much + "\r\n");
        CHECK(done.join(soon()).value() == "OK");
        CHECK(next.join(soon()).value() == much);
    });
}

TEST_CASE("redis client: why it cannot connect is said in words") {
    on_wires([] {
        redis_client db;
        CHECK(text(db.command(soon(), {"PING"})) == "!ENOTCONN");
        const closed_port nobody;
        const std::string there = at(nobody.address().port());
        CHECK(db.connect(there, soon()).code() == ECONNREFUSED);
        CHECK(db.error() ==
              "redis " + there + ": Connection refused (is redis-server running there?)");
        CHECK(db.connect("/nobody/there", soon()).code() == ENOENT);
        CHECK(db.error().starts_with("redis /nobody/there: No such file or directory (is "));
        CHECK(db.connect("/" + std::string(200, 'x')).code() == ENAMETOOLONG);
        CHECK(db.connect("no.such.host.invalid:6379", soon()).code() == EHOSTUNREACH);
        for (const char* const nowhere :
             {"", "6379", ":6379", "host", "host:", "host:0", "h:65536"})
            CHECK(db.connect(nowhere).code() == EINVAL);
        CHECK_FALSE(db.connected());
    });
}

TEST_CASE("redis client: a host that does not answer costs no more than the deadline") {
    on_wires([] {
        full_listener busy(io::address::ip("127.0.0.1", 0).value());
        redis_client db;
        CHECK(db.connect(at(busy.where().port()), shortly()).code() == ETIMEDOUT);
        CHECK(db.error().ends_with("Connection timed out"));
    });
}

}  // namespace
}  // namespace wire::test
