// What is the io_uring backend's own: operations that are with the kernel, full queues, connections
// that it accepts ahead. Left out where io_uring is not in use.
#include "support/io.hpp"

#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include <wire/cancel.hpp>
#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>

#include "backend.hpp"
#include "support/backend.hpp"
#include "support/environment.hpp"
#include "support/failing_call.hpp"

namespace wire::test {
namespace {

#define WIRE_NEEDS_IO_URING() WIRE_LEAVE_OUT_IF(!on_io_uring(), "io_uring is not in use")

TEST_CASE("io_uring: more operations at once than there are places for submissions") {
    WIRE_NEEDS_IO_URING();
    on_wires([] {
        constexpr int pairs = 300;  // the ring has 256
        std::vector<stream_pair> all;
        std::vector<handle<std::string>> readers;
        for (int i = 0; i < pairs; ++i) all.push_back(unix_pair());
        for (auto& p : all) readers.push_back(spawn([&p] { return take(p.second); }));
        let_others_run();
        for (auto& p : all) put(p.first, "x");
        for (auto& r : readers) CHECK(r.join(soon()).value() == "x");
    });
}

TEST_CASE("io_uring: more completions at once than there are places for them") {
    WIRE_NEEDS_IO_URING();
    on_wires([] {
        constexpr int wires = 4500;  // the ring has 4,096
        const int event = ::eventfd(0, EFD_CLOEXEC);
        int woken = 0;
        for (int i = 0; i < wires; ++i)
            go([&] {
                CHECK(io::wait_readable(event, soon()));
                ++woken;
            });
        let_others_run();
        CHECK(woken == 0);
        ::eventfd_write(event, 1);
        while (woken < wires && sleep(within(1ms))) {
        }
        CHECK(woken == wires);
        ::close(event);
    });
}

// A stream that a wire has waited for before.
stream_pair used_pair() {
    stream_pair p = unix_pair();
    CHECK(take(p.first, 1, within(0s)) == "!ETIMEDOUT");
    return p;
}

TEST_CASE("io_uring: sends of wires that are ready together are one system call") {
    WIRE_NEEDS_IO_URING();
    on_wires([] {
        constexpr int pairs = 8;
        std::vector<stream_pair> all;
        for (int i = 0; i < pairs; ++i) all.push_back(used_pair());
        const auto send_all = [&] {
            std::vector<handle<void>> writers;
            for (auto& p : all) writers.push_back(spawn([&p] { put(p.first, "x"); }));
            for (auto& w : writers) w.join(soon()).value();
        };
        {
            const failing_call enters("io_uring_enter", 0);
            send_all();
            CHECK(enters.calls() <= 2);
        }
        for (auto& p : all) CHECK(take(p.second) == "x");
    });
}

TEST_CASE("io_uring: sends of one stream keep their order, alone or among others") {
    WIRE_NEEDS_IO_URING();
    on_wires([] {
        auto [near, far] = used_pair();
        auto first = spawn([&] { put(near, "a"); });  // the second is ready, so it goes with others
        auto second = spawn([&] { put(near, "b"); });  // nobody is
        first.join(soon()).value();
        second.join(soon()).value();
        CHECK(take(far) == "ab");
    });
}

TEST_CASE("io_uring: a send among others to a peer that takes no more waits for it") {
    WIRE_NEEDS_IO_URING();
    on_wires([] {
        auto [near, far] = used_pair();
        const std::string much(1 << 20, 'm');
        auto writer = spawn([&] { put(near, much); });
        auto other = spawn([&] {
            while (!writer.finished()) yield();
        });
        std::string got;
        while (got.size() < much.size()) got += take(far, 4096);
        CHECK(got == much);
        other.join(soon()).value();
        writer.join(soon()).value();
    });
}

TEST_CASE("io_uring: a send among others comes after one turn of each") {
    WIRE_NEEDS_IO_URING();
    on_wires([] {
        auto [near, far] = used_pair();
        int turns = 0;
        bool sent = false;
        auto other = spawn([&] {
            for (; !sent && turns < 100; ++turns) yield();
        });
        put(near, "x");
        sent = true;
        CHECK(turns <= 2);
        other.join(soon()).value();
        CHECK(take(far) == "x");
    });
}

TEST_CASE("io_uring: what was sent among others has left when run_once() returns") {
    WIRE_NEEDS_IO_URING();
    runtime rt;
    const io::reactor reactor(rt);
    const auto finish = [&] {
        while (rt.size() > 0) rt.run_once(0ns);
    };
    stream_pair pair;
    rt.go([&] { pair = used_pair(); });
    finish();
    rt.go([&] { put(pair.first, "x"); });
    rt.go([] { let_others_run(); });
    rt.run_once(0ns);
    char byte = 0;
    CHECK(::recv(pair.second.native_handle(), &byte, 1, MSG_DONTWAIT) == 1);
    finish();
}

TEST_CASE("io_uring: a shutdown does not overtake a send") {
    WIRE_NEEDS_IO_URING();
    on_wires([] {
        auto [near, far] = used_pair();
        auto writer = spawn([&] { put(near, "x"); });
        auto closer = spawn([&] { CHECK(near.shutdown(io::direction::write)); });
        writer.join(soon()).value();
        closer.join(soon()).value();
        CHECK(take(far) == "x");
        CHECK(take(far) == "");
    });
}

// The buffer of a read that was given up is the wire's again when the call returns.
TEST_CASE("io_uring: what a read that timed out would have received stays in the socket") {
    WIRE_NEEDS_IO_URING();
    on_wires([] {
        auto [near, far] = unix_pair();
        std::array<std::byte, 8> buffer{};
        for (int i = 0; i < 100; ++i) {
            CHECK(far.read(buffer, within(10us)).code() == ETIMEDOUT);
            put(near, "x");
            let_others_run();
            CHECK(buffer == std::array<std::byte, 8>{});
            CHECK(take(far) == "x");
        }
    });
}

TEST_CASE("io_uring: the kernel accepts for a server that is busy, but only so many ahead") {
    WIRE_NEEDS_IO_URING();
    on_wires([] {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        const std::uint16_t port = door.port();
        auto first = spawn([&] { return door.accept(soon()).has_value(); });
        let_others_run();
        std::vector<stream> clients;
        const int before = open_descriptors();
        for (int i = 0; i < 200; ++i) clients.push_back(io::connect_tcp("127.0.0.1", port).value());
        CHECK(first.join(soon()).value());
        CHECK(open_descriptors() - before < 200 + 100);
        for (int i = 1; i < 200; ++i) CHECK(door.accept(soon()));
        CHECK(door.accept(shortly()).code() == ETIMEDOUT);
    });
}

TEST_CASE("io_uring: connections that nobody has accepted end with the listener") {
    WIRE_NEEDS_IO_URING();
    const int before = open_descriptors();
    on_wires([] {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        auto first = spawn([&] { return door.accept(soon()).has_value(); });
        let_others_run();
        std::vector<stream> clients;
        for (int i = 0; i < 10; ++i)
            clients.push_back(io::connect_tcp("127.0.0.1", door.port()).value());
        CHECK(first.join(soon()).value());
        let_others_run();
        door.close();
        std::array<std::byte, 8> buffer;
        for (auto& c : clients) {
            const auto n = c.read(buffer, soon());
            CHECK((n.code() == ECONNRESET || n.value_or(1) == 0));
        }
    });
    CHECK(open_descriptors() == before);
}

TEST_CASE("io_uring: a listener outlives the reactor that accepts for it") {
    WIRE_NEEDS_IO_URING();
    const int before = open_descriptors();
    {
        io::listener door = io::listen_tcp("127.0.0.1", 0).value();
        std::vector<stream> clients;
        runtime rt({.stack = {.size = 256 * 1024}});
        const io::reactor reactor(rt);
        rt.go([&] {
            auto first = spawn([&] { return door.accept(soon()).has_value(); });
            let_others_run();
            for (int i = 0; i < 5; ++i)
                clients.push_back(io::connect_tcp("127.0.0.1", door.port()).value());
            CHECK(first.join(soon()).value());
        });
        CHECK(rt.run());
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("io_uring: a wire waits for a word that another thread changes") {
    WIRE_NEEDS_IO_URING();
    static std::uint32_t word = 0;  // shared futexes have no owner
    on_wires([] {
        io::detail::backend& home = *io::detail::backend::current();
        const std::atomic_ref shared(word);
        const int at_once = home.wait_while(word, 1, soon());
        if (at_once == ENOSYS) {
            MESSAGE("left out: io_uring waits for no futex before Linux 6.7");
            return;
        }
        CHECK(at_once == 0);
        CHECK(home.wait_while(word, 0, shortly()) == ETIMEDOUT);
        auto waiting = spawn([&] { return home.wait_while(word, 0, never); });
        let_others_run();
        waiting.cancel();
        CHECK(waiting.join(soon()).value() == ECANCELED);

        std::jthread other([&] {
            std::this_thread::sleep_for(20ms);
            shared = 1;
            ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
        });
        while (shared == 0) CHECK(home.wait_while(word, 0, soon()) == 0);
    });
}

}  // namespace
}  // namespace wire::test
