// Records that go from one user of an arena to another, by threads, wires and processes.
#include <wire/select.hpp>
#include <wire/shm/data_channel.hpp>

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <thread>

#include "support/arena.hpp"
#include "support/trace.hpp"

namespace wire::test {
namespace {

TEST_CASE("shm arena: a record is sent and received without being copied") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    CHECK(a.add_channel(7, role::producer));
    CHECK(b.add_channel(7, role::consumer));
    arena_record r = made(a, "hello");
    CHECK(a.send(7, r));
    CHECK(!r);
    CHECK(r.bytes().empty());
    auto got = b.recv(7, soon());
    REQUIRE(got);
    CHECK(text_of(*got) == "hello");
    CHECK(error_of(b.try_recv(7)) == "!EAGAIN");
    // Each has its own mapping of one memory.
    fill(*got, "HELLO");
    const std::span<std::byte> kept = got->release();
    CHECK(text_of(*b.adopt(kept)) == "HELLO");
}

TEST_CASE("shm arena: records arrive in order, and 512 of them wait") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    CHECK(a.add_channel(1, role::producer));
    CHECK(b.add_channel(1, role::consumer));
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 512; ++i) CHECK(sent(a, 1, std::to_string(i)) == "");
        arena_record more = made(a, "more");
        CHECK(error_of(a.try_send(1, more)) == "!EAGAIN");
        CHECK(error_of(a.send(1, more, shortly())) == "!ETIMEDOUT");
        CHECK(text_of(more) == "more");
        for (int i = 0; i < 512; ++i) CHECK(received(b, 1) == std::to_string(i));
        CHECK(error_of(b.try_recv(1)) == "!EAGAIN");
        CHECK(received(b, 1, shortly()) == "!ETIMEDOUT");
    }
}

TEST_CASE("shm arena: who has no such role neither sends nor receives") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    arena_record r = made(a, "r");
    CHECK(error_of(a.send(1, r)) == "!ENOENT");
    CHECK(received(a, 1) == "!ENOENT");
    CHECK(a.add_channel(1, role::producer));
    CHECK(b.add_channel(1, role::consumer));
    CHECK(received(a, 1) == "!ENOENT");
    arena_record of_b = made(b, "b");
    CHECK(error_of(b.send(1, of_b)) == "!ENOENT");
    CHECK(error_of(a.send(1, of_b)) == "!EINVAL");  // another user's
    arena_record none;
    CHECK(error_of(a.send(1, none)) == "!EINVAL");
    CHECK(error_of(a.allocate(1, 2)) == "!ENOENT");
    CHECK(error_of(b.allocate(1, 1)) == "!ENOENT");
    CHECK(a.allocate(1, 1));
}

TEST_CASE("shm arena: who waits for a record is told that the producer leaves") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name);
    CHECK(a.add_channel(1, role::consumer));
    std::jthread other([&] {
        arena b = arena::open(name);
        CHECK(b.add_channel(1, role::producer));
        CHECK(sent(b, 1, "last") == "");
    });
    CHECK(received(a, 1) == "last");
    CHECK(received(a, 1) == "!EPIPE");
}

TEST_CASE("shm arena: who waits for room is told that the consumer leaves") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    CHECK(a.add_channel(1, role::producer));
    CHECK(b.add_channel(1, role::consumer));
    for (int i = 0; i < 512; ++i) CHECK(sent(a, 1, "x") == "");
    std::jthread other([&] { CHECK(b.leave_channel(1)); });
    CHECK(sent(a, 1, "x", soon()) == "!EPIPE");
}

// A process takes part in channel 1, and dies in it.
void let_one_die_in(const std::string& name, role as) {
    CHECK(exit_code(in_child([&] {
              arena b = arena::open(name);
              ::_exit(b.add_channel(1, as) ? 0 : 1);
              return 1;
          })) == 0);
}
template <class F>
int asked_again_and_again(F ask) {
    int error = EAGAIN;
    for (int i = 0; i < 1000 && error == EAGAIN; ++i) error = ask();
    return error;
}

TEST_CASE("shm arena: who asks and never waits is told of a death, too") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name);
    CHECK(a.add_channel(1, role::producer));
    for (int i = 0; i < 512; ++i) CHECK(sent(a, 1, "in the queue") == "");
    arena_record more = made(a, "more");
    let_one_die_in(name, role::consumer);
    CHECK(asked_again_and_again([&] { return a.try_send(1, more).code(); }) == EPIPE);
    CHECK(a.leave_channel(1));
    CHECK(a.remove_channel(1));

    CHECK(a.add_channel(1, role::consumer));
    let_one_die_in(name, role::producer);
    CHECK(asked_again_and_again([&] { return a.try_recv(1).code(); }) == EPIPE);
    let_one_die_in(name, role::producer);
    on_wires([&] {
        int error = EAGAIN;
        const auto take = [&](result<arena_record> r) { error = r.code(); };
        CHECK(asked_again_and_again([&] {
                  CHECK(select(on_record(a, 1, take), otherwise([] {})));
                  return error;
              }) == EPIPE);
    });
}

