// Listeners: accepting, sharing a port, Unix paths.
#include "support/io.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <list>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <wire/spawn.hpp>

#include "support/closed_port.hpp"
#include "support/failing_call.hpp"
#include "support/threads.hpp"
#include "support/trace.hpp"

namespace wire::test {
namespace {

std::string outcome(const result<stream>& r) {
    return error_name(r.code());
}
std::string outcome(const result<listener>& r) {
    return error_name(r.code());
}

listener any_port() {
    return io::listen_tcp("127.0.0.1", 0).value();
}
result<stream> connect_to(const listener& door) {
    return io::connect(door.local_address().value(), soon());
}

TEST_CASE("listener: port 0 lets the system choose, and the listener tells which") {
    auto door = any_port();
    CHECK(door.is_open());
    CHECK(door.port() != 0);
    CHECK(door.local_address()->to_string() == "127.0.0.1:" + std::to_string(door.port()));
    CHECK((::fcntl(door.native_handle(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(door.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("listener: accept waits for a connection, until its deadline") {
    on_wires([] {
        auto door = any_port();
        CHECK(outcome(door.accept(shortly())) == "!ETIMEDOUT");
        auto waiting = spawn([&] { return door.accept(soon()).value(); });
        let_others_run();
        CHECK_FALSE(waiting.finished());
        auto near = connect_to(door).value();
        auto far = waiting.join(soon()).value();
        put(near, "x");
        CHECK(take(far) == "x");
    });
}

TEST_CASE("listener: connections that came before accept() wait in the queue") {
    on_wires([] {
        auto door = any_port();
        std::vector<stream> clients;
        for (int i = 0; i < 5; ++i) clients.push_back(connect_to(door).value());
        let_others_run();
        for (int i = 0; i < 5; ++i) {
            auto far = door.accept(soon()).value();
            put(clients[static_cast<std::size_t>(i)], std::to_string(i));
            CHECK(take(far) == std::to_string(i));
        }
        CHECK(outcome(door.accept(shortly())) == "!ETIMEDOUT");
    });
}

TEST_CASE("listener: each connection wakes one acceptor, in the order they came") {
    on_wires([] {
        auto door = any_port();
        trace log;
        std::vector<handle<void>> acceptors;
        for (const char* name : {"first", "second", "third"})
            acceptors.push_back(spawn([&, name] {
                CHECK(door.accept(soon()));
                log(name);
            }));
        let_others_run();
        for (std::size_t i = 1; i <= 3; ++i) {
            CHECK(connect_to(door));
            let_others_run();
            CHECK(log.size() == i);
        }
        for (auto& a : acceptors) a.join(soon()).value();
        CHECK(log == trace{"first", "second", "third"});
    });
}

TEST_CASE("listener: a burst of connections is shared among the acceptors") {
    on_wires([] {
        auto door = any_port();
        std::vector<handle<std::string>> acceptors;
        for (int i = 0; i < 10; ++i)
            acceptors.push_back(spawn([&] { return outcome(door.accept(soon())); }));
        let_others_run();
        std::vector<stream> clients;
        for (int i = 0; i < 10; ++i) clients.push_back(connect_to(door).value());
        for (auto& a : acceptors) CHECK(a.join(soon()).value() == "");
    });
}

TEST_CASE("listener: close wakes every acceptor with EBADF") {
    on_wires([] {
        auto door = any_port();
        std::vector<handle<std::string>> acceptors;
        for (int i = 0; i < 3; ++i)
            acceptors.push_back(spawn([&] { return outcome(door.accept()); }));
        let_others_run();
        door.close();
        for (auto& a : acceptors) CHECK(a.join(soon()).value() == "!EBADF");
        CHECK(outcome(door.accept()) == "!EBADF");
        CHECK_FALSE(door.is_open());
        CHECK(door.port() == 0);
    });
}

TEST_CASE("listener: a cancelled accept leaves the connection to the next one") {
    on_wires([] {
        auto door = any_port();
        auto waiting = spawn([&] { return outcome(door.accept()); });
        let_others_run();
        const auto to = door.local_address().value();
        const int client = ::socket(AF_INET, SOCK_STREAM, 0);
        CHECK(::connect(client, to.raw(), to.length()) == 0);
        waiting.cancel();  // before the event is served
        CHECK(waiting.join(soon()).value() == "!ECANCELED");
        CHECK(outcome(door.accept(soon())) == "");
        ::close(client);
    });
}

TEST_CASE("listener: connections that died in the queue are skipped") {
    on_wires([] {
        auto door = any_port();
        auto near = connect_to(door);
        for (const int error : {ECONNABORTED, EPROTO, ENETDOWN, EHOSTUNREACH}) {
            CAPTURE(error);
            const failing_call aborted("accept4", error, 1, 2);
            auto again = connect_to(door).value();
            CHECK(outcome(door.accept(soon())) == "");
            CHECK(aborted.calls() >= 3);
        }
    });
}

TEST_CASE("listener: accepting goes on after hundreds of connections that came and went at once") {
    // libwire B4: after more connections than its pool held, it never accepted again.
    on_wires([] {
        auto door = any_port();
        auto server = spawn([&] {
            while (auto peer = door.accept(soon()))
                go([s = *std::move(peer)]() mutable { put(s, take(s)); });
        });
        for (int round = 0; round < 2; ++round) {
            std::vector<stream> clients;
            for (int i = 0; i < 200; ++i) clients.push_back(connect_to(door).value());
            for (stream& s : clients) put(s, "x");
            int answers = 0;
            for (stream& s : clients) answers += take(s) == "x";
            CHECK(answers == 200);
        }
        door.close();
        server.join(soon()).value();
    });
}

TEST_CASE("listener: a port in use fails with EADDRINUSE") {
    auto door = any_port();
    CHECK(outcome(io::listen_tcp("127.0.0.1", door.port())) == "!EADDRINUSE");
    const auto port = door.port();
    door.close();
    CHECK(outcome(io::listen_tcp("127.0.0.1", port)) == "");
}

TEST_CASE("listener: a port whose old connections linger can be taken, unless told otherwise") {
    on_wires([] {
        auto door = any_port();
        const auto at = door.local_address().value();
        auto near = connect_to(door).value();
        auto far = door.accept(soon()).value();
        door.close();
        far.close();  // the first to close lingers in TIME_WAIT
        CHECK(take(near) == "");
        near.close();
        CHECK(outcome(io::listen(at, {.reuse_address = false})) == "!EADDRINUSE");
        CHECK(outcome(io::listen(at)) == "");
    });
}

TEST_CASE("listener: listeners with reuse_port share a port") {
    on_wires([] {
        auto one = io::listen_tcp("127.0.0.1", 0, {.reuse_port = true}).value();
        auto two = io::listen_tcp("127.0.0.1", one.port(), {.reuse_port = true}).value();
        int served[2] = {};
        auto count = [&](listener& door, int& n) {
            while (door.accept(soon())) ++n;
        };
        auto a = spawn([&] { count(one, served[0]); });
        auto b = spawn([&] { count(two, served[1]); });
        for (int i = 0; i < 64; ++i) CHECK(connect_to(one));
        let_others_run_until([&] { return served[0] + served[1] >= 64; });
        one.close();
        two.close();
        a.join(soon()).value();
        b.join(soon()).value();
        CHECK(served[0] + served[1] == 64);
        CHECK(served[0] > 0);
        CHECK(served[1] > 0);
    });
}

TEST_CASE("listener: an IPv6 listener leaves IPv4 alone, unless told otherwise") {
    on_wires([] {
        // Somebody else may have the number over IPv6, also for a minute after that.
        std::list<closed_port> taken(1);
        auto six = io::listen_tcp("::", taken.back().port());
        for (int i = 0; i < 10 && six.code() == EADDRINUSE; ++i)
            six = io::listen_tcp("::", taken.emplace_back().port());
        const auto port = six.value().port();
        CHECK(io::connect_tcp("127.0.0.1", port, soon()).code() == ECONNREFUSED);
        CHECK(outcome(io::listen_tcp("::", port, {.ipv6_only = false})) == "!EADDRINUSE");
        auto both = io::listen_tcp("::", 0, {.ipv6_only = false}).value();
        CHECK(io::connect_tcp("127.0.0.1", both.port(), soon()).code() == 0);
        CHECK(io::connect_tcp("::1", both.port(), soon()).code() == 0);
    });
}

TEST_CASE("listener: what cannot be listened on fails as the system says") {
    CHECK(outcome(io::listen_tcp("localhost", 0)) == "!EINVAL");
    CHECK(outcome(io::listen_tcp("192.0.2.1", 0)) == "!EADDRNOTAVAIL");
    CHECK(outcome(io::listen(io::address())) != "");
}

TEST_CASE("listener: adopt takes over a listening socket, release gives it away") {
    on_wires([] {
        auto door = any_port();
        const auto at = door.local_address().value();
        const int number = door.release();
        CHECK_FALSE(door.is_open());
        ::fcntl(number, F_SETFL, 0);
        auto adopted = listener::adopt(number).value();
        CHECK((::fcntl(number, F_GETFL) & O_NONBLOCK) != 0);
        auto near = io::connect(at, soon());
        CHECK(outcome(adopted.accept(soon())) == "");
        CHECK(outcome(listener::adopt(-1)) == "!EBADF");
    });
}

TEST_CASE("listener: given away after an accept that found nothing, it has lost no connection") {
    on_wires([] {
        auto door = any_port();
        auto waiting = spawn([&] { return door.accept(); });
        let_others_run();
        waiting.cancel();
        CHECK(outcome(waiting.join().value()) == "!ECANCELED");
        CHECK(outcome(door.accept(within(0s))) == "!ETIMEDOUT");
        auto client = connect_to(door).value();
        let_others_run();
        const io::owned_descriptor given(door.release());
        const io::owned_descriptor taken(::accept4(given.number(), nullptr, nullptr, SOCK_CLOEXEC));
        CHECK(taken.number() >= 0);
    });
}

TEST_CASE("listener: after an accept that found nothing, others are woken for connections") {
    on_wires([] {
        auto door = any_port();
        CHECK(outcome(door.accept(within(0s))) == "!ETIMEDOUT");
        // From here to join() the thread stands still: the system is not asked again.
        ::fcntl(door.native_handle(), F_SETFL, 0);
        std::atomic<pid_t> id{0};
        int taken = -1;
        std::thread other([&] {
            id = ::gettid();
            taken = ::accept4(door.native_handle(), nullptr, nullptr, SOCK_CLOEXEC);
        });
        while (id == 0 || state_of_thread(id) != 'S') std::this_thread::yield();
        const io::owned_descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const io::address to = door.local_address().value();
        CHECK(::connect(client.number(), to.raw(), to.length()) == 0);
        other.join();
        CHECK(io::owned_descriptor(taken).number() >= 0);
    });
}

TEST_CASE("listener: moving keeps it, assigning closes what was there") {
    on_wires([] {
        auto one = io::listen_unix(own_address("one")).value();
        auto two = io::listen_unix(own_address("two")).value();
        const auto first = one.local_address().value();
        const auto second = two.local_address().value();
        CHECK(outcome(two.accept(shortly())) == "!ETIMEDOUT");
        one = std::move(two);
        CHECK_FALSE(two.is_open());
        CHECK(io::connect(first, soon()).code() == ECONNREFUSED);
        auto near = io::connect(second, soon());
        CHECK(outcome(one.accept(soon())) == "");
    });
}

}  // namespace
}  // namespace wire::test
