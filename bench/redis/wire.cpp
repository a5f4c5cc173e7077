// The adapter: a wire for each command under way, or with -DPIPELINE one wire that sends them all
// and waits for all replies. (examples/third_party/redis)
#include <string>

#include "measure.hpp"
#include "redis_client.hpp"

namespace {

void get_many(redis_client& db, std::uint64_t n) {
    for (; n > 0; --n) {
        const auto reply = db.command(wire::never, {bench::get, bench::key});
        bench::check(reply ? reply->get() : nullptr);
    }
}

void get_beside_each_other(redis_client& db, std::size_t depth, std::uint64_t n) {
    const auto done = wire::with_scope(wire::never, [&](wire::scope& all) {
        for (std::size_t i = 0; i < depth; ++i) all.go(get_many, std::ref(db), n);
    });
    if (!done) bench::fail("with_scope", done.code());
}

void get_in_groups(redis_client& db, std::size_t depth, std::uint64_t n) {
    for (; n > 0; --n) {
        redis_pipeline group;
        for (std::size_t i = 0; i < depth; ++i) group.add({bench::get, bench::key});
        const auto replies = db.run(group);
        if (!replies) bench::fail("run", replies.code());
        for (const redis_reply& reply : *replies) bench::check(reply.get());
    }
}

int measure(const bench::load& wanted) {
    redis_client db;
    if (!db.connect("127.0.0.1:" + std::to_string(wanted.port)))
        bench::stop_with("connect", db.error().c_str());
    const bench::cost c = bench::cost_of(wanted.depth, [&](std::uint64_t n) {
        (PIPELINE ? get_in_groups : get_beside_each_other)(db, wanted.depth, n);
    });
    bench::print(c, wire::io::backend());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const bench::load wanted = bench::load_of(argc, argv);
    return wire::run([&] { return measure(wanted); });
}
