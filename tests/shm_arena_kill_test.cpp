// A user of an arena may be killed at any instruction of any call.
//
// A child makes one call, step by step, and is killed after the first, the second, the third ...
// instruction of it. Each time those who live on must receive all that it had sent, once and whole,
// and what it had not received; hear that it is gone; and find all its memory free.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "support/arena_kills.hpp"

namespace wire::test {
namespace {

void join(visitor& v) {
    v.join();
}
void join_and_hold_small(visitor& v) {
    v.join();
    v.hold(10);
}
void join_and_hold_large(visitor& v) {
    v.join();
    v.hold(10'000);
}
void keep(visitor&, result<arena_record>&& r) {
    if (r) static_cast<void>(r->release());
}

TEST_CASE("shm arena: a user is killed at any instruction of coming") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    CHECK(kill_everywhere({nullptr, [](visitor& v) { v.come(); }}, seen) == "");
    CHECK(seen.locked > 0);
}

TEST_CASE("shm arena: a user is killed at any instruction of taking part in channels") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    const auto come = [](visitor& v) { v.come(); };
    CHECK(kill_everywhere({come,
                           [](visitor& v) {
                               static_cast<void>(v.in->add_channel(from_child, role::producer));
                               static_cast<void>(v.in->add_channel(to_child, role::consumer));
                               static_cast<void>(v.in->add_channel(of_child_alone, role::producer));
                           }},
                          seen) == "");
    CHECK(seen.locked > 0);
}

TEST_CASE("shm arena: a user is killed at any instruction of leaving channels and the arena") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    const auto prepare = [](visitor& v) {
        v.join();
        v.hold(10);
        static_cast<void>(v.two.release());
        v.one = made(*v.in, small(5));
        must(v.in->send(from_child, v.one).has_value(), "there is room");
    };
    CHECK(kill_everywhere({prepare,
                           [](visitor& v) {
                               static_cast<void>(v.in->leave_channel(to_child));
                               v.in.reset();
                           },
                           {small(5)}},
                          seen) == "");
    CHECK(seen.locked > 0);
}

TEST_CASE("shm arena: a user is killed at any instruction of leaving, and a child of it lives on") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    void* const shared =
        ::mmap(nullptr, sizeof(pid_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    pid_t& child = *static_cast<pid_t*>(shared);
    std::string file;
    const auto prepare = [&](visitor& v) {
        v.come();
        const pid_t forked = ::fork();
        while (forked == 0) ::pause();
        child = forked;
    };
    const auto remember = [&](const std::string& name) { file = "/dev/shm" + name; };
    const auto end_child = [&](arena&) {
        const int fd = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
        const bool is_free = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
        ::close(fd);
        ::kill(child, SIGKILL);
        return std::string(is_free ? "" : "the lock of the file is held");
    };
    CHECK(kill_everywhere({.prepare = prepare,
                           .call = [](visitor& v) { v.in.reset(); },
                           .before = remember,
                           .after = end_child},
                          seen) == "");
    CHECK(seen.locked > 0);
    ::munmap(shared, sizeof(pid_t));
}

TEST_CASE("shm arena: a user is killed at any instruction of allocating from its slab") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    const auto call = [](visitor& v) {
        for (int i = 0; i < 2; ++i) keep(v, v.in->allocate(10));
    };
    CHECK(kill_everywhere({.prepare = join_and_hold_small, .call = call, .needs_no_lock = true},
                          seen) == "");
    CHECK(seen.locked == 0);
}

TEST_CASE("shm arena: a user is killed at any instruction of taking pages for slabs and records") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    const auto call = [](visitor& v) {
        for (const std::size_t n : {10U, 10U, 1500U, 9000U}) keep(v, v.in->allocate(n));
    };
    CHECK(kill_everywhere({join, call}, seen) == "");
    CHECK(seen.locked > 0);
}

TEST_CASE("shm arena: a user is killed at any instruction of freeing") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    const auto call = [](visitor& v) {
        static_cast<void>(v.in->free(std::move(v.one)));
        static_cast<void>(v.in->free(std::move(v.two)));
    };
    CHECK(kill_everywhere({.prepare = join_and_hold_small, .call = call, .needs_no_lock = true},
                          seen) == "");
    CHECK(seen.locked == 0);
    CHECK(kill_everywhere({join_and_hold_large, call}, seen) == "");
    CHECK(seen.locked > 0);
}

// Two records, one small and one large.
void hold_to_send(visitor& v) {
    v.join();
    v.one = made(*v.in, small(5));
    v.two = made(*v.in, large(6));
}
void send_both(visitor& v) {
    static_cast<void>(v.in->try_send(from_child, v.one));
    static_cast<void>(v.in->try_send(from_child, v.two));
}