TEST_CASE("shm arena: a flood between threads comes in order, by small queues and sleeping") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name);
    CHECK(a.add_channel(1, role::consumer));
    constexpr std::uint32_t records = 100'000;
    std::jthread other([&] {
        arena b = arena::open(name);
        CHECK(b.add_channel(1, role::producer));
        for (std::uint32_t i = 0; i < records; ++i) {
            auto r = b.allocate(1 + i % 100);
            if (!r) return;
            r->bytes()[0] = static_cast<std::byte>(i);
            if (!b.send(1, *r, soon())) return;
        }
    });
    std::uint32_t good = 0;
    for (std::uint32_t i = 0; i < records; ++i) {
        auto r = a.recv(1, soon());
        if (!r) break;
        good += r->bytes().size() == 1 + i % 100 && r->bytes()[0] == static_cast<std::byte>(i);
    }
    CHECK(good == records);
    CHECK(received(a, 1) == "!EPIPE");
}

TEST_CASE("shm arena: wires wait, and others of their thread run") {
    on_wires([] {
        const std::string name = arena::unique_name();
        arena a = arena::create(name), b = arena::open(name);
        auto later = spawn([&] {
            CHECK(sleep(shortly()));
            CHECK(a.add_channel(1, role::producer));
            CHECK(sleep(shortly()));
            CHECK(sent(a, 1, "x") == "");
        });
        CHECK(b.wait_for_channel(1, soon()));
        CHECK(b.add_channel(1, role::consumer));
        CHECK(received(b, 1) == "x");
        CHECK(received(b, 1, within(1ms)) == "!ETIMEDOUT");
        CHECK(later.join());
    });
}

TEST_CASE("shm arena: a wire that waits for room goes on when there is some") {
    on_wires([] {
        const std::string name = arena::unique_name();
        arena a = arena::create(name), b = arena::open(name);
        CHECK(a.add_channel(1, role::producer));
        CHECK(b.add_channel(1, role::consumer));
        auto other = spawn([&] {
            for (int i = 0; i < 2000; ++i) CHECK(sent(a, 1, "x", soon()) == "");
        });
        let_others_run();
        for (int i = 0; i < 2000; ++i) CHECK(received(b, 1) == "x");
        CHECK(other.join());
    });
}

TEST_CASE("shm arena: a wire that is cancelled no longer waits") {
    on_wires([] {
        arena a = arena::create(arena::unique_name());
        CHECK(a.add_channel(1, role::consumer));
        auto one = spawn([&] { CHECK(received(a, 1) == "!ECANCELED"); });
        auto two = spawn([&] { CHECK(error_of(a.wait_for_channel(2)) == "!ECANCELED"); });
        let_others_run();
        one.cancel();
        two.cancel();
        CHECK(one.join());
        CHECK(two.join());
    });
}

TEST_CASE("shm arena: several wires wait for channels, and one gives up") {
    on_wires([] {
        arena a = arena::create(arena::unique_name());
        auto first = spawn([&] { CHECK(a.wait_for_channel(1, soon())); });
        auto second = spawn([&] {
            const cancel_scope at_most(shortly());
            static_cast<void>(a.wait_for_channel(2));
            CHECK(at_most.expired());
        });
        CHECK(second.join());
        CHECK(a.add_channel(1, role::producer));
        CHECK(first.join());
    });
}

TEST_CASE("shm arena: a select takes what comes first, of several channels") {
    on_wires([] {
        const std::string name = arena::unique_name();
        arena a = arena::create(name), b = arena::open(name);
        for (const std::uint32_t id : {1U, 2U}) {
            CHECK(a.add_channel(id, role::producer));
            CHECK(b.add_channel(id, role::consumer));
        }
        trace log;
        auto other = spawn([&] {
            std::size_t n = 0;
            for (const std::uint32_t id : {2U, 1U, 1U}) {
                let_others_run();
                CHECK(sent(a, id, "to " + std::to_string(id)) == "");
                // On epoll a thread must run before it is heard.
                for (++n; log.size() < n;) yield();
            }
            let_others_run();
            CHECK(a.leave_channel(2));
        });
        const auto heard = [&](result<arena_record> r) {
            log.push_back(r ? text_of(*r) : error_name(r.code()));
        };
        for (int i = 0; i < 4; ++i)
            CHECK(select(on_record(b, 1, heard), on_record(b, 2, heard),
                         on_deadline(soon(), [&] { log.push_back("late"); })));
        CHECK(other.join());
        CHECK(log == trace{"to 2", "to 1", "to 1", "!EPIPE"});
        CHECK(
            select(on_record(b, 1, heard), on_deadline(shortly(), [&] { log.push_back("late"); })));
        CHECK(log.back() == "late");
        CHECK(select(on_record(b, 9, heard)));
        CHECK(log.back() == "!ENOENT");
    });
}

