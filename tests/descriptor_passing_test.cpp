// Descriptors that travel over Unix streams: they arrive with their bytes, and none is ever lost.
#include "support/io.hpp"

#include <fcntl.h>
#include <sys/resource.h>

#include <vector>

#include <wire/spawn.hpp>

#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/trace.hpp"

namespace wire::test {
namespace {

using io::owned_descriptor;

// Both ends of a pipe.
struct pipe_ends {
    pipe_ends() {
        int fds[2] = {-1, -1};
        CHECK(::pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
        out = owned_descriptor(fds[0]);
        in = owned_descriptor(fds[1]);
    }
    owned_descriptor out, in;
};

std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

std::string pass(stream& s, const std::vector<int>& fds, std::string_view text = "x") {
    const auto sent = s.send_descriptors(fds, bytes(text), soon());
    return sent ? std::to_string(*sent) : error_name(sent.code());
}

// What one receive_descriptors() brought: "text+2", or the error's name.
std::string fetch(stream& s, std::span<owned_descriptor> into, deadline until = soon()) {
    std::string buffer(16, '\0');
    const auto got = s.receive_descriptors(into, std::as_writable_bytes(std::span(buffer)), until);
    if (!got) return error_name(got.code());
    buffer.resize(got->bytes);
    return with_number(buffer + "+", static_cast<int>(got->descriptors));
}

TEST_CASE("passing: descriptors arrive with their bytes, in order, and work") {
    on_wires([] {
        auto [near, far] = unix_pair();
        pipe_ends first, second;
        CHECK(pass(near, {first.in.number(), second.in.number()}, "two") == "3");
        std::array<owned_descriptor, 4> got;
        CHECK(fetch(far, got) == "two+2");
        CHECK((::fcntl(got[0].number(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK(::write(got[0].number(), "1", 1) == 1);
        CHECK(::write(got[1].number(), "2", 1) == 1);
        char c = 0;
        CHECK(::read(first.out.number(), &c, 1) == 1);
        CHECK(c == '1');
        CHECK(::read(second.out.number(), &c, 1) == 1);
        CHECK(c == '2');
        CHECK(got[2].number() == -1);
    });
}

TEST_CASE("passing: a connection is handed over and goes on where it was") {
    on_wires([] {
        auto [near, far] = unix_pair();
        auto [client, server] = tcp_pair();
        put(client, "hello");
        CHECK(pass(near, {server.native_handle()}) == "1");
        server.close();
        std::array<owned_descriptor, 1> got;
        CHECK(fetch(far, got) == "x+1");
        auto taken = stream::adopt(got[0].release()).value();
        CHECK(take(taken) == "hello");
        put(taken, "here I am");
        CHECK(take(client) == "here I am");
    });
}

TEST_CASE("passing: bytes of two messages with descriptors are never mixed") {
    on_wires([] {
        auto [near, far] = unix_pair();
        pipe_ends p;
        CHECK(pass(near, {p.in.number()}, "first") == "5");
        CHECK(pass(near, {p.in.number(), p.out.number()}, "second") == "6");
        CHECK(pass(near, {}, "third") == "5");
        std::array<owned_descriptor, 2> got;
        CHECK(fetch(far, got) == "first+1");
        CHECK(fetch(far, got) == "second+2");
        CHECK(fetch(far, got) == "third+0");
        near.close();
        CHECK(fetch(far, got) == "+0");
    });
}

TEST_CASE("passing: the receiver waits, with deadline and cancellation") {
    on_wires([] {
        auto [near, far] = unix_pair();
        pipe_ends p;
        std::array<owned_descriptor, 1> got;
        CHECK(fetch(far, got, shortly()) == "!ETIMEDOUT");
        auto receiver = spawn([&] { return fetch(far, got); });
        let_others_run();
        CHECK(pass(near, {p.in.number()}) == "1");
        CHECK(receiver.join(soon()).value() == "x+1");
        auto cancelled = spawn([&] { return fetch(far, got); });
        let_others_run();
        cancelled.cancel();
        CHECK(cancelled.join(soon()).value() == "!ECANCELED");
    });
}

TEST_CASE("passing: more descriptors than the receiver takes are an error, and none is left open") {
    on_wires([] {
        auto [near, far] = unix_pair();
        pipe_ends p;
        const int in = p.in.number();
        std::array<owned_descriptor, 3> got;
        const int before = open_descriptors();
        for (const std::size_t room : {0U, 1U, 2U}) {
            CAPTURE(room);
            CHECK(pass(near, {in, in, in}) == "1");
            CHECK(fetch(far, std::span(got).first(room)) == "!EMSGSIZE");
            CHECK(open_descriptors() == before);
        }
        CHECK(pass(near, {in, in, in}) == "1");
        CHECK(fetch(far, got) == "x+3");
    });
}

TEST_CASE("passing: a process at its limit of open files is told, and none is left open") {
    WIRE_LEAVE_OUT_IF(under_valgrind(), "Valgrind has limits of its own");
    on_wires([] {
        auto [near, far] = unix_pair();
        pipe_ends p;
        std::array<owned_descriptor, 8> got;
        rlimit usual{};
        CHECK(::getrlimit(RLIMIT_NOFILE, &usual) == 0);
        let_others_run();  // its reactor has opened what it needs
        CHECK(pass(near, std::vector<int>(8, p.in.number())) == "1");
        const int lowest_free = ::dup(p.in.number());
        ::close(lowest_free);
        const rlimit tight{static_cast<rlim_t>(lowest_free) + 2, usual.rlim_max};
        const int before = open_descriptors();
        CHECK(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
        const std::string outcome = fetch(far, got);
        CHECK(::setrlimit(RLIMIT_NOFILE, &usual) == 0);
        CHECK(outcome == "!EMFILE");
        CHECK(open_descriptors() == before);
    });
}

TEST_CASE("passing: what cannot be passed fails as the system says, and nothing is sent") {
    on_wires([] {
        auto [near, far] = unix_pair();
        CHECK(pass(near, {-1}) == "!EBADF");
        CHECK(pass(near, std::vector<int>(254, 0)) == "!EINVAL");
        CHECK(pass(near, std::vector<int>(253, near.native_handle())) == "1");
        std::vector<owned_descriptor> got(300);
        CHECK(fetch(far, got) == "x+253");
        CHECK(take(far, 64, shortly()) == "!ETIMEDOUT");
    });
}

TEST_CASE("passing: without a byte there is nothing to travel with") {
    CHECK(dies(
        [] {
            on_wires([] {
                auto [near, far] = unix_pair();
                static_cast<void>(near.send_descriptors({}, {}));
            });
        },
        "send_descriptors() needs one"));
}

}  // namespace
}  // namespace wire::test
