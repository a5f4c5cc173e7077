// Names, and connecting to whichever of several addresses answers.
#include "support/io.hpp"

#include <netdb.h>

#include <semaphore>
#include <string>
#include <vector>

#include <wire/diagnostics.hpp>
#include <wire/resolve.hpp>
#include <wire/spawn.hpp>

#include "support/closed_port.hpp"
#include "support/diagnostics.hpp"
#include "support/failing_call.hpp"
#include "support/full_listener.hpp"

namespace wire::test {
namespace {

using addresses = std::vector<io::address>;

io::address at(std::string_view host, std::uint16_t port) {
    return io::address::ip(host, port).value();
}

// Makes look-ups wait in the helper's thread until they are let go.
class slow_resolver {
public:
    slow_resolver() {
        entered_ = 0;
        while (open_.try_acquire()) {  // for a look-up that was never begun
        }
        wire::detail::sys::hook = [](const char* call) noexcept {
            if (std::string_view(call) == "getaddrinfo") {
                ++entered_;
                open_.acquire();
            }
            return 0;
        };
    }
    ~slow_resolver() { wire::detail::sys::hook = nullptr; }
    slow_resolver(const slow_resolver&) = delete;
    slow_resolver& operator=(const slow_resolver&) = delete;
    static void let_go() { open_.release(); }
    static void await_one() {
        let_others_run_until([&] { return entered_ != 0; });
        CHECK(entered_ == 1);
    }

private:
    static inline std::atomic<int> entered_{0};
    static inline std::counting_semaphore<> open_{0};
};

TEST_CASE("resolve: numbers and the name of this machine become addresses") {
    on_wires([] {
        const auto four = io::resolve("127.0.0.1", "80", soon()).value();
        CHECK(four.size() == 1);
        CHECK(four.front().to_string() == "127.0.0.1:80");
        const auto six = io::resolve("::1", "8080").value();
        CHECK(six.front().to_string() == "[::1]:8080");
        const auto here = io::resolve("localhost", "7").value();
        CHECK_FALSE(here.empty());
        for (const auto& a : here) CHECK(a.port() == 7);
    });
}

TEST_CASE("resolve: an unknown name keeps the text of the resolver") {
    on_wires([] {
        const auto none = io::resolve("no such host", "80", soon());
        CHECK(!none);
        CHECK(none.error().category() == io::name_category());
        CHECK(none.error().value() == EAI_NONAME);
        CHECK(none.error().message() == ::gai_strerror(EAI_NONAME));
        CHECK(none.code() == EHOSTUNREACH);
        const auto service = io::resolve("127.0.0.1", "no such service");
        CHECK(service.error().message() == ::gai_strerror(EAI_SERVICE));
        const auto peer = io::connect("no such host", "80", soon());
        CHECK(peer.error().message() == ::gai_strerror(EAI_NONAME));
    });
}

TEST_CASE("resolve: an error of the system is told as such") {
    on_wires([] {
        const failing_call broken("getaddrinfo", EMFILE);
        const auto none = io::resolve("localhost", "80");
        CHECK(none.error() == std::error_code(EMFILE, std::system_category()));
    });
}

TEST_CASE("resolve: in a cancelled wire nothing is begun") {
    on_wires([] {
        const failing_call counted("getaddrinfo", 0);
        cancel_scope inside;
        inside.cancel();
        CHECK(error_name(io::resolve("localhost", "80").code()) == "!ECANCELED");
        CHECK(error_name(io::connect("localhost", "80").code()) == "!ECANCELED");
        CHECK(counted.calls() == 0);
    });
}

TEST_CASE("resolve: a look-up that takes too long is left alone, and ends by itself") {
    const slow_resolver slow;
    on_wires([] {
        auto lookup = spawn([] { return io::resolve("localhost", "80").code(); });
        slow_resolver::await_one();
        lookup.cancel();
        CHECK(error_name(lookup.join(soon()).value()) == "!ECANCELED");
        auto second = spawn([] { return io::resolve("localhost", "80", shortly()).error(); });
        CHECK(second.join(soon()).value().message() == "Connection timed out");
        slow_resolver::let_go();
        slow_resolver::let_go();
    });
}

TEST_CASE("resolve: one that waits for a helper at its deadline is never begun") {
    const slow_resolver slow;
    const auto queued = [] {
        auto first = spawn([] { return io::resolve("127.0.0.1", "80").code(); });
        slow_resolver::await_one();
        CHECK(error_name(io::resolve("127.0.0.1", "80", shortly()).code()) == "!ETIMEDOUT");
        slow_resolver::let_go();
        CHECK(first.join(soon()).value() == 0);
        slow_resolver::await_one();  // no other came
    };
    on_wires(queued, {.helpers = 1});
}

TEST_CASE("resolve: a runtime that ends waits for the look-ups that nobody wants any more") {
    const slow_resolver slow;
    on_wires([] {
        auto lookup = spawn([] { return io::resolve("127.0.0.1", "80").code(); });
        slow_resolver::await_one();
        lookup.cancel();
        CHECK(error_name(lookup.join(soon()).value()) == "!ECANCELED");
        go([] { slow_resolver::let_go(); });
    });
}

TEST_CASE("connect to a name: resolves it and connects") {
    on_wires([] {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        const std::string port = std::to_string(door.port());
        for (const char* host : {"127.0.0.1", "localhost"}) {
            CAPTURE(std::string(host));
            auto near = io::connect(host, port, soon()).value();
            auto far = door.accept(soon()).value();
            put(near, "x");
            CHECK(take(far) == "x");
        }
        const closed_port dead;
        const auto nobody = io::connect("127.0.0.1", std::to_string(dead.port()), soon());
        CHECK(error_name(nobody.code()) == "!ECONNREFUSED");
    });
}

// ---- Happy Eyeballs

TEST_CASE("connect any: the first address that answers is taken, one that refuses costs no time") {
    on_wires([] {
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        const closed_port four, six("::1");
        addresses to(20, four.address());
        to.push_back(six.address());
        to.push_back(at("127.0.0.1", door.port()));
        auto near = io::connect_any(to, within(4s)).value();  // 20 delays would be 5 s
        auto far = door.accept(soon()).value();
        put(near, "x");
        CHECK(take(far) == "x");
    });
}

TEST_CASE("connect any: one that does not answer is passed over, and closed in the end") {
    on_wires([] {
        const full_listener silent(at("127.0.0.1", 0));
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        const addresses to = {silent.where(), at("127.0.0.1", door.port())};
        const int before = open_descriptors();
        auto near = io::connect_any(to, soon()).value();
        CHECK(near.peer_address().value().port() == door.port());
        CHECK(open_descriptors() == before + 1);
    });
}

TEST_CASE("connect any: the families take turns, beginning with the first") {
    on_wires([] {
        const full_listener silent(at("127.0.0.1", 0));
        auto six = io::listen_tcp("::1", 0).value();
        auto four = io::listen_tcp("127.0.0.1", 0).value();
        const addresses to = {silent.where(), at("127.0.0.1", four.port()), at("::1", six.port())};
        auto near = io::connect_any(to, soon()).value();
        CHECK(near.peer_address().value().family() == AF_INET6);
    });
}

TEST_CASE("connect any: if none answers the first one's error is told") {
    on_wires([] {
        const closed_port dead;
        const addresses to = {dead.address(), io::address::local("/nonexistent/socket").value()};
        CHECK(error_name(io::connect_any(to, soon()).code()) == "!ECONNREFUSED");
        const addresses other_way = {to[1], to[0]};
        CHECK(error_name(io::connect_any(other_way, soon()).code()) == "!ENOENT");
        CHECK(error_name(io::connect_any({}, soon()).code()) == "!EINVAL");
    });
}

TEST_CASE("connect any: one deadline for all, and cancellation ends all") {
    on_wires([] {
        const full_listener silent(at("127.0.0.1", 0));
        const addresses to = {silent.where(), silent.where()};
        const int before = open_descriptors();
        CHECK(error_name(io::connect_any(to, within(300ms)).code()) == "!ETIMEDOUT");
        auto trying = spawn([&] { return io::connect_any(to).code(); });
        let_others_run();
        trying.cancel();
        CHECK(error_name(trying.join(soon()).value()) == "!ECANCELED");
        CHECK(open_descriptors() == before);
    });
}

}  // namespace
}  // namespace wire::test
