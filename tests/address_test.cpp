// Addresses: from text, to text, and as the kernel wants them.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstddef>
#include <string>

#include <wire/address.hpp>

namespace {

using wire::io::address;
using namespace std::string_view_literals;

TEST_CASE("address: a numeric address and a port are told as text") {
    CHECK(address::ip("127.0.0.1", 80)->to_string() == "127.0.0.1:80");
    CHECK(address::ip("0.0.0.0", 0)->to_string() == "0.0.0.0:0");
    CHECK(address::ip("::1", 65535)->to_string() == "[::1]:65535");
    CHECK(address::ip("::ffff:1.2.3.4", 7)->to_string() == "[::ffff:1.2.3.4]:7");
}

TEST_CASE("address: family, port and raw form are what the kernel wants") {
    const auto v4 = address::ip("10.1.2.3", 4660).value();
    CHECK(v4.family() == AF_INET);
    CHECK(v4.port() == 4660);
    REQUIRE(v4.length() == sizeof(sockaddr_in));
    const auto* const raw = reinterpret_cast<const sockaddr_in*>(v4.raw());
    CHECK(raw->sin_port == htons(4660));
    CHECK(raw->sin_addr.s_addr == inet_addr("10.1.2.3"));

    const auto v6 = address::ip("::1", 9).value();
    CHECK(v6.family() == AF_INET6);
    CHECK(v6.port() == 9);
    CHECK(v6.length() == sizeof(sockaddr_in6));
}

TEST_CASE("address: an IPv6 zone is an interface's name") {
    const auto at = address::ip("fe80::1%lo", 80).value();
    const auto* const raw = reinterpret_cast<const sockaddr_in6*>(at.raw());
    CHECK(raw->sin6_scope_id == if_nametoindex("lo"));
    CHECK(address::ip("fe80::1%nosuchif", 80).code() == EINVAL);
    CHECK(address::ip("fe80::1%", 80).code() == EINVAL);
}

TEST_CASE("address: whatever is not numeric is refused with EINVAL") {
    for (const auto text : {""sv, "localhost"sv, "1.2.3"sv, "256.1.1.1"sv, " 127.0.0.1"sv, "::g"sv,
                            "127.0.0.1:80"sv, "[::1]"sv, "127.0.0.1\0.example.org"sv}) {
        CAPTURE(text);
        CHECK(address::ip(text, 80).code() == EINVAL);
    }
    CHECK(address::ip(std::string(1000, '1'), 80).code() == EINVAL);
}

TEST_CASE("address: a Unix path is told as it was given") {
    const auto at = address::local("/run/echo.sock").value();
    CHECK(at.family() == AF_UNIX);
    CHECK(at.port() == 0);
    CHECK(at.path() == "/run/echo.sock");
    CHECK(at.to_string() == "/run/echo.sock");
    CHECK(at.length() == offsetof(sockaddr_un, sun_path) + sizeof "/run/echo.sock");
}

TEST_CASE("address: a leading @ stands for the abstract namespace") {
    const auto at = address::local("@echo").value();
    CHECK(at.path() == "@echo");
    CHECK(at.to_string() == "@echo");
    CHECK(at.length() == offsetof(sockaddr_un, sun_path) + 5);
    CHECK(reinterpret_cast<const sockaddr_un*>(at.raw())->sun_path[0] == '\0');
}

TEST_CASE("address: a Unix path has 1 to 107 bytes and no zero") {
    CHECK(address::local(std::string(107, 'x')).has_value());
    CHECK(address::local(std::string(107, 'x'))->path() == std::string(107, 'x'));
    CHECK(address::local(std::string(108, 'x')).code() == ENAMETOOLONG);
    CHECK(address::local("").code() == EINVAL);
    CHECK(address::local("a\0b"sv).code() == EINVAL);
}

TEST_CASE("address: none, and an unnamed socket's, read as unnamed") {
    CHECK(address().to_string() == "unnamed");
    CHECK(address().path() == "");
    CHECK(address().port() == 0);
    sockaddr_un nameless{};
    nameless.sun_family = AF_UNIX;
    const auto at =
        address::from(reinterpret_cast<const sockaddr*>(&nameless), sizeof(sa_family_t));
    CHECK(at.to_string() == "unnamed");
}

TEST_CASE("address: from() keeps what the system said, and no more than fits") {
    const auto at = address::ip("192.0.2.1", 5).value();
    CHECK(address::from(at.raw(), at.length()).to_string() == "192.0.2.1:5");
    alignas(sockaddr_storage) std::byte huge[2 * sizeof(sockaddr_storage)]{};
    const auto cut = address::from(reinterpret_cast<const sockaddr*>(huge), sizeof huge);
    CHECK(cut.length() == sizeof(sockaddr_storage));
}

}  // namespace