struct point {
    int x = 0, y = 0;
};
struct spot {
    int x = 0, y = 0;
};

TEST_CASE("shm arena: a channel of data carries one type and refuses others") {
    using shm::data_channel;
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    auto out = data_channel<point>::add(a, 1, role::producer);
    REQUIRE(out);
    CHECK(error_of(data_channel<spot>::add(b, 1, role::consumer)) == "!EMEDIUMTYPE");
    CHECK(error_of(data_channel<int>::add(b, 1, role::consumer)) == "!EMEDIUMTYPE");
    CHECK(error_of(b.add_channel(1, role::consumer)) == "!EMEDIUMTYPE");
    auto in = data_channel<point>::add(b, 1, role::consumer);
    REQUIRE(in);
    CHECK(out->send(point{1, 2}));
    auto p = out->make(3, 4);
    REQUIRE(p);
    (*p)->y = 5;
    CHECK(out->send(*p));
    CHECK(!*p);
    auto first = in->recv(soon()), second = in->recv(soon());
    REQUIRE((first && second));
    CHECK((**first).x == 1);
    CHECK((**second).y == 5);
    CHECK(error_of(in->try_recv()) == "!EAGAIN");
    CHECK(sent(a, 1, "no point") == "");
    CHECK(sent(a, 1, "short") == "");
    CHECK(in->recv(soon()));  // as long as one
    CHECK(error_of(in->recv(soon())) == "!EBADMSG");
    CHECK(out->leave());
    CHECK(error_of(in->recv(soon())) == "!EPIPE");
}

TEST_CASE("shm arena: what is sent is what a datum shows, also one that was moved to") {
    using shm::data_channel;
    const std::string name = arena::unique_name();
    arena a = arena::create(name), b = arena::open(name);
    auto out = data_channel<point>::add(a, 1, role::producer).value();
    auto in = data_channel<point>::add(b, 1, role::consumer).value();
    auto p = out.make(1, 1).value(), q = out.make(2, 2).value();
    p = std::move(q);
    CHECK(error_of(out.send(q)) == "!EINVAL");
    CHECK(p->x == 2);
    CHECK(out.send(p));
    CHECK(in.recv(soon()).value()->x == 2);
}

TEST_CASE("shm arena: requests and answers go between two processes, at other addresses") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name);
    CHECK(a.add_channel(1, role::producer));
    CHECK(a.add_channel(2, role::consumer));
    const pid_t child = in_child([&] {
        // Something else lies where the parent has the arena.
        void* const gap = ::mmap(nullptr, 64 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (gap == MAP_FAILED) return 1;
        arena b = arena::open(name);
        if (!b.add_channel(1, role::consumer) || !b.add_channel(2, role::producer)) return 2;
        for (auto r = b.recv(1, soon()); r; r = b.recv(1, soon())) {
            for (std::byte& one : r->bytes()) one ^= std::byte{1};
            if (!b.send(2, *r, soon())) return 3;
        }
        return 0;
    });
    for (const std::size_t n : {1UL, 100UL, 5'000UL, 200'000UL}) {
        auto r = a.allocate(n);
        REQUIRE(r);
        std::memset(r->bytes().data(), 'a', n);
        CHECK(a.send(1, *r, soon()));
        const bool same = received(a, 2) == std::string(n, 'a' ^ 1);
        CHECK(same);
    }
    CHECK(a.leave_channel(1));
    CHECK(exit_code(child) == 0);
}

TEST_CASE("shm arena: one of two wires that wait at the same end is a bug") {
    const std::string name = arena::unique_name();
    CHECK(dies(
        [&] {
            runtime rt;
            const io::reactor reactor(rt);
            rt.go([&] {
                arena a = arena::create(name);
                must(a.add_channel(1, role::consumer).has_value(), "a channel");
                auto one = spawn([&] { static_cast<void>(a.recv(1, soon())); });
                auto two = spawn([&] { static_cast<void>(a.recv(1, soon())); });
                static_cast<void>(one.join());
                static_cast<void>(two.join());
            });
            static_cast<void>(rt.run());
        },
        "two wires wait at the same end of a channel"));
    CHECK(arena::remove(name));
}

}  // namespace
}  // namespace wire::test
