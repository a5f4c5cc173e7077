// hiredis's own adapter for libuv: each reply that comes asks for the next.
#include <hiredis/adapters/libuv.h>
#include <hiredis/async.h>

#include "measure.hpp"

namespace {

struct state {
    uv_loop_t* loop;
    std::uint64_t to_send, to_come;
};

void on_reply(redisAsyncContext* context, void* reply, void*) {
    state& s = *static_cast<state*>(context->data);
    bench::check(static_cast<redisReply*>(reply));
    if (s.to_send > 0) {
        --s.to_send;
        redisAsyncCommandArgv(context, on_reply, nullptr, 2, bench::words, bench::sizes);
    }
    if (--s.to_come == 0) uv_stop(s.loop);
}

}  // namespace

int main(int argc, char** argv) {
    const auto [port, depth] = bench::load_of(argc, argv);
    uv_loop_t* const loop = uv_default_loop();
    redisAsyncContext* const context = redisAsyncConnect("127.0.0.1", port);
    if (!context || context->err)
        bench::stop_with("connect", context ? context->errstr : "no memory");
    state s{loop, 0, 0};
    context->data = &s;
    redisLibuvAttach(context, loop);
    bench::print(bench::cost_of(depth,
                                [&, d = depth](std::uint64_t n) {
                                    s.to_send = (n - 1) * d;
                                    s.to_come = n * d;
                                    for (std::size_t i = 0; i < d; ++i)
                                        redisAsyncCommandArgv(context, on_reply, nullptr, 2,
                                                              bench::words, bench::sizes);
                                    uv_run(loop, UV_RUN_DEFAULT);
                                }),
                 "epoll");
}
