// What I/O costs when nothing is new: no allocation while serving, no system call while idle.
#include "support/io.hpp"

#include <ctime>
#include <vector>

#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>

#include "support/backend.hpp"
#include "support/count_malloc.hpp"
#include "support/environment.hpp"
#include "support/failing_call.hpp"

namespace wire::test {
namespace {

// Reads and answers without the strings of support/io.hpp, which allocate.
int echo_once(stream& near, stream& far) {
    std::array<std::byte, 64> buffer{};
    int failures = 0;
    failures += !near.write_all(std::span(buffer), soon());
    failures += !far.read_exactly(buffer, soon());
    iovec parts[2] = {{buffer.data(), 32}, {buffer.data() + 32, 32}};
    failures += !far.write_all(std::span(parts), soon());
    failures += !near.read_exactly(buffer, soon());
    return failures;
}

int serve_one(listener& door, const io::address& at) {
    auto client = spawn([&] {
        auto near = io::connect(at, soon());
        std::array<std::byte, 8> buffer{};
        return near && near->write_all(std::span(buffer), soon()) &&
               near->read_exactly(buffer, soon());
    });
    auto peer = door.accept(soon());
    std::array<std::byte, 8> buffer{};
    const bool served =
        peer && peer->read_exactly(buffer, soon()) && peer->write_all(std::span(buffer), soon());
    auto done = client.join(soon());
    return served && done && *done ? 0 : 1;
}

TEST_CASE("io memory: echo over a connection allocates nothing once it is warm") {
    if (!counts_allocations()) return;
    over_each([](stream& near, stream& far) {
        int failures = 0;
        for (int i = 0; i < 10; ++i) failures += echo_once(near, far);
        const allocation_count allocated;
        for (int i = 0; i < 1000; ++i) failures += echo_once(near, far);
        CHECK(allocated.value() == 0);
        CHECK(failures == 0);
    });
}

TEST_CASE("io memory: connect, accept, spawn, serve and close allocate nothing once it is warm") {
    if (!counts_allocations()) return;
    on_wires([] {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        const auto at = door.local_address().value();
        int failures = 0;
        for (int i = 0; i < 10; ++i) failures += serve_one(door, at);
        const allocation_count allocated;
        for (int i = 0; i < 200; ++i) failures += serve_one(door, at);
        CHECK(allocated.value() == 0);
        CHECK(failures == 0);
    });
}

TEST_CASE(
    "io memory: deadlines, timeouts and foreign descriptors allocate nothing once it is warm") {
    if (!counts_allocations()) return;
    over_each([](stream& near, stream& far) {
        int fds[2];
        CHECK(::pipe(fds) == 0);
        const auto once = [&] {
            std::array<std::byte, 1> buffer{};
            int failures = 0;
            failures += far.read(buffer, within(100us)).code() != ETIMEDOUT;
            failures += io::wait_readable(fds[0], within(100us)).code() != ETIMEDOUT;
            failures += io::wait_writable(fds[1], soon()).code() != 0;
            failures += !near.write(std::span<const std::byte>(buffer), soon());
            failures += !far.read(buffer, soon());
            return failures;
        };
        int failures = once();
        const allocation_count allocated;
        for (int i = 0; i < 50; ++i) failures += once();
        CHECK(allocated.value() == 0);
        CHECK(failures == 0);
        ::close(fds[0]);
        ::close(fds[1]);
    });
}

TEST_CASE("io memory: an idle server makes no system call and takes no CPU time") {
    on_wires([] {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        std::vector<stream_pair> idle;
        for (int i = 0; i < 20; ++i) idle.push_back(tcp_pair());
        std::vector<handle<std::string>> readers;
        for (auto& [near, far] : idle)
            readers.push_back(spawn([&] { return take(far, 1, never); }));
        auto acceptor = spawn([&] { return door.accept().code(); });
        let_others_run();

        const failing_call polls(sleeping_call(), 0);
        const std::clock_t before = std::clock();
        CHECK(sleep(within(1s)));
        // The sleep itself costs more under a tool.
        CHECK(std::clock() - before <=
              CLOCKS_PER_SEC / (under_tsan || under_valgrind() ? 10 : 100));
        CHECK(polls.calls() <= 2);

        door.close();
        CHECK(acceptor.join(soon()).value() == EBADF);
        for (auto& [near, far] : idle) near.close();
        for (auto& r : readers) CHECK(r.join(soon()).value() == "");
    });
}

TEST_CASE("io memory: small messages cost one send and one receive each, and one poll a wake-up") {
    on_wires([] {
        auto [near, far] = tcp_pair();
        std::array<std::byte, 128> buffer{};
        auto server = spawn([&] { echo(far); });
        const auto round = [&] {
            return near.write_all(std::span(buffer).first(64), soon()) && near.read(buffer, soon());
        };
        for (int i = 0; i < 10; ++i) CHECK(round());
        int receives = 0;
        {
            const failing_call counted("recv", 0);
            for (int i = 0; i < 100; ++i) CHECK(round());
            receives = counted.calls();
        }
        CHECK(receives == 200);  // none that fails: a short one shows that there is no more
        const failing_call polls(sleeping_call(), 0);
        for (int i = 0; i < 100; ++i) CHECK(round());
        CHECK(polls.calls() <= 210);
        near.close();
        server.join(soon()).value();
    });
}

}  // namespace
}  // namespace wire::test
