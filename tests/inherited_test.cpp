// Sockets from the environment: systemd's convention, kept to the letter, or refused.
#include "support/io.hpp"

#include <fcntl.h>

#include <optional>

#include <wire/datagram.hpp>
#include <wire/inherited.hpp>

#include "support/dies.hpp"
#include "support/failing_call.hpp"

namespace wire::test {
namespace {

struct variables {
    const char* fds = nullptr;
    const char* names = nullptr;
    const char* pid = nullptr;  // else our own
};

void set(const char* name, const char* value) {
    if (value)
        ::setenv(name, value, 1);
    else
        ::unsetenv(name);
}

void hand_over(const variables& v) {
    const std::string self = std::to_string(::getpid());
    set("LISTEN_PID", v.pid ? v.pid : self.c_str());
    set("LISTEN_FDS", v.fds);
    set("LISTEN_FDNAMES", v.names);
}

bool any_variable() {
    return std::getenv("LISTEN_PID") || std::getenv("LISTEN_FDS") || std::getenv("LISTEN_FDNAMES");
}

// What the library makes of it: "name=number ..." or the error's name.
std::string inherited() {
    auto all = io::inherited_sockets();
    if (!all) return error_name(all.code());
    std::string text;
    for (auto& s : *all) text += s.name + "=" + std::to_string(s.fd.release()) + " ";
    return text;
}

// In a child process, where 3 and 4 are sockets and 5 is closed.
template <class F>
bool in_child(F fn) {
    const death end = run_in_child([&] {
        const int tcp = ::socket(AF_INET, SOCK_STREAM, 0);
        must(::listen(tcp, 5) == 0, "a listener");
        const int udp = ::socket(AF_INET, SOCK_DGRAM, 0);
        const int high = ::fcntl(tcp, F_DUPFD, 20);
        must(::dup2(udp, 4) == 4 && ::dup2(high, 3) == 3, "descriptors 3 and 4");
        ::close(5);
        fn();
    });
    if (end.code != 0 || end.signal != 0) std::fprintf(stderr, "%s\n", end.said.c_str());
    return end.code == 0 && end.signal == 0;
}

void must_be(const std::string& got, const std::string& expected) {
    must(got == expected, (got + " is " + expected).c_str());
}

TEST_CASE("inherited: without the variables there is nothing") {
    CHECK(in_child([] {
        for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
        must_be(inherited(), "");
        hand_over({});
        must_be(inherited(), "");
        must(!any_variable(), "the variables are gone");
    }));
}

TEST_CASE("inherited: sockets come with their names, once, and close at exec") {
    CHECK(in_child([] {
        hand_over({.fds = "2", .names = "web:log"});
        must_be(inherited(), "web=3 log=4 ");
        must(!any_variable(), "the variables are gone");
        must_be(inherited(), "");
        for (const int fd : {3, 4}) must((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, "close-on-exec");
    }));
    CHECK(in_child([] {
        hand_over({.fds = "2"});
        must_be(inherited(), "unknown=3 unknown=4 ");
        hand_over({.fds = "0", .names = ""});
        must_be(inherited(), "");
    }));
}

TEST_CASE("inherited: what is not released is closed") {
    CHECK(in_child([] {
        hand_over({.fds = "2"});
        { const auto all = io::inherited_sockets(); }
        must(::fcntl(3, F_GETFD) < 0 && ::fcntl(4, F_GETFD) < 0, "closed");
    }));
}

TEST_CASE("inherited: another process's are left alone") {
    CHECK(in_child([] {
        const std::string parent = std::to_string(::getppid());
        hand_over({.fds = "2", .pid = parent.c_str()});
        must_be(inherited(), "");
        must(!any_variable(), "the variables are gone");
        must(::fcntl(3, F_GETFD) == 0, "open, and not ours");
    }));
}

TEST_CASE("inherited: variables that make no sense are refused, and nothing is closed") {
    CHECK(in_child([] {
        for (const char* fds : {"", "x", "-1", "2x", " 2", "99999999999"}) {
            hand_over({.fds = fds});
            must_be(inherited(), "!EINVAL");
            hand_over({.fds = "2", .pid = fds});
            must_be(inherited(), "!EINVAL");
        }
        for (const char* names : {"", "one", "one:two:three"}) {
            hand_over({.fds = "2", .names = names});
            must_be(inherited(), "!EINVAL");
        }
        hand_over({.fds = "3"});
        must_be(inherited(), "!EBADF");
        must(::fcntl(3, F_GETFD) >= 0 && ::fcntl(4, F_GETFD) >= 0, "open");
    }));
}

TEST_CASE("inherited: they become a listener and a datagram socket that work") {
    CHECK(in_child([] {
        hand_over({.fds = "2"});
        auto all = io::inherited_sockets().value();
        must(listener::adopt(all[1].fd.number()).code() == EPROTOTYPE, "4 is no listener");
        auto door = listener::adopt(all[0].fd.release()).value();
        auto udp = io::datagram::adopt(all[1].fd.release()).value();
        runtime rt;
        const io::reactor reactor(rt);
        rt.go([&] {
            auto near = io::connect_tcp("127.0.0.1", door.port(), soon()).value();
            must(door.accept(soon()).has_value(), "a connection");
        });
        must(rt.run().has_value(), "an end");
    }));
}

}  // namespace
}  // namespace wire::test
