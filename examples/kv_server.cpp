// A key-value server for clients of redis: a wire for each connection, a runtime for each thread.
//
//     ./kv_server                      on 127.0.0.1 and ::1, port 6379
//     redis-cli set greeting hello
//     redis-benchmark -t ping,set,get,incr,lpush,mset -P 16
//     ./kv_server --help
//
// kv/ is what it does: resp.hpp takes requests apart, commands.cpp answers them, store.hpp keeps
// the values. Here is how that meets the network: all requests that came with one read are answered
// with one write. Whoever does not read the answers stops only itself. A connection takes a few
// times --max-request bytes while a large request or answer is on its way, and gives them back; at
// rest it keeps 200 KiB at most, usually a tenth of that.
//
// How it starts and ends is in serve.hpp, which the other servers use too.

#include <atomic>

#include "kv/engine.hpp"
#include "serve.hpp"

namespace {

using namespace std::chrono_literals;

// Says so if nothing more will come.
bool receive(serve::connection& peer, kv::buffer& in) {
    constexpr std::size_t least = 16 * 1024;
    peer.idle = in.empty();
    if (peer.idle && serve::stopping()) return false;
    const auto n = peer.read(std::as_writable_bytes(in.room(least)), serve::patience());
    peer.idle = false;
    if (!n || *n == 0) return false;
    in.add(*n);
    return true;
}

// To close with unread bytes would reset the connection, and the last answer might be lost.
void part_from(serve::connection& peer, kv::buffer& in) {
    const wire::deadline until = wire::within(1s);
    if (!peer.shutdown(serve::io::direction::write)) return;
    while (auto n = peer.read(std::as_writable_bytes(in.room(1)), until))
        if (*n == 0) return;
}

// Keys whose time is over are not found any more; this wire frees their memory. It lives while
// there are any with a time.
class reaper {
public:
    explicit reaper(kv::store& values) : values_(values) {}

    void wake() {
        if (values_.ending() == 0 || busy_.exchange(true)) return;
        wire::go({.name = "reaper"}, [this] { run(); });
    }

private:
    void run() {
        while (values_.ending() > 0) {
            if (serve::io::wait_readable(serve::stop_event, wire::within(100ms))) return;
            for (std::size_t i = 0; i < values_.shards(); ++i)
                while (values_.erase_over(i)) wire::yield();
        }
        busy_ = false;
    }

    kv::store& values_;
    std::atomic<bool> busy_ = false;
};

void talk(serve::connection& peer, kv::server& home, reaper& reaper) {
    kv::session session(home);
    kv::buffer in, out;
    while (receive(peer, in)) {
        while (in.drop(session.consume(in.view(), out)), !out.empty()) {
            if (!peer.write_all(out.view(), serve::patience())) return;
            out.clear();
            if (session.is_over()) return part_from(peer, in);
        }
        reaper.wake();
    }
}

}  // namespace

int main(int argc, char** argv) {
    command_line line("kv_server", "Keeps values under keys, for clients of redis.");
    kv::limits most;
    line.add("--max-request", most.request_max, "Bytes of a request, and of an answer")
        .number(std::size_t{1024}, std::size_t{512} << 20);
    serve::begin(
        line, argc, argv,
        {.port = 6379, .idle_timeout = 300, .refusal = "-ERR max number of clients reached\r\n"});
    kv::server home(serve::options.threads > 1, most);
    reaper reaper(home.values);
    return serve::connections([&](serve::connection& peer) { talk(peer, home, reaper); });
}
