// Who may attach to what: a ring that is damaged, cut off, half-made, somebody else's or no ring is
// refused with an errno and a sentence, and not changed. And what is not inherited of an earlier
// ring: docs/from-the-seeds.md, S.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>
#include "support/environment.hpp"
#include "support/few_descriptors.hpp"
#include "support/ring_file.hpp"
#include "support/temporary_directory.hpp"

namespace wire::test {
namespace {

using shm::producer;
using shm::ring;
using shm::ring_options;

constexpr ring_options small{.producers = 3, .lane_bytes = 8192};
constexpr std::size_t small_total = 4096 + 4096 + 3 * 8192;

constexpr const char* text = "a record";
std::span<const std::byte> record() {
    return std::as_bytes(std::span(text, std::strlen(text)));
}
// Of a thread of this process: 'R' runs, 'S' sleeps, 'Z' has ended.
char state_of(pid_t thread) {
    std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
    const std::string stat{std::istreambuf_iterator<char>(file), {}};
    const auto name_end = stat.rfind(')');
    return name_end == stat.npos ? '?' : stat[name_end + 2];
}
std::string name_of_shared() {
    return "/wire-attach-" + std::to_string(::getpid());
}

TEST_CASE("shm attach: the sizes are those of the ring, whoever opens it") {
    const ring_file file(small);
    CHECK(file.content().size() == small_total);
    ring r = ring::open_file(file.path());
    producer p;
    REQUIRE(!p.attach_file(file.path().c_str()));
    CHECK(r.longest() == 8192 / 2 - 8);
    CHECK(p.longest() == r.longest());
    CHECK(p.try_send(record()) == 0);
    CHECK(r.try_peek()->bytes.size() == record().size());
}

TEST_CASE("shm attach: a header that is damaged in any field is refused") {
    const auto refused = [](off_t at, auto value) {
        const ring_file file(small);
        file.put(at, value);
        return refusal_of(file);
    };
    using u32 = std::uint32_t;
    using u64 = std::uint64_t;
    CHECK(refused(ring_file::magic, u64{0x2d06'9f03}) == EPROTO);
    CHECK(refused(ring_file::magic, char{'W'}) == EPROTO);
    for (const u32 version : {0U, 2U, ~0U})
        CHECK(refused(ring_file::version, version) == EPROTONOSUPPORT);
    for (const u32 lanes : {0U, 1U, 2U, 4U, 1025U, ~0U})
        CHECK(refused(ring_file::lanes, lanes) == EBADMSG);
    for (const u64 bytes : {0UL, 1UL, 2048UL, 4096UL, 8191UL, 16384UL, 1UL << 41, ~0UL})
        CHECK(refused(ring_file::lane_bytes, bytes) == EBADMSG);
    for (const u64 bytes : {0UL, small_total - 1, small_total + 1, 1UL << 40, ~0UL})
        CHECK(refused(ring_file::total_bytes, bytes) == EBADMSG);
    CHECK(refused(ring_file::pid_namespace, u64{1}) == EXDEV);
    CHECK(refused(ring_file::time_namespace, u64{1}) == EXDEV);
}

TEST_CASE("shm attach: impossible sizes are refused, though they fit together and the memory") {
    const ring_file file(small);
    const auto refused = [&](std::uint32_t lanes, std::uint64_t lane_bytes) {
        file.put(ring_file::lanes, lanes);
        file.put(ring_file::lane_bytes, lane_bytes);
        const std::uint64_t of_words = (lanes * 384 + 4095) / 4096 * 4096;
        file.put(ring_file::total_bytes, 4096 + of_words + lanes * lane_bytes);
        return refusal_of(file);
    };
    CHECK(refused(0, 8192) == EBADMSG);
    for (const std::uint64_t bytes : {0U, 8U, 2048U, 4095U, 6144U, 12288U})
        CHECK(refused(1, bytes) == EBADMSG);
    file.set_size(std::size_t{1} << 24);
    CHECK(refused(1025, 4096) == EBADMSG);
    CHECK(refused(1024, 4096) == 0);
}

TEST_CASE("shm attach: sizes that fit together but not the memory are refused") {
    const ring_file file(small);
    file.put(ring_file::lanes, std::uint32_t{1024});
    file.put(ring_file::lane_bytes, std::uint64_t{4096});
    const std::uint64_t of_words = (1024 * 384 + 4095) / 4096 * 4096;
    file.put(ring_file::total_bytes, 4096 + of_words + std::uint64_t{1024} * 4096);
    CHECK(refusal_of(file) == EBADMSG);
}

TEST_CASE("shm attach: a file that was cut off is refused, a longer one is not") {
    const ring_file file(small);
    file.set_size(small_total + 5000);
    CHECK(refusal_of(file) == 0);
    for (const std::size_t n : {small_total - 1, std::size_t{8192}, std::size_t{4096}}) {
        file.set_size(n);
        CHECK(refusal_of(file) == EBADMSG);
    }
    for (const std::size_t n : {4095U, 8U, 0U}) {
        file.set_size(n);
        CHECK(refusal_of(file) == EAGAIN);
    }
}

TEST_CASE("shm attach: a ring that is being made is refused until its magic is there") {
    const ring_file file(small);
    const std::string whole = file.content();
    file.put(ring_file::magic, std::uint64_t{0});
    CHECK(refusal_of(file) == EAGAIN);
    file.put(ring_file::magic, std::uint64_t{0x676E'6972'6572'6977});
    CHECK(file.content().substr(0, ring_file::consumer) == whole.substr(0, ring_file::consumer));
    CHECK(std::memcmp(whole.data(), "wirering", 8) == 0);
    CHECK(refusal_of(file) == 0);
}

TEST_CASE("shm attach: what is no file with memory is refused") {
    const ring_file file;
    CHECK(refusal_of_producer(file.path()) == ENOENT);
    CHECK(refusal_of_consumer(file.path()) == ENOENT);
    CHECK(refusal_of_producer(file.beside("")) == EISDIR);
    REQUIRE(::mkfifo(file.path().c_str(), 0600) == 0);
    CHECK(refusal_of_producer(file.path()) == EPROTO);
    CHECK(refusal_of_producer("/dev/zero") == EPROTO);
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    producer p;
    CHECK(p.attach_fd(ends[0]).error == EPROTO);
    CHECK(p.attach_fd(-1).error == EBADF);
    CHECK(error_of([&] { ring::open_descriptor(ends[1]); }) == EPROTO);
}

TEST_CASE("shm attach: symbolic links are not followed") {
    const ring_file file(small);
    const std::string link = file.beside("link"), nowhere = file.beside("nowhere");
    REQUIRE(::symlink(file.path().c_str(), link.c_str()) == 0);
    REQUIRE(::symlink(file.beside("missing").c_str(), nowhere.c_str()) == 0);
    CHECK(refusal_of_producer(link) == ELOOP);
    CHECK(refusal_of_consumer(link) == ELOOP);
    CHECK(error_of([&] { ring::create_file(nowhere, small); }) == EEXIST);
    CHECK(::access(file.beside("missing").c_str(), F_OK) != 0);
}

TEST_CASE("shm attach: a ring that others may open is refused") {
    const ring_file file(small);
    for (const mode_t mode : {0644U, 0640U, 0604U, 0660U, 0601U, 0666U}) {
        REQUIRE(::chmod(file.path().c_str(), mode) == 0);
        CHECK(refusal_of(file) == EPERM);
    }
    REQUIRE(::chmod(file.path().c_str(), 0600) == 0);
    CHECK(refusal_of(file) == 0);
}

TEST_CASE("shm attach: rings are made for their owner only, whatever the umask") {
    const mode_t before = ::umask(0);
    const ring_file open(small);
    ::umask(0777);
    const ring_file closed(small);
    ::umask(before);
    for (const ring_file* f : {&open, &closed}) {
        struct stat s {};
        CHECK(::stat(f->path().c_str(), &s) == 0);
        CHECK((s.st_mode & 07777) == 0600);
    }
}

TEST_CASE("shm attach: another user's ring is refused, also to root") {
    if (::geteuid() != 0) {
        MESSAGE("skipped: only root can give a file away");
        return;
    }
    const ring_file file(small);
    const std::string name = name_of_shared();
    const ring r = ring::create(name, small);
    const auto as_nobody = [&](auto fn) {
        return in_child([&] { return ::setuid(65534) == 0 ? fn() : not_permitted; });
    };
    CHECK(as_nobody([&] { return producer().attach(name.c_str()).error; }) == EACCES);
    CHECK(as_nobody([&] { return error_of([&] { ring::open(name); }); }) == EACCES);
    REQUIRE(::chown(file.path().c_str(), 65534, 65534) == 0);
    CHECK(refusal_of(file) == EPERM);
}

TEST_CASE("shm attach: what is there already is not made anew") {
    const ring_file file(small);
    const std::string before = file.content();
    CHECK(error_of([&] { ring::create_file(file.path(), {.producers = 1}); }) == EEXIST);
    CHECK(file.content() == before);
    const std::string name = name_of_shared();
    const ring r = ring::create(name, small);
    CHECK(error_of([&] { ring::create(name, small); }) == EEXIST);
    producer p;
    CHECK(p.attach(name.c_str()).error == 0);
}

TEST_CASE("shm attach: impossible sizes are refused before anything is made") {
    const ring_file file;
    for (const ring_options& o : std::vector<ring_options>{{.producers = 0},
                                                           {.producers = 1025},
                                                           {.lane_bytes = 0},
                                                           {.lane_bytes = 2048},
                                                           {.lane_bytes = 5000},
                                                           {.lane_bytes = 1UL << 41}})
        CHECK(error_of([&] { ring::create_file(file.path(), o); }) == EINVAL);
    CHECK(::access(file.path().c_str(), F_OK) != 0);
}

TEST_CASE("shm attach: memory that is too short or not aligned is refused") {
    alignas(4096) static std::array<std::byte, small_total + 4096> memory, other;
    CHECK(ring::storage_size(small) == small_total);
    const auto whole = std::span<std::byte>(memory).first(small_total);
    CHECK(error_of([&] { ring::create_in(whole.first(small_total - 1), small); }) == EINVAL);
    CHECK(error_of([&] { ring::create_in(std::span(memory).subspan(8), small); }) == EINVAL);
    const ring r = ring::create_in(whole, small);
    producer p;
    CHECK(p.attach_memory(whole.first(100)).error == EINVAL);
    CHECK(p.attach_memory(whole.first(small_total - 1)).error == EBADMSG);
    std::memcpy(other.data() + 8, memory.data(), small_total);
    CHECK(p.attach_memory(std::span(other).subspan(8, small_total)).error == EINVAL);
    CHECK(p.attach_memory(whole).error == 0);
}

TEST_CASE("shm attach: a second consumer is refused while the first lives") {
    const ring_file file(small);
    {
        const ring r = ring::open_file(file.path());
        CHECK(refusal_of_consumer(file.path()) == EBUSY);
        CHECK(in_child([&] { return refusal_of_consumer(file.path()); }) == EBUSY);
    }
    CHECK(refusal_of_consumer(file.path()) == 0);
    CHECK(in_child([&] {
              const ring dies = ring::open_file(file.path());
              return ::raise(SIGKILL);
          }) == -SIGKILL);
    CHECK(refusal_of_consumer(file.path()) == 0);
}

TEST_CASE("shm attach: a record too long for a lane is refused before room is claimed") {
    const ring_file file(small);
    ring r = ring::open_file(file.path());
    producer p;
    REQUIRE(!p.attach_file(file.path().c_str()));
    const std::vector<std::byte> large(p.longest() + 1);
    CHECK(p.send(large) == EMSGSIZE);
    CHECK(p.send(record()) == 0);
    CHECK(r.try_peek()->bytes.size() == record().size());
}

TEST_CASE("shm attach: a consumer that died between a release and the bell strands no producer") {
    const ring_file file({.producers = 1, .lane_bytes = 4096});
    CHECK(in_child([&] {
              const ring dies = ring::open_file(file.path());
              return ::raise(SIGKILL);
          }) == -SIGKILL);
    shm::detail::attached_ring seen;
    REQUIRE(!shm::detail::attach_to_path(file.path().c_str(), seen));
    auto& lane = seen.map.lane(0);
    std::atomic<pid_t> thread{0};
    std::jthread sender([&] {
        thread = ::gettid();
        producer p;
        CHECK(p.attach_file(file.path().c_str()).error == 0);
        while (p.try_send(record()) == 0) {
        }
        CHECK(p.send(record()) == 0);
    });
    while (!lane.room.sleeps() || state_of(thread) != 'S') std::this_thread::yield();
    // The last deed of the dead: it releases all, and has not rung.
    lane.tail.store(lane.head.load());
    ring next = ring::open_file(file.path());
    sender.join();
    CHECK(next.try_peek()->bytes.size() == record().size());
}

TEST_CASE("shm identity: a process lives as long as any of its threads") {
    using shm::detail::identity;
    std::array<int, 2> say{}, go{};
    REQUIRE((::pipe2(say.data(), O_CLOEXEC) == 0 && ::pipe2(go.data(), O_CLOEXEC) == 0));
    const pid_t child = ::fork();
    if (child == 0) {
        std::thread([&] {
            while (state_of(::getpid()) != 'Z') std::this_thread::yield();
            const std::uint64_t me = identity::mine();
            char c = 0;
            ::_exit(::write(say[1], &me, sizeof me) == sizeof me && ::read(go[0], &c, 1) == 1 ? 0
                                                                                              : 1);
        }).detach();
        ::syscall(SYS_exit, 0);  // only this thread
    }
    std::uint64_t who = 0;
    CHECK(::read(say[0], &who, sizeof who) == sizeof who);
    CHECK(identity::pid(who) == child);
    CHECK(!identity::has_ended(who));
    CHECK(::write(go[1], "x", 1) == 1);
    siginfo_t info{};
    CHECK(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
    CHECK(identity::has_ended(who));  // nobody has waited for it yet
    ::waitpid(child, nullptr, 0);
    CHECK(identity::has_ended(who));
    for (const int fd : {say[0], say[1], go[0], go[1]}) ::close(fd);
}

TEST_CASE("shm identity: a number that is used again is somebody else") {
    using shm::detail::identity;
    const std::uint64_t me = identity::mine();
    CHECK(identity::pid(me) == ::getpid());
    CHECK(!identity::has_ended(me));
    CHECK(identity::has_ended(me - 1));  // the same number, started earlier
    CHECK(identity::has_ended(me + 1));
}

TEST_CASE("shm attach: a forked child neither uses nor frees the lane of its parent") {
    WIRE_LEAVE_OUT_IF(under_valgrind(), "Valgrind has memory of its own where the ring was");
    const ring_file file(small);
    ring r = ring::open_file(file.path());
    producer p;
    REQUIRE(!p.attach_file(file.path().c_str()));
    std::span<std::byte> room;
    REQUIRE(p.claim(1, room) == 0);
    const pid_t other = ::fork();
    if (other == 0) {
        producer q;
        ::_exit(q.attach_file(file.path().c_str()) ? 1 : ::pause());
    }
    while (r.producers() < 2) std::this_thread::yield();
    // Watches that process, on a thread.
    CHECK(r.peek(deadline::at_ns(0)).code() == ETIMEDOUT);
    CHECK(in_child([&] {
              ::alarm(20);  // who waits for a thread of its parent waits for ever
              // Where the parent has the ring there is room for other memory.
              auto* const page = reinterpret_cast<char*>(
                  reinterpret_cast<std::uintptr_t>(room.data()) / 4096 * 4096);
              if (::mmap(page, 4096, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != page)
                  return 1;
              { const producer copy = std::move(p); }
              { const ring copy = std::move(r); }
              *page = 'x';
              return *page == 'x' ? 0 : 2;
          }) == 0);
    CHECK(r.producers() == 2);
    CHECK(refusal_of_consumer(file.path()) == EBUSY);
    CHECK(p.try_send(record()) == 0);
    CHECK(r.try_peek()->from == ::getpid());
    r.release();
    ::kill(other, SIGKILL);
    ::waitpid(other, nullptr, 0);
    CHECK(r.peek().code() == EOWNERDEAD);
}

TEST_CASE("shm attach: who has no descriptors left is told so") {
    const ring_file file(small);
    CHECK(in_child([&] {
              const auto attach = [&] { return refusal_of_producer(file.path()); };
              return is_told_of_few_descriptors(attach) ? 0 : 1;
          }) == 0);
    CHECK(in_child([&] {
              const auto open = [&] { return refusal_of_consumer(file.path()); };
              return is_told_of_few_descriptors(open) ? 0 : 1;
          }) == 0);
}

TEST_CASE("shm attach: memory without a name cannot be cut off") {
    const ring r = ring::create_anonymous(small);
    CHECK(::ftruncate(r.descriptor(), 4096) == -1);
    CHECK(errno == EPERM);
    CHECK(::ftruncate(r.descriptor(), 1 << 20) == -1);
    CHECK((::fcntl(r.descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("shm attach: another pid namespace is told, and nobody is taken for somebody else") {
    const ring_file file(small);
    const int code = in_child([&] {
        // Its children have other numbers than its /proc tells.
        if (::unshare(CLONE_NEWPID) != 0) return not_permitted;
        return in_child([&] {
            if (refusal_of_producer(file.path()) != EXDEV) return 1;
            if (refusal_of_consumer(file.path()) != EXDEV) return 2;
            if (error_of([&] { ring::create_file(file.beside("own"), small); }) != ENOENT) return 3;
            return ::access(file.beside("own").c_str(), F_OK) == 0 ? 4 : 0;
        });
    });
    if (!skipped(code, "no pid namespace may be made here")) CHECK(code == 0);
}

// On a file system with room for a ring and one lane. Returns what went wrong.
int fill_up(const std::string& folder) {
    const ring_options two{.producers = 2, .lane_bytes = 65536};
    ring r = ring::create_file(folder + "/ring", two);
    producer first, second;
    if (first.attach_file((folder + "/ring").c_str())) return 1;
    if (second.attach_file((folder + "/ring").c_str()).error != ENOSPC) return 2;
    if (r.producers() != 1) return 3;
    // What was promised is there: no SIGBUS.
    for (int i = 0; i < 20'000; ++i)
        if (first.try_send(record()) != 0 || !r.try_peek())
            return 4;
        else
            r.release();
    const std::string other = folder + "/other";
    if (error_of([&] { ring::create_file(other, {.producers = 1024}); }) != ENOSPC) return 5;
    if (::access(other.c_str(), F_OK) == 0) return 6;
    first.detach();
    return second.attach_file((folder + "/ring").c_str()).error == 0 ? 0 : 7;
}

TEST_CASE("shm attach: a full file system is ENOSPC, and nobody gets a SIGBUS") {
    WIRE_LEAVE_OUT_IF(under_valgrind(), "Valgrind needs room in that file system, too");
    const temporary_directory folder;
    const std::string where = folder / "";
    const int code = in_child([&] {
        if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            return not_permitted;
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
        if (::mount("tmpfs", where.c_str(), "tmpfs", 0, "size=90112") != 0) return not_permitted;
        return fill_up(where);
    });
    if (!skipped(code, "no file system may be mounted here")) CHECK(code == 0);
}

}  // namespace
}  // namespace wire::test
