// Running out of descriptors while accepting: backing off, saying so once, recovering.
#include "support/io.hpp"

#include <fcntl.h>
#include <sys/resource.h>

#include <thread>
#include <vector>

#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>

#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/failing_call.hpp"

namespace wire::test {
namespace {

listener any_port() {
    return io::listen_tcp("127.0.0.1", 0).value();
}

// Back-offs are reported once a minute for each thread, so what looks for that needs a new one.
void on_new_thread(void (*body)()) {
    std::jthread([body] { on_wires(body); }).join();
}

TEST_CASE("exhaustion: accept tries again after EMFILE, ENFILE, ENOBUFS and ENOMEM") {
    on_wires([] {
        const caught_diagnostics quiet;
        auto door = any_port();
        for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
            CAPTURE(error);
            auto near = io::connect(door.local_address().value(), soon()).value();
            const failing_call out_of_it("accept4", error, 1, 2);
            CHECK(door.accept(soon()).code() == 0);
            CHECK(out_of_it.calls() == 3);
        }
    });
}

TEST_CASE("exhaustion: one diagnostic for any number of attempts and acceptors") {
    on_new_thread([] {
        const caught_diagnostics said;
        auto door = any_port();
        auto near = io::connect(door.local_address().value(), soon()).value();
        const failing_call out_of_it("accept4", EMFILE, 1, 4);
        auto other = spawn([&] { return door.accept(within(200ms)).code(); });
        CHECK(door.accept(soon()).code() == 0);
        CHECK(other.join(soon()).value() == ETIMEDOUT);
        CHECK(said.of(diagnostic::back_off).size() == 1);
        CHECK(said.has(diagnostic::back_off, "Too many open files"));
        CHECK(said.has(diagnostic::back_off, "ulimit -n"));
    });
}

TEST_CASE("exhaustion: the delays grow, so that waiting costs nothing") {
    on_wires([] {
        const caught_diagnostics quiet;
        auto door = any_port();
        auto near = io::connect(door.local_address().value(), soon()).value();
        const failing_call out_of_it("accept4", EMFILE);
        CHECK(door.accept(within(320ms)).code() == ETIMEDOUT);  // 10 + 20 + 40 + 80 + 160 ms
        CHECK(out_of_it.calls() <= 7);
        CHECK(out_of_it.calls() >= 2);
    });
}

TEST_CASE("exhaustion: closing one of our descriptors ends the back-off") {
    on_wires([] {
        const caught_diagnostics quiet;
        auto door = any_port();
        auto [left, right] = unix_pair();
        auto near = io::connect(door.local_address().value(), soon()).value();
        int attempts = 0;
        {
            const failing_call out_of_it("accept4", EMFILE);
            auto waiting = spawn([&] { return door.accept().code(); });
            CHECK(sleep(within(350ms)));  // it now waits for 320 ms, or longer
            attempts = out_of_it.calls();
            left.close();
            let_others_run();
            CHECK(out_of_it.calls() == attempts + 1);
            waiting.cancel();
            CHECK(waiting.join(soon()).value() == ECANCELED);
        }
        CHECK(door.accept(soon()).code() == 0);
    });
}

TEST_CASE("exhaustion: cancelling, and closing the listener, end the back-off") {
    on_wires([] {
        const caught_diagnostics quiet;
        auto door = any_port();
        auto near = io::connect(door.local_address().value(), soon()).value();
        const failing_call out_of_it("accept4", EMFILE);
        auto one = spawn([&] { return door.accept().code(); });
        auto two = spawn([&] { return door.accept().code(); });
        let_others_run();
        one.cancel();
        CHECK(one.join(soon()).value() == ECANCELED);
        door.close();
        CHECK(two.join(soon()).value() == EBADF);
    });
}

void serve(listener& door) {
    while (auto peer = door.accept(soon()))
        go([s = *std::move(peer)]() mutable { put(s, take(s)); });
}

// Leaves room for so many descriptors more.
void limit_descriptors_to(rlim_t more) {
    const auto lowest_free = static_cast<rlim_t>(::dup(0));
    ::close(static_cast<int>(lowest_free));
    const rlimit limit{lowest_free + more, lowest_free + more};
    must(::setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
}

// Twenty clients, room for four connections.
void serve_at_the_limit() {
    const caught_diagnostics said;
    auto door = any_port();
    const auto at = door.local_address().value();
    std::vector<int> clients;
    for (int i = 0; i < 20; ++i) {
        clients.push_back(::socket(AF_INET, SOCK_STREAM, 0));
        must(::connect(clients.back(), at.raw(), at.length()) == 0, "connect");
    }
    limit_descriptors_to(4);

    auto server = spawn([&] { serve(door); });
    for (const int fd : clients) {
        char c = 'x';
        must(::send(fd, &c, 1, MSG_NOSIGNAL) == 1, "send");
        must(io::wait_readable(fd, soon()).code() == 0, "an answer in time");
        must(::recv(fd, &c, 1, 0) == 1, "an answer");
    }
    door.close();
    must(server.join(soon()).code() == 0, "the end of the server");
    must(said.of(diagnostic::back_off).size() == 1, "one line about it");
    for (const int fd : clients) ::close(fd);
}

TEST_CASE("exhaustion: a server at its limit of open files serves everybody in turn") {
    if (under_valgrind()) return;  // it keeps descriptors above the limit for itself
    const death end = run_in_child([] { on_new_thread(serve_at_the_limit); });
    INFO(end.said);
    CHECK(end.signal == 0);
    CHECK(end.code == 0);
}

// Others take all descriptors, and give them back without our knowledge.
void recover_from_others() {
    const caught_diagnostics said;
    auto door = any_port();
    const auto at = door.local_address().value();
    const int client = ::socket(AF_INET, SOCK_STREAM, 0);
    must(::connect(client, at.raw(), at.length()) == 0, "connect");
    limit_descriptors_to(1);
    const int last = ::dup(0);
    must(io::connect(at, soon()).code() == EMFILE, "connect says so at once");
    must(io::listen(at).code() == EMFILE, "listen says so at once");
    must(io::make_stream_pair().code() == EMFILE, "make_stream_pair says so at once");
    must(door.accept(shortly()).code() == ETIMEDOUT, "accept waits");
    auto server = spawn([&] { return door.accept(soon()).code(); });
    let_others_run();
    ::close(last);  // nobody tells the acceptor
    must(server.join(soon()).value() == 0, "accept recovers");
    must(io::connect(at, soon()).code() == 0, "connect recovers");
    ::close(client);
}

TEST_CASE("exhaustion: all calls recover when others give descriptors back") {
    if (under_valgrind()) return;  // it keeps descriptors above the limit for itself
    const death end = run_in_child([] { on_new_thread(recover_from_others); });
    INFO(end.said);
    CHECK(end.signal == 0);
    CHECK(end.code == 0);
}

}  // namespace
}  // namespace wire::test
