// hiredis without a loop: appends the commands of a group, and blocks for each reply.
#include "measure.hpp"

namespace {

void get_in_groups(redisContext* context, std::size_t depth, std::uint64_t n) {
    for (; n > 0; --n) {
        for (std::size_t i = 0; i < depth; ++i)
            redisAppendCommandArgv(context, 2, bench::words, bench::sizes);
        for (std::size_t i = 0; i < depth; ++i) {
            void* reply = nullptr;
            if (redisGetReply(context, &reply) != REDIS_OK) reply = nullptr;
            bench::check(static_cast<redisReply*>(reply));
            freeReplyObject(reply);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    const bench::load wanted = bench::load_of(argc, argv);
    redisContext* const context = redisConnect("127.0.0.1", wanted.port);
    if (!context || context->err)
        bench::stop_with("connect", context ? context->errstr : "no memory");
    const bench::cost c = bench::cost_of(
        wanted.depth, [&](std::uint64_t n) { get_in_groups(context, wanted.depth, n); });
    bench::print(c, "none");
}
