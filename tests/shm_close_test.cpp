// The end of a ring in shared memory: closed, removed, misused; and peers that want to keep others
// asleep.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include <wire/select.hpp>
#include <wire/shm/detail/attach.hpp>
#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>
#include <wire/shm/sender.hpp>
#include "support/dies.hpp"
#include "support/io.hpp"
#include "support/ring_file.hpp"

namespace wire::test {
namespace {

using namespace std::chrono_literals;
using shm::producer;
using shm::ring;

constexpr shm::ring_options small{.producers = 2, .lane_bytes = 4096};
constexpr std::array<std::byte, 24> record{};

TEST_CASE("shm ring: once it is closed producers are refused, and what is committed is received") {
    const ring_file file(small);
    ring r = ring::open_file(file.path());
    producer p;
    REQUIRE(!p.attach_file(file.path().c_str()));
    std::span<std::byte> claimed;
    REQUIRE(p.try_send(record) == 0);
    REQUIRE(p.try_claim(8, claimed) == 0);
    r.close();
    CHECK(p.try_send(record) == EPIPE);
    CHECK(p.send(record) == EPIPE);
    CHECK(refusal_of_producer(file.path()) == EPIPE);

    CHECK(r.try_peek()->bytes.size() == record.size());
    r.release();
    CHECK(r.try_peek().code() == EPIPE);
    CHECK(r.peek().code() == EPIPE);
    // What was claimed before is no loss, if one goes on.
    CHECK(r.producers() == 1);
    p.commit(8);
    p.detach();
    CHECK(r.peek()->bytes.size() == 8);
    r.release();
    CHECK(r.peek().code() == EPIPE);
    CHECK(r.producers() == 0);
}

TEST_CASE("shm ring: who opens it may have it removed at the end") {
    const ring_file file(small);
    { const ring keeps = ring::open_file(file.path()); }
    CHECK(::access(file.path().c_str(), F_OK) == 0);
    {
        ring removes = ring::open_file(file.path());
        removes.remove_at_end();
        CHECK(::access(file.path().c_str(), F_OK) == 0);
    }
    CHECK(::access(file.path().c_str(), F_OK) != 0);
    ring nameless = ring::create_anonymous(small);
    nameless.remove_at_end();
}

TEST_CASE("shm ring: with its name a ring ends for its producers, too") {
    const ring_file file(small);
    producer p;
    {
        const ring r = ring::open_file(file.path());
        REQUIRE(!p.attach_file(file.path().c_str()));
    }
    while (p.try_send(record) == 0) {
    }
    CHECK(p.try_send(record) == EAGAIN);  // another consumer may come
    int error = 0;
    std::thread waits;
    {
        ring r = ring::open_file(file.path());
        r.remove_at_end();
        waits = std::thread([&] { error = p.send(record, within(20s)); });
    }
    waits.join();
    CHECK(error == EPIPE);
    CHECK(p.try_send(record) == EPIPE);
}

TEST_CASE("shm ring: a name that is another ring's by now is not removed") {
    const ring_file file;
    auto first = std::optional(ring::create_file(file.path(), small));
    CHECK(::unlink(file.path().c_str()) == 0);
    ring second = ring::create_file(file.path(), {.producers = 2, .remove = false});
    first.reset();
    CHECK(refusal_of_producer(file.path()) == 0);
    const std::string name = "/wire-close-" + std::to_string(::getpid());
    first = ring::create(name, small);
    CHECK(::shm_unlink(name.c_str()) == 0);
    second = ring::create(name, small);
    first.reset();
    CHECK(!producer().attach(name.c_str()));
    second = ring::create_anonymous();
    CHECK(producer().attach(name.c_str()).error == ENOENT);
}

TEST_CASE("shm ring: its name is removed also by who has no descriptors left") {
    const ring_file file;
    const std::string name = "/wire-close-" + std::to_string(::getpid());
    CHECK(in_child([&] {
              auto r = std::optional(ring::create_file(file.path(), small));
              auto named = std::optional(ring::create(name, small));
              rlimit none{};
              if (::getrlimit(RLIMIT_NOFILE, &none) != 0) return 1;
              none.rlim_cur = 0;
              if (::setrlimit(RLIMIT_NOFILE, &none) != 0) return 1;
              r.reset();
              named.reset();
              return 0;
          }) == 0);
    CHECK(::access(file.path().c_str(), F_OK) != 0);
    CHECK(producer().attach(name.c_str()).error == ENOENT);
}

TEST_CASE("shm ring: a sender that has slept may become another") {
    ring full = ring::create_anonymous(small), other = ring::create_anonymous(small);
    on_wires([&] {
        auto s = shm::sender::attach_descriptor(::dup(full.descriptor()));
        while (s.try_send(record)) {
        }
        CHECK(s.send(record, within(1ms)).code() == ETIMEDOUT);
        s = shm::sender::attach_descriptor(::dup(other.descriptor()));
        CHECK(full.producers() == 0);
        CHECK(s.send(record));
        CHECK(other.peek()->bytes.size() == record.size());
    });
}

TEST_CASE("shm ring: a commit of more than was claimed is a bug of the caller's") {
    const auto misused = [](auto commit) {
        const ring_file file(small);
        return dies(
            [&] {
                producer p;
                std::span<std::byte> bytes;
                if (p.attach_file(file.path().c_str()) || p.try_claim(8, bytes)) return;
                commit(p);
            },
            "commit() of more than was claimed, or of nothing");
    };
    CHECK(misused([](producer& p) { p.commit(9); }));
    CHECK(misused([](producer& p) { p.commit(0); }));
    CHECK(misused([](producer& p) {
        p.commit(8);
        p.commit(8);
    }));
    CHECK(misused([](producer& p) {
        p.abort();
        p.commit(8);
    }));
    CHECK(!misused([](producer& p) { p.commit(1); }));
}

TEST_CASE("shm ring: to wait for a ring twice at once is a bug of the caller's") {
    CHECK(dies(
        [] {
            ring r = ring::create_anonymous(small);
            on_wires([&] {
                const auto ignore = [](const result<shm::record>&) {};
                static_cast<void>(
                    select(on_record(r, ignore), on_record(r, ignore), on_deadline(within(10s))));
            });
        },
        "a ring or a sender is waited for twice at once"));
}

// A hostile process says that a sleeper is awake, so nobody rings for it: a record is there, or
// room, and the sleeper has not been told.
using bell = shm::detail::basic_doorbell<shm::detail::system_sync>;
void silence(bell& b) {
    while (!b.sleeps()) std::this_thread::yield();
    b.reset(true);
}

TEST_CASE("shm ring: nobody is kept asleep by who says that it is awake") {
    const ring_file file(small);
    ring r = ring::open_file(file.path());
    shm::detail::attached_ring seen;
    REQUIRE(!shm::detail::attach_to_path(file.path().c_str(), seen));
    producer p;
    REQUIRE(!p.attach_file(file.path().c_str()));
    const std::jthread hostile([&] {
        for (int i = 0; i < 3; ++i) {
            silence(seen.map.header().records);
            CHECK(p.try_send(record) == 0);
        }
    });
    const auto receive = [&] {
        CHECK(r.peek(within(60s)));
        r.release();
    };
    receive();
    on_wires([&] { receive(); });
    on_wires([&] {
        const auto chosen =
            select(on_record(r, [&](const auto& got) { CHECK(got); }),
                   on_deadline(within(60s), [] { FAIL_CHECK("nothing has come"); }));
        CHECK(chosen.value_or(9) == 0);
        r.release();
    });
}

TEST_CASE("shm ring: no producer is kept asleep by who says that it is awake") {
    const ring_file file(small);
    ring r = ring::open_file(file.path());
    shm::detail::attached_ring seen;
    REQUIRE(!shm::detail::attach_to_path(file.path().c_str(), seen));
    producer p;
    REQUIRE(!p.attach_file(file.path().c_str()));
    while (p.try_send(record) == 0) {
    }
    const std::jthread hostile([&] {
        silence(seen.map.lane(0).room);
        CHECK(r.try_peek());
        r.release();
    });
    CHECK(p.send(record, within(60s)) == 0);
}

}  // namespace
}  // namespace wire::test
