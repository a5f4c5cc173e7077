// How arenas come and go: names, the first comers, the last ones, and what is no arena.
#include <wire/shm/arena.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "support/arena.hpp"
#include "support/arena_moments.hpp"
#include "support/few_descriptors.hpp"

namespace wire::test {
namespace {

bool is_there(const std::string& name) {
    const int fd = ::shm_open(name.c_str(), O_RDONLY, 0);
    if (fd >= 0) ::close(fd);
    return fd >= 0;
}

TEST_CASE("shm arena open: what exists is opened, what does not is made") {
    const std::string name = arena::unique_name();
    CHECK(refusal_of([&] { arena::open(name); }) == "!ENOENT");
    CHECK(!is_there(name));
    arena a = arena::open_or_create(name, {.size = 8192});
    CHECK(refusal_of([&] { arena::create(name); }) == "!EEXIST");
    arena b = arena::open_or_create(name, {.size = 1 << 20});
    CHECK(b.allocate(8192 - record_overhead));
    CHECK(error_of(b.allocate(8192)) == "!ENOMEM");  // it is the first one's
}

TEST_CASE("shm arena open: the last user removes it, also of several") {
    const std::string name = arena::unique_name();
    {
        arena a = arena::create(name);
        { arena b = arena::open(name); }
        CHECK(is_there(name));
        arena c = arena::open(name);
        arena d = std::move(a);
    }
    CHECK(!is_there(name));
}

TEST_CASE("shm arena open: one that is kept stays with all that is in it, until it is removed") {
    const std::string name = arena::unique_name();
    {
        arena a = arena::create(name, {.keep = true});
        CHECK(a.add_channel(1, role::producer));
        CHECK(sent(a, 1, "for later") == "");
    }
    {
        arena a = arena::open(name);
        CHECK(a.add_channel(1, role::consumer));
        CHECK(received(a, 1) == "for later");
        CHECK(arena::remove(name));
        CHECK(error_of(arena::remove(name)) == "!ENOENT");
        CHECK(a.allocate(100));
        arena b = arena::create(name);  // another one
        CHECK(!b.has_channel(1));
    }
    CHECK(!is_there(name));
}

TEST_CASE("shm arena open: a forked child's copy of a user waits for no thread of its parent") {
    const std::string name = arena::unique_name();
    arena a = arena::create(name);
    CHECK(a.add_channel(1, role::consumer));
    const pid_t other = in_child([&] {
        arena b = arena::open(name);
        return b.add_channel(1, role::producer) ? ::pause() : 1;
    });
    while (!a.has_producers(1)) std::this_thread::yield();
    CHECK(a.recv(1, within(1ms)).code() == ETIMEDOUT);  // watches it, on a thread
    CHECK(exit_code(in_child([&] {
              ::alarm(20);
              { const arena copy = std::move(a); }
              return 0;
          })) == 0);
    CHECK(a.has_producers(1));
    ::kill(other, SIGKILL);
    exit_code(other);
    CHECK(a.recv(1, soon()).code() == EPIPE);
}

TEST_CASE("shm arena open: a forked child's copies of records free nothing of its parent's") {
    arena a = arena::create(arena::unique_name());
    arena_record r = made(a, "mine"), another = made(a, "another");
    CHECK(exit_code(in_child([&] {
              { const arena_record copy = std::move(r); }
              another = {};
              return 0;
          })) == 0);
    CHECK(text_of(r) == "mine");
    CHECK(a.free(std::move(r)));
}

TEST_CASE("shm arena open: one whose users have all died is no more") {
    const std::string name = arena::unique_name();
    const auto die_in_it = [&] {
        exit_code(in_child([&] {
            arena a = arena::create(name);
            static_cast<void>(a.add_channel(1, role::producer));
            return ::raise(SIGKILL);
        }));
    };
    die_in_it();
    CHECK(is_there(name));
    CHECK(refusal_of([&] { arena::open(name); }) == "!ENOENT");
    CHECK(!is_there(name));
    die_in_it();
    arena a = arena::create(name);
    CHECK(!a.has_channel(1));
}

TEST_CASE("shm arena open: of one that is kept the dead are cleared away") {
    const std::string name = arena::unique_name();
    exit_code(in_child([&] {
        arena a = arena::create(name, {.size = 65536, .keep = true});
        if (a.add_channel(1, role::producer)) static_cast<void>(sent(a, 1, "sent"));
        static_cast<void>(a.allocate(30'000)->release());
        return ::raise(SIGKILL);
    }));
    arena a = arena::open(name);
    CHECK(a.add_channel(1, role::consumer));
    CHECK(received(a, 1) == "sent");
    CHECK(received(a, 1) == "!EPIPE");
    CHECK(a.allocate(60'000));
    CHECK(arena::remove(name));
}

TEST_CASE("shm arena open: a thousand processes that begin together find the same one") {
    // valgrind takes minutes for so many where the machine is busy.
    const std::uint32_t many = under_valgrind() ? 100 : 1000;
    const std::string name = arena::unique_name();
    const shm::arena_options options{.size = 8 << 20, .channels = 1000};
    int go[2], done[2];
    REQUIRE(::pipe(go) == 0);
    REQUIRE(::pipe(done) == 0);
    std::vector<pid_t> all;
    for (std::uint32_t i = 0; i < many; ++i)
        all.push_back(in_child([&] {
            char c;
            ::close(go[1]);
            ::close(done[1]);
            static_cast<void>(!::read(go[0], &c, 1));
            arena a = arena::open_or_create(name, options);
            const bool good = a.add_channel(i, role::producer) && sent(a, i, "x") == "";
            // Nobody leaves before all have come.
            static_cast<void>(!::read(done[0], &c, 1));
            return good ? 0 : 1;
        }));
    ::close(go[1]);
    arena a = arena::open_or_create(name, options);
    // Any of them may be the last that gets a processor.
    const deadline all_are_here = within(60s);
    for (std::uint32_t i = 0; i < many; ++i) {
        CHECK(a.wait_for_channel(i, all_are_here));
        CHECK(a.add_channel(i, role::consumer));
        CHECK(received(a, i, all_are_here) == "x");
    }
    CHECK(a.channels().size() == many);
    ::close(done[1]);
    std::map<int, std::size_t> ends;  // how many of each exit code
    for (const pid_t c : all) ++ends[exit_code(c)];
    CHECK_MESSAGE(ends[0] == many, "one of the others: ", ends.rbegin()->first);
    CHECK(a.channels().size() == many);
    for (std::uint32_t i = 0; i < many; ++i) CHECK(a.leave_channel(i));
    CHECK(a.channels().empty());
    for (const int fd : {go[0], done[0]}) ::close(fd);
}

// Returns when it has ended, or waits for something.
void await_calm(pid_t child) {
    const std::string path = "/proc/" + std::to_string(child) + "/stat";
    for (char state = 'R'; state != 'S' && state != 'Z'; std::this_thread::yield()) {
        std::ifstream in(path);
        std::string text;
        std::getline(in, text);
        if (const auto at = text.rfind(')'); at != text.npos && at + 2 < text.size())
            state = text[at + 2];
    }
}

// The last one is stopped after each store and each system call of its leaving, while somebody
// comes; then it goes on.
TEST_CASE("shm arena open: who comes while the last one leaves finds it, or the next") {
    WIRE_LEAVE_OUT_UNLESS_STEPPING;
    const std::string name = arena::unique_name();
    const auto leave = [&] {
        std::optional<arena> a = arena::create(name, {.size = 4096, .channels = 2});
        mark();
        a.reset();
        mark();
    };
    const auto come = [&] {
        arena a = arena::open_or_create(name, {.size = 4096, .channels = 2});
        if (!a.add_channel(7, role::producer)) return 1;
        return arena::open(name).has_channel(7) ? 0 : 2;
    };
    course c;
    std::vector<std::uint64_t> all;
    {
        stepped_child last(leave);
        REQUIRE(last.at_mark());
        arena_memory memory(name);
        moments when(memory);
        when.learn(last);
        c = when.of_child();
        all = when.all();
    }
    for (const std::uint64_t n : all) {
        CAPTURE(n);
        stepped_child last(leave);
        REQUIRE(last.at_mark());
        last.go(c, n);
        const pid_t next = in_child(come);
        await_calm(next);
        last.step(UINT64_MAX);
        CHECK(exit_code(next) == 0);
    }
    CHECK(!is_there(name));
}

TEST_CASE("shm arena open: many come and leave") {
    const std::string name = arena::unique_name();
    std::vector<pid_t> all;
    for (int i = 0; i < 8; ++i)
        all.push_back(in_child([&] {
            for (int round = 0; round < 100; ++round) {
                arena a = arena::open_or_create(name, {.size = 4096});
                // Whoever is in it is in that which has the name.
                arena b = arena::open(name);
                if (a.add_channel(7, role::producer) && !b.has_channel(7)) return 1;
            }
            return 0;
        }));
    for (const pid_t c : all) CHECK(exit_code(c) == 0);
    CHECK(!is_there(name));
}

TEST_CASE("shm arena open: it is for its owner only, whatever the umask is") {
    const mode_t before = ::umask(0777);
    const std::string name = arena::unique_name();
    arena a = arena::create(name);
    ::umask(before);
    const int fd = ::shm_open(name.c_str(), O_RDONLY, 0);
    struct stat s {};
    REQUIRE(::fstat(fd, &s) == 0);
    CHECK((s.st_mode & 0777) == 0600);
    ::fchmod(fd, 0640);
    CHECK(refusal_of([&] { arena::open(name); }) == "!EPERM");
    ::close(fd);
}

TEST_CASE("shm arena open: impossible sizes are refused") {
    const std::string name = arena::unique_name();
    CHECK(refusal_of([&] { arena::create(name, {.size = 0}); }) == "!EINVAL");
    CHECK(refusal_of([&] { arena::create(name, {.size = SIZE_MAX}); }) == "!EINVAL");
    CHECK(refusal_of([&] { arena::create(name, {.channels = 0}); }) == "!EINVAL");
    CHECK(refusal_of([&] { arena::create(name, {.channels = 4097}); }) == "!EINVAL");
    CHECK(!is_there(name));
    CHECK(refusal_of([&] { arena::create("/with/slashes"); }) != "");
    CHECK(refusal_of([&] { arena::create(""); }) != "");
    CHECK(refusal_of([&] { arena::create("/" + std::string(300, 'x')); }) != "");
}

TEST_CASE("shm arena open: what is no arena is refused and stays as it is") {
    using shm::detail::arena_map;
    const std::string name = arena::unique_name();
    const auto refused_after = [&](auto change) {
        arena a = arena::create(name);
        const int fd = ::shm_open(name.c_str(), O_RDWR, 0);
        auto* const base = static_cast<std::byte*>(
            ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
        arena_map::header_type before, after;
        std::memcpy(static_cast<void*>(&before), base, sizeof before);
        change(*reinterpret_cast<arena_map::header_type*>(base), fd);
        std::memcpy(static_cast<void*>(&after), base, sizeof after);
        const std::string error = refusal_of([&] { arena::open(name); });
        if (error != "") CHECK(std::memcmp(base, static_cast<void*>(&after), sizeof after) == 0);
        std::memcpy(base, static_cast<void*>(&before), sizeof before);
        ::munmap(base, 4096);
        ::close(fd);
        return error;
    };
    CHECK(refused_after([](auto&, int) {}) == "");
    CHECK(refused_after([](auto& h, int) { h.magic = 0; }) == "!EPROTO");
    CHECK(refused_after([](auto& h, int) { h.magic = 1; }) == "!EPROTO");
    CHECK(refused_after([](auto& h, int) { ++h.version; }) == "!EPROTONOSUPPORT");
    CHECK(refused_after([](auto& h, int) { h.pages = 0; }) == "!EBADMSG");
    CHECK(refused_after([](auto& h, int) { h.pages = ~0U; }) == "!EBADMSG");
    CHECK(refused_after([](auto& h, int) { ++h.pages; }) == "!EBADMSG");
    CHECK(refused_after([](auto& h, int) { ++h.channels; }) == "!EBADMSG");
    CHECK(refused_after([](auto& h, int) { h.channels = 0; }) == "!EBADMSG");
    CHECK(refused_after([](auto& h, int) { ++h.total_bytes; }) == "!EBADMSG");
    CHECK(refused_after([](auto& h, int) { ++h.pid_namespace; }) == "!EXDEV");
    // Beyond what the arena's own users touch from now on.
    CHECK(refused_after([](auto& h, int fd) {
              CHECK(::ftruncate(fd, static_cast<off_t>(h.total_bytes - 4096)) == 0);
          }) == "!EBADMSG");
    CHECK(!is_there(name));
    const int fd = ::shm_open(name.c_str(), O_CREAT | O_RDWR, 0600);
    CHECK(refusal_of([&] { arena::open(name); }) == "!EPROTO");
    CHECK(refusal_of([&] { arena::create(name); }) == "!EPROTO");
    ::close(fd);
    CHECK(arena::remove(name));
}

TEST_CASE("shm arena open: names are unique") {
    std::vector<std::string> all;
    for (int i = 0; i < 100; ++i) all.push_back(arena::unique_name());
    std::ranges::sort(all);
    CHECK(std::ranges::unique(all).empty());
}

TEST_CASE("shm arena open: who has no descriptors left is told so") {
    const std::string name = arena::unique_name();
    const arena a = arena::create(name);
    const auto error_of_open = [&](const auto& open) {
        const std::string error = refusal_of(open);
        return error.empty() ? 0 : error == "!EMFILE" ? EMFILE : -1;
    };
    CHECK(exit_code(in_child([&] {
              ::alarm(20);
              const auto open = [&] { return error_of_open([&] { arena::open(name); }); };
              return is_told_of_few_descriptors(open) ? 0 : 1;
          })) == 0);
    CHECK(exit_code(in_child([&] {
              const auto create = [&] {
                  return error_of_open([&] { arena::create(arena::unique_name()); });
              };
              return is_told_of_few_descriptors(create) ? 0 : 1;
          })) == 0);
}

TEST_CASE("shm arena open: another program gets none of its descriptors") {
    constexpr int most = 64;
    const auto inherited = [] {
        int n = 0;
        for (int fd = 0; fd < most; ++fd) n += ::fcntl(fd, F_GETFD) == 0;
        return n;
    };
    const int before = inherited();
    const std::string name = arena::unique_name();
    const arena a = arena::create(name), b = arena::open(name);
    CHECK(inherited() == before);
}

TEST_CASE("shm arena open: no descriptor stays open") {
    const int before = open_descriptors();
    for (int i = 0; i < 3; ++i) {
        const std::string name = arena::unique_name();
        arena a = arena::create(name), b = arena::open(name);
        CHECK(refusal_of([&] { arena::create(name); }) == "!EEXIST");
        CHECK(a.add_channel(1, role::consumer));
        CHECK(received(a, 1, shortly()) == "!ETIMEDOUT");
    }
    CHECK(open_descriptors() == before);
}

}  // namespace
}  // namespace wire::test
