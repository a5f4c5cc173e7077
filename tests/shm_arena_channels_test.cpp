// Who takes part in the channels of an arena, and what becomes of their records.
#include <wire/shm/arena.hpp>

#include <doctest/doctest.h>

#include <thread>

#include "support/arena.hpp"

namespace wire::test {
namespace {

using ids = std::vector<std::uint32_t>;

TEST_CASE("shm arena channels: a role is one user's") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name), c = arena::open(name);
    CHECK(a.add_channel(1, role::producer));
    CHECK(error_of(a.add_channel(1, role::consumer)) == "!EALREADY");
    CHECK(error_of(b.add_channel(1, role::producer)) == "!EBUSY");
    CHECK(b.add_channel(1, role::consumer));
    CHECK(error_of(c.add_channel(1, role::consumer)) == "!EBUSY");
    CHECK(a.leave_channel(1));
    CHECK(error_of(a.leave_channel(1)) == "!ENOENT");
    CHECK(c.add_channel(1, role::producer));
    CHECK(sent(c, 1, "of another") == "");
    CHECK(received(b, 1) == "of another");
}

TEST_CASE("shm arena channels: a channel is of one type") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    CHECK(a.add_channel(1, role::producer, 5));
    CHECK(error_of(b.add_channel(1, role::consumer)) == "!EMEDIUMTYPE");
    CHECK(error_of(b.add_channel(1, role::consumer, 6)) == "!EMEDIUMTYPE");
    CHECK(b.add_channel(1, role::consumer, 5));
}

TEST_CASE("shm arena channels: what is asked about them") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    CHECK(!a.has_channel(1));
    CHECK(!a.has_data(1));
    CHECK(!a.has_producers(1));
    CHECK(!a.has_active_channels());
    CHECK(b.add_channel(1, role::consumer));
    CHECK(b.add_channel(4'000'000'000, role::consumer));
    CHECK(a.channels() == ids{1, 4'000'000'000});
    CHECK(a.has_channel(1));
    CHECK(!a.has_producers(1));
    CHECK(!a.has_active_channels());
    CHECK(a.add_channel(1, role::producer));
    CHECK(b.has_producers(1));
    CHECK(b.has_active_channels());
    CHECK(!b.has_data(1));
    CHECK(sent(a, 1, "x") == "");
    CHECK(b.has_data(1));
    CHECK(a.leave_channel(1));
    CHECK(!b.has_producers(1));
    CHECK(b.has_active_channels());
    CHECK(received(b, 1) == "x");
    CHECK(!b.has_active_channels());
}

TEST_CASE("shm arena channels: what a producer has sent before it left is delivered") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name);
    {
        arena b = arena::open(name);
        CHECK(b.add_channel(1, role::producer));
        CHECK(sent(b, 1, "late") == "");
        CHECK(sent(b, 1, std::string(10'000, 'x')) == "");
    }
    CHECK(a.has_data(1));
    CHECK(!a.has_producers(1));
    CHECK(a.add_channel(1, role::consumer));
    CHECK(received(a, 1) == "late");
    CHECK(received(a, 1) == std::string(10'000, 'x'));
    CHECK(received(a, 1) == "!EPIPE");
}

TEST_CASE("shm arena channels: the next consumer goes on where one has left") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name);
    CHECK(a.add_channel(1, role::producer));
    for (const char* text : {"one", "two", "three"}) CHECK(sent(a, 1, text) == "");
    for (const char* text : {"one", "two", "three"}) {
        arena b = arena::open(name);
        CHECK(b.add_channel(1, role::consumer));
        CHECK(received(b, 1) == text);
    }
}

TEST_CASE("shm arena channels: one that nobody uses and that is empty is no more") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name, {.channels = 1});
    for (int i = 0; i < 3; ++i) {
        CHECK(a.add_channel(1, role::producer, 5));
        CHECK(error_of(a.add_channel(2, role::producer)) == "!EUSERS");
        CHECK(a.leave_channel(1));
        CHECK(!a.has_channel(1));
        CHECK(a.add_channel(2, role::consumer));
        CHECK(a.leave_channel(2));
    }
}

TEST_CASE("shm arena channels: one that is removed is gone at once, its users go on") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name), c = arena::open(name);
    CHECK(error_of(a.remove_channel(1)) == "!ENOENT");
    CHECK(a.add_channel(1, role::producer));
    CHECK(b.add_channel(1, role::consumer));
    CHECK(sent(a, 1, "before") == "");
    CHECK(c.remove_channel(1));
    CHECK(!c.has_channel(1));
    CHECK(c.channels().empty());
    CHECK(error_of(c.remove_channel(1)) == "!ENOENT");
    CHECK(sent(a, 1, "after") == "");
    // Its number is free for another.
    arena d = arena::open(name);
    CHECK(c.add_channel(1, role::producer, 77));
    CHECK(d.add_channel(1, role::consumer, 77));
    CHECK(sent(c, 1, "in the other") == "");
    CHECK(received(d, 1) == "in the other");
    CHECK(received(b, 1) == "before");
    CHECK(received(b, 1) == "after");
    CHECK(a.leave_channel(1));
    CHECK(received(b, 1) == "!EPIPE");
}