TEST_CASE("shm arena: a producer is killed at any instruction of sending") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    CHECK(kill_everywhere({.prepare = hold_to_send,
                           .call = send_both,
                           .sends = {small(5), large(6)},
                           .needs_no_lock = true},
                          seen) == "");
    CHECK(seen.none_sent > 0);
    CHECK(seen.sent > 0);
    CHECK(seen.locked == 0);
}

TEST_CASE("shm arena: a producer is killed at any instruction of waking the consumer") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    CHECK(kill_everywhere({.prepare = hold_to_send,
                           .call = send_both,
                           .sends = {small(5), large(6)},
                           .sleeping = true},
                          seen) == "");
    CHECK(seen.none_sent > 0);
    CHECK(seen.sent > 0);
}

TEST_CASE("shm arena: a consumer is killed at any instruction of receiving") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    const auto call = [](visitor& v) {
        for (int i = 0; i < 3; ++i) keep(v, v.in->try_recv(to_child));
    };
    CHECK(kill_everywhere({.prepare = join, .call = call, .needs_no_lock = true}, seen) == "");
    CHECK(seen.received > 0);
    CHECK(seen.received < seen.rounds);
    CHECK(seen.locked == 0);
}

TEST_CASE("shm arena: a user is killed at any instruction of removing a channel") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    const auto prepare = [](visitor& v) {
        v.join();
        must(v.in->add_channel(of_child_alone, role::producer).has_value(), "a channel");
        for (const std::string& text : {small(1), large(2), small(3)})
            must(sent(*v.in, of_child_alone, text) == "", "there is room");
    };
    const auto call = [](visitor& v) {
        static_cast<void>(v.in->remove_channel(of_child_alone));
        static_cast<void>(v.in->leave_channel(of_child_alone));
    };
    // Unless it had removed it the records are still to be delivered.
    const auto after = [](arena& a) {
        if (a.has_data(of_child_alone)) {
            if (!a.add_channel(of_child_alone, role::consumer)) return std::string("no consumer");
            for (const std::string& text : {small(1), large(2), small(3)})
                if (received(a, of_child_alone) != text) return std::string("a record is lost");
            if (!a.leave_channel(of_child_alone)) return std::string("it cannot leave");
        }
        return std::string();
    };
    CHECK(kill_everywhere({.prepare = prepare, .call = call, .after = after}, seen) == "");
    CHECK(seen.locked > 0);
}

// Somebody dies with small and large records, in its hands and in flight.
void leave_one_dead(const std::string& name) {
    exit_code(in_child([&] {
        visitor v{.name = name};
        v.come();
        must(v.in->add_channel(of_child_alone, role::producer).has_value(), "a channel");
        v.hold(10);
        static_cast<void>(v.one.release());
        v.hold(9000);
        must(v.in->send(of_child_alone, v.one).has_value(), "there is room");
        must(v.in->send(of_child_alone, v.two).has_value(), "there is room");
        return ::raise(SIGKILL);
    }));
}

TEST_CASE("shm arena: who clears away the dead is killed at any instruction of it") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    const auto call = [](visitor& v) {
        static_cast<void>(v.in->has_producers(of_child_alone));
        static_cast<void>(v.in->remove_channel(of_child_alone));
    };
    const auto after = [](arena& a) {
        static_cast<void>(a.has_channel(of_child_alone));
        static_cast<void>(a.remove_channel(of_child_alone));
        return std::string();
    };
    CHECK(kill_everywhere({.prepare = join, .call = call, .before = leave_one_dead, .after = after},
                          seen) == "");
    CHECK(seen.locked > 0);
}

TEST_CASE("shm arena: a user is killed at any instruction of finding memory that is left") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    const auto prepare = [](visitor& v) {
        v.join();
        for (int i = 0; i < 10; ++i) v.one = *v.in->allocate(1 + 40 * static_cast<std::size_t>(i));
        v.one = {};
    };
    const auto call = [](visitor& v) { keep(v, v.in->allocate(60'000)); };
    const auto after = [](arena& a) {
        static_cast<void>(a.remove_channel(of_child_alone));
        return std::string();
    };
    CHECK(kill_everywhere(
              {.prepare = prepare, .call = call, .before = leave_one_dead, .after = after}, seen) ==
          "");
    CHECK(seen.locked > 0);
}

TEST_CASE("shm arena: a segment is whole, whenever who initialises it is killed") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    constexpr std::size_t size = 5000;
    const std::string name = arena::unique_name();
    const auto write = [](std::span<std::byte> bytes) {
        bytes.front() = bytes.back() = std::byte{1};
    };
    const auto add = [&] {
        visitor v{.name = name};
        v.come();
        mark();
        static_cast<void>(v.in->add_segment(1, size, write));
        mark();
    };
    int initialised = 0, found = 0;
    const auto kill_one = [&](const std::function<void(stepped_child&)>& go) {
        arena a = arena::create(name, {.size = heap_bytes});
        const arena_memory memory(name);
        {
            stepped_child child(add);
            if (!child.at_mark()) return false;
            go(child);
        }
        int mine = 0;
        const auto initialise = [&](std::span<std::byte> bytes) {
            ++mine;
            // Of what was half written nothing is left.
            CHECK(std::ranges::count(bytes, std::byte{0}) == size);
            write(bytes);
        };
        const auto s = a.add_segment(1, size, initialise, soon());
        (mine == 0 ? found : initialised) += 1;
        const std::size_t rest = heap_bytes - 8192 - record_overhead;
        return s && s->front() == std::byte{1} && s->back() == std::byte{1} &&
               longest_free(a, heap_bytes) == rest && !memory.is_locked();
    };
    course c;
    std::vector<std::uint64_t> all;
    CHECK(kill_one([&](stepped_child& child) {
        arena_memory memory(name);
        moments when(memory);
        when.learn(child);
        c = when.of_child();
        all = when.all();
    }));
    for (const std::uint64_t n : all)
        CHECK(kill_one([&](stepped_child& child) { child.go(c, n); }));
    CHECK(initialised > 0);
    CHECK(found > 0);
}

TEST_CASE("shm arena: nothing is left of one that was killed at any instruction of creating") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    const std::string name = arena::unique_name();
    const auto create = [&] {
        mark();
        arena a = arena::create(name, {.size = 4096, .channels = 1});
        mark();
    };
    course c;
    {
        stepped_child child(create);
        REQUIRE(child.at_mark());
        c = child.learn_course([] {});
    }
    int made = 0, again = 0;
    // Nobody sees it before it has a name, which is a system call.
    std::vector<std::uint64_t> ends = interleave::explores_long() ? c.ends() : c.calls;
    ends.insert(ends.end(), {0, c.steps});
    for (const std::uint64_t n : ends) {
        {
            stepped_child child(create);
            REQUIRE(child.at_mark());
            child.go(c, n);
        }
        const bool is_made = ::access(("/dev/shm" + name).c_str(), F_OK) == 0;
        made += is_made;
        arena a = n % 2 == 0 ? arena::create(name) : arena::open_or_create(name);
        again += a.allocate(100'000).has_value();  // not the child's
    }
    CHECK(made > 0);
    CHECK(again == static_cast<int>(ends.size()));
    CHECK(refusal_of([&] { arena::open(name); }) == "!ENOENT");
}

// Two defects that must be found: a queue that is advanced before the record is in it ...
void send_hastily(const arena_memory& memory, std::uint64_t offset) {
    auto& c = memory.channel(from_child);
    const auto n = static_cast<std::uint32_t>(&c - &memory.map().channel(0));
    const std::uint64_t at = c.producer.at;
    c.producer.at = at + 1;
    memory.map().queue(n)[at % shm::detail::queue_size] = offset;
    shm::detail::basic_block<shm::detail::arena_sync>::of(memory.map().heap() + offset)
        .set(shm::detail::block_word::in_channel(n), small(5).size());
}
// ... and pages that are taken before it is told whose they are.
void take_pages_hastily(visitor& v) {
    using shm::detail::page_word;
    const arena_memory memory(v.name);
    auto& last = memory.map().page_at(memory.map().geometry.pages - 1);
    last = page_word::make(page_word::segment, 0, 0, 1);
    last = page_word::make(page_word::run, 0, 0, 1);
}

TEST_CASE("shm arena: a producer that advances the queue too early is found out") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    std::optional<arena_memory> memory;
    std::uint64_t offset = 0;
    const auto prepare = [&](visitor& v) {
        hold_to_send(v);
        memory.emplace(v.name);
        offset = memory->find(v.one.bytes()).value();
    };
    const auto call = [&](visitor&) { send_hastily(*memory, offset); };
    const std::string wrong = kill_everywhere({prepare, call, {small(5)}}, seen);
    CHECK(wrong.find("heard ") == 0);
}

TEST_CASE("shm arena: a user that takes pages too early is found out") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    arena_marks seen;
    const std::string wrong = kill_everywhere({join, take_pages_hastily}, seen);
    CHECK(wrong.find("only ") == 0);
}

}  // namespace
}  // namespace wire::test