TEST_CASE("shm arena channels: in one that is removed nobody waits for who has not come") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    CHECK(a.add_channel(1, role::consumer));
    CHECK(error_of(a.try_recv(1)) == "!EAGAIN");
    CHECK(b.remove_channel(1));
    CHECK(error_of(a.try_recv(1)) == "!EPIPE");
    CHECK(received(a, 1) == "!EPIPE");

    CHECK(a.add_channel(2, role::producer));
    for (int i = 0; i < 512; ++i) CHECK(sent(a, 2, "in the queue") == "");
    arena_record more = made(a, "more");
    CHECK(error_of(a.try_send(2, more)) == "!EAGAIN");
    CHECK(b.remove_channel(2));
    CHECK(error_of(a.try_send(2, more)) == "!EPIPE");
    CHECK(error_of(a.send(2, more, soon())) == "!EPIPE");
}

TEST_CASE("shm arena channels: the last user of a removed one frees its records") {
    constexpr std::size_t heap = 64 * 1024;
    const std::string name = arena::unique_name();
    arena a = arena::create(name, {.size = heap});
    for (int round = 0; round < 3; ++round) {
        {
            arena b = arena::open(name);
            CHECK(b.add_channel(1, role::producer));
            for (int i = 0; i < 100; ++i) CHECK(sent(b, 1, "small") == "");
            CHECK(sent(b, 1, std::string(20'000, 'x')) == "");
            CHECK(a.remove_channel(1));
            CHECK(longest_free(a, heap) < heap - 20'000);
        }
        CHECK(longest_free(a, heap) == heap - record_overhead);
    }
}

TEST_CASE("shm arena channels: who waits for one is told when somebody adds it") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name);
    CHECK(error_of(a.wait_for_channel(1, shortly())) == "!ETIMEDOUT");
    std::jthread other([&] {
        arena b = arena::open(name);
        CHECK(b.add_channel(2, role::producer));
        CHECK(b.add_channel(1, role::producer));
        CHECK(sent(b, 1, "x") == "");
    });
    CHECK(a.wait_for_channel(1, soon()));
    CHECK(a.add_channel(1, role::consumer));
    CHECK(received(a, 1) == "x");
}

TEST_CASE("shm arena channels: a handle that ends leaves all its channels") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name);
    {
        arena b = arena::open(name);
        for (std::uint32_t id = 0; id < 10; ++id) CHECK(b.add_channel(id, role::producer));
        CHECK(a.channels().size() == 10);
    }
    CHECK(a.channels().empty());
    CHECK(a.add_channel(3, role::producer));
}

TEST_CASE("shm arena channels: as many as were asked for, and each with 512 records") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name, {.channels = 100}), b = arena::open(name);
    for (std::uint32_t id = 0; id < 100; ++id) {
        CHECK(a.add_channel(id, role::producer));
        CHECK(b.add_channel(id, role::consumer));
    }
    CHECK(error_of(a.add_channel(100, role::producer)) == "!EUSERS");
    CHECK(sent(a, 0, "first") == "");
    for (int i = 0; i < 512; ++i) CHECK(sent(a, 99, std::to_string(i)) == "");
    CHECK(received(b, 0) == "first");
    for (int i = 0; i < 512; ++i) CHECK(received(b, 99) == std::to_string(i));
}

}  // namespace
}  // namespace wire::test
