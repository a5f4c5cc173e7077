// A ring in shared memory, and the processes around it.
#include <wire/shm/ring.hpp>

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <wire/select.hpp>
#include <wire/shm/producer.hpp>
#include <wire/shm/sender.hpp>
#include "support/io.hpp"

namespace wire::test {
namespace {

using namespace std::chrono_literals;
using shm::producer;
using shm::ring;
using shm::ring_options;

std::span<const std::byte> bytes_of(std::string_view s) {
    return std::as_bytes(std::span(s.data(), s.size()));
}
std::string text_of(std::span<const std::byte> b) {
    return {reinterpret_cast<const char*>(b.data()), b.size()};
}

// A name of this process's own, "/wire-test-…".
std::string fresh_name() {
    static int n = 0;
    return "/wire-test-" + std::to_string(::getpid()) + "-" + std::to_string(++n);
}

std::string next_of(ring& r, deadline until = within(5s)) {
    const auto got = r.peek(until);
    if (!got) return "error " + std::to_string(got.code());
    std::string text = text_of(got->bytes);
    r.release();
    return text;
}

// Runs in a child process, which it leaves with what `fn` returns.
template <class F>
pid_t in_child(F fn) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(fn());
    return child;
}
int exit_code(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_CASE("shm ring: what is sent is received, whole and in order") {
    const std::string name = fresh_name();
    ring r = ring::create(name, {.producers = 2, .lane_bytes = 4096});
    producer p;
    CHECK(p.attach(name.c_str()).error == 0);
    CHECK(r.producers() == 1);
    CHECK(p.send(bytes_of("one")) == 0);
    CHECK(p.send(bytes_of("two and more")) == 0);
    CHECK(next_of(r) == "one");
    CHECK(next_of(r) == "two and more");
    CHECK(r.try_peek().code() == EAGAIN);
    CHECK(r.peek(within(1ms)).code() == ETIMEDOUT);
}

TEST_CASE("shm ring: records of every length, round and round") {
    ring r = ring::create_anonymous({.producers = 1, .lane_bytes = 4096});
    producer p;
    CHECK(p.attach_fd(::dup(r.descriptor())).error == 0);
    CHECK(p.longest() == 4096 / 2 - 8);
    std::string text;
    for (std::size_t n = 1; n <= p.longest(); ++n) {
        text.assign(n, static_cast<char>('a' + n % 26));
        CHECK(p.try_send(bytes_of(text)) == 0);
        CHECK(r.try_peek()->from == ::getpid());
        CHECK(next_of(r) == text);
    }
    CHECK(p.try_send(bytes_of(std::string(p.longest() + 1, 'x'))) == EMSGSIZE);
    CHECK(p.try_send({}) == EINVAL);
}

TEST_CASE("shm ring: a lane that is full refuses, and has room again after a release") {
    ring r = ring::create_anonymous({.producers = 1, .lane_bytes = 4096});
    producer p;
    CHECK(p.attach_fd(::dup(r.descriptor())).error == 0);
    int sent = 0;
    const std::string text(100, 'x');
    while (p.try_send(bytes_of(text)) == 0) ++sent;
    CHECK(sent == 4096 / 112);
    CHECK(p.send(bytes_of(text), std::chrono::steady_clock::now() + 1ms) == ETIMEDOUT);
    CHECK(next_of(r) == text);
    CHECK(p.try_send(bytes_of(text)) == 0);
    CHECK(p.try_send(bytes_of(text)) == EAGAIN);
    for (int i = 0; i < sent; ++i) CHECK(next_of(r) == text);
    CHECK(r.try_peek().code() == EAGAIN);
}

TEST_CASE("shm ring: what is claimed is nothing until it is committed") {
    ring r = ring::create_anonymous({.producers = 1, .lane_bytes = 4096});
    producer p;
    CHECK(p.attach_fd(::dup(r.descriptor())).error == 0);
    std::span<std::byte> room;
    CHECK(p.try_claim(10, room) == 0);
    CHECK(r.try_peek().code() == EAGAIN);
    p.abort();
    CHECK(p.try_claim(10, room) == 0);
    std::memcpy(room.data(), "0123456789", 10);
    p.commit(4);
    CHECK(next_of(r) == "0123");
    for (const char* text : {"a", "b", "c"}) {
        CHECK(p.try_claim(1, room) == 0);
        std::memcpy(room.data(), text, 1);
        p.prepare(1);
        CHECK(r.try_peek().code() == EAGAIN);
    }
    p.publish();
    CHECK(next_of(r) == "a");
    CHECK(next_of(r) == "b");
    CHECK(next_of(r) == "c");
}

TEST_CASE("shm ring: a short buffer leaves the record") {
    ring r = ring::create_anonymous({.producers = 1, .lane_bytes = 4096});
    producer p;
    CHECK(p.attach_fd(::dup(r.descriptor())).error == 0);
    CHECK(p.try_send(bytes_of("12345")) == 0);
    std::array<std::byte, 4> few;
    std::array<std::byte, 5> enough;
    CHECK(r.try_recv(few).code() == EMSGSIZE);
    CHECK(r.try_peek()->bytes.size() == 5);
    CHECK(r.try_recv(enough).value() == 5);
    CHECK(r.try_recv(enough).code() == EAGAIN);
}

TEST_CASE("shm ring: as many producers as lanes, and no more") {
    ring r = ring::create_anonymous({.producers = 2, .lane_bytes = 4096});
    producer a, b, c;
    CHECK(a.attach_fd(::dup(r.descriptor())).error == 0);
    CHECK(b.attach_fd(::dup(r.descriptor())).error == 0);
    CHECK(c.attach_fd(::dup(r.descriptor())).error == EUSERS);
    CHECK(b.try_send(bytes_of("left behind")) == 0);
    b.detach();
    CHECK(c.attach_fd(::dup(r.descriptor())).error == 0);
    CHECK(c.try_send(bytes_of("after it")) == 0);
    CHECK(next_of(r) == "left behind");
    CHECK(next_of(r) == "after it");
}

TEST_CASE("shm ring: lanes that fall out of use hide none that has a record") {
    for (const std::size_t stays : {0U, 1U, 2U}) {
        ring r = ring::create_anonymous({.producers = 3, .lane_bytes = 4096});
        std::array<producer, 3> all;
        for (producer& p : all) CHECK(p.attach_fd(::dup(r.descriptor())).error == 0);
        CHECK(r.try_peek().code() == EAGAIN);  // all three are in use now
        CHECK(all[stays].try_send(bytes_of("the last")) == 0);
        for (producer& p : all)
            if (&p != &all[stays]) p.detach();
        r.close();
        const auto got = r.try_peek();
        CHECK((got ? text_of(got->bytes) : std::to_string(got.code())) == "the last");
        if (got) r.release();
        CHECK(r.try_peek().code() == EPIPE);
    }
}

TEST_CASE("shm ring: a record is the next one until it is released, whoever attaches") {
    ring r = ring::create_anonymous({.producers = 2, .lane_bytes = 4096});
    producer alone, other;
    CHECK(alone.attach_fd(::dup(r.descriptor())).error == 0);
    for (int i = 0; i < 20; ++i) CHECK(alone.try_send(bytes_of("first")) == 0);
    for (int i = 0; i < 17; ++i) CHECK(next_of(r) == "first");  // more than a turn
    CHECK(text_of(r.try_peek()->bytes) == "first");
    CHECK(other.attach_fd(::dup(r.descriptor())).error == 0);
    CHECK(other.try_send(bytes_of("second")) == 0);
    CHECK(next_of(r) == "first");
    CHECK(next_of(r) == "second");
}

TEST_CASE("shm ring: a producer that floods delays another by one turn") {
    ring r = ring::create_anonymous({.producers = 2, .lane_bytes = 4096});
    producer flood, slow;
    CHECK(flood.attach_fd(::dup(r.descriptor())).error == 0);
    CHECK(slow.attach_fd(::dup(r.descriptor())).error == 0);
    while (flood.try_send(bytes_of("f")) == 0) {
    }
    CHECK(next_of(r) == "f");
    CHECK(slow.try_send(bytes_of("s")) == 0);
    int before = 0;
    while (next_of(r) == "f") ++before;
    CHECK(before <= 16);
}

TEST_CASE("shm ring: from several processes, each in its order") {
    constexpr int children = 4, each = 20'000;
    const std::string name = fresh_name();
    ring r = ring::create(name, {.producers = 8, .lane_bytes = 8192});
    std::vector<pid_t> all;
    for (int c = 0; c < children; ++c)
        all.push_back(in_child([&] {
            producer p;
            if (p.attach(name.c_str())) return 1;
            for (std::uint32_t i = 0; i < each; ++i) {
                const std::size_t n = 4 + i * 7 % 300;
                std::span<std::byte> room;
                if (p.claim(n, room)) return 2;
                std::memset(room.data(), static_cast<int>(i), n);
                std::memcpy(room.data(), &i, 4);
                p.commit(n);
            }
            return 0;
        }));
    std::vector<std::uint32_t> next(all.size());
    for (int i = 0; i < children * each; ++i) {
        const auto got = r.peek(within(20s));
        REQUIRE(got);
        const auto who = std::find(all.begin(), all.end(), got->from);
        std::uint32_t number = 0;
        std::memcpy(&number, got->bytes.data(), 4);
        if (who != all.end()) CHECK(number == next[static_cast<std::size_t>(who - all.begin())]++);
        CHECK(got->bytes.size() == 4 + number * 7 % 300);
        if (got->bytes.size() > 4) CHECK(got->bytes.back() == static_cast<std::byte>(number));
        r.release();
    }
    for (const pid_t c : all) CHECK(exit_code(c) == 0);
}

TEST_CASE("shm ring: the death of a producer is told, after all that it had committed") {
    const std::string name = fresh_name();
    ring r = ring::create(name);
    const pid_t child = in_child([&] {
        producer p;
        std::span<std::byte> room;
        if (p.attach(name.c_str()) || p.send(bytes_of("last words")) || p.claim(10, room)) return 1;
        ::pause();
        return 0;
    });
    CHECK(next_of(r) == "last words");
    CHECK(r.peek(within(10ms)).code() == ETIMEDOUT);
    std::jthread killer([&] {
        std::this_thread::sleep_for(20ms);
        ::kill(child, SIGKILL);
    });
    CHECK(r.peek(within(10s)).code() == EOWNERDEAD);
    CHECK(r.last_departure().pid == child);
    CHECK(r.producers() == 0);
    CHECK(r.try_peek().code() == EAGAIN);
    killer.join();
    exit_code(child);
}

TEST_CASE("shm ring: a producer that has left and ended keeps no descriptor open") {
    const std::string name = fresh_name();
    ring r = ring::create(name, {.producers = 1, .lane_bytes = 4096});
    const auto descriptors = [] {
        const std::filesystem::directory_iterator open("/proc/self/fd");
        return std::distance(begin(open), end(open));
    };
    const auto come_and_go = [&] {
        std::array<int, 2> gate{};
        REQUIRE(::pipe(gate.data()) == 0);
        const pid_t child = in_child([&] {
            producer p;
            ::close(gate[1]);
            if (p.attach(name.c_str()).error || p.send(bytes_of("here"))) return 1;
            char none;
            return ::read(gate[0], &none, 1) == 0 ? 0 : 2;
        });
        CHECK(next_of(r) == "here");
        CHECK(r.peek(within(0s)).code() == ETIMEDOUT);  // watches it
        ::close(gate[0]);
        ::close(gate[1]);
        CHECK(exit_code(child) == 0);
    };
    come_and_go();  // what is open once is not counted
    const auto before = descriptors();
    for (int i = 0; i < 5; ++i) come_and_go();
    for (int i = 0; i < 500 && descriptors() > before; ++i)
        CHECK(r.peek(within(10ms)).code() == ETIMEDOUT);
    CHECK(descriptors() <= before);
}

TEST_CASE("shm ring: a consumer that never waits hears of a death, too") {
    const std::string name = fresh_name();
    ring r = ring::create(name, {.producers = 2});
    producer flood;
    CHECK(flood.attach(name.c_str()).error == 0);
    CHECK(flood.try_send(bytes_of("f")) == 0);
    CHECK(r.try_peek());
    const pid_t child = in_child([&] {
        producer p;
        if (p.attach(name.c_str()) || p.send(bytes_of("last words"))) return 1;
        ::kill(::getpid(), SIGKILL);
        return 0;
    });
    const deadline until = within(10s);
    int error = 0;
    for (int last_words = 0;
         error != EOWNERDEAD && deadline(std::chrono::steady_clock::now()) < until;) {
        flood.try_send(bytes_of("f"));
        const auto got = r.try_peek();
        error = got.code();
        last_words += got && got->bytes.size() > 1;
        if (got) r.release();
        if (error == EOWNERDEAD) CHECK(last_words == 1);
    }
    CHECK(error == EOWNERDEAD);
    CHECK(r.last_departure().pid == child);
    CHECK(r.producers() == 1);
    exit_code(child);
}

void await_end_of_main_thread(pid_t process) {
    const std::string path = "/proc/" + std::to_string(process) + "/stat";
    for (std::string line; line.find(") Z") == line.npos; std::this_thread::yield())
        std::getline(std::ifstream(path), line);
}

TEST_CASE("shm ring: a producer lives while any thread of its process does") {
    const std::string name = fresh_name();
    ring r = ring::create(name);
    int go_on[2];
    REQUIRE(::pipe(go_on) == 0);
    const pid_t child = in_child([&] {
        static producer p;
        if (p.attach(name.c_str())) return 1;
        std::thread([&] {
            await_end_of_main_thread(::getpid());
            char c;
            if (p.send(bytes_of("alone")) || ::read(go_on[0], &c, 1) != 1) ::_exit(2);
            ::_exit(p.send(bytes_of("once more")) ? 3 : 0);
        }).detach();
        ::syscall(SYS_exit, 0);  // of this thread only
        return 4;
    });
    await_end_of_main_thread(child);
    CHECK(next_of(r) == "alone");
    CHECK(r.peek(within(1ms)).code() == ETIMEDOUT);
    CHECK(::write(go_on[1], "", 1) == 1);
    CHECK(next_of(r) == "once more");
    CHECK(r.peek(within(10s)).code() == EOWNERDEAD);
    CHECK(exit_code(child) == 0);
    for (const int end : go_on) ::close(end);
}

TEST_CASE("shm ring: one consumer at a time, and the next goes on where it stopped") {
    const std::string name = fresh_name();
    ring r = ring::create(name, {.remove = false});
    CHECK_THROWS_AS(ring::open(name), std::system_error);
    const std::string other = fresh_name();
    const pid_t child = in_child([&] {
        ring mine = ring::create(other, {.remove = false});
        producer p;
        if (p.attach(other.c_str())) return 1;
        for (const char* text : {"1", "2", "3"}) p.send(bytes_of(text));
        if (next_of(mine) != "1" || !mine.try_peek()) return 2;
        ::kill(::getpid(), SIGKILL);
        return 0;
    });
    CHECK(exit_code(child) == -SIGKILL);
    ring next = ring::open(other);
    CHECK(next_of(next) == "2");
    CHECK(next_of(next) == "3");
    CHECK(next.peek(within(5s)).code() == EOWNERDEAD);
    ::shm_unlink(name.c_str());
    ::shm_unlink(other.c_str());
}

TEST_CASE("shm ring: a wire waits, and others of its thread run") {
    ring r = ring::create_anonymous();
    on_wires([&] {
        std::atomic<int> ticks{0};
        bool done = false;
        auto ticker = spawn([&] {
            while (!done) {
                CHECK(sleep(within(1ms)));
                ++ticks;
            }
        });
        std::jthread other([&] {
            producer p;
            CHECK(p.attach_fd(::dup(r.descriptor())).error == 0);
            // If they did not run, nothing would come.
            while (ticks == 0) std::this_thread::yield();
            CHECK(p.send(bytes_of("from a thread")) == 0);
        });
        CHECK(next_of(r, soon()) == "from a thread");
        done = true;
        CHECK(ticker.join());
        auto cancelled = spawn([&] { return r.peek().code(); });
        CHECK(sleep(within(1ms)));
        cancelled.cancel();
        CHECK(cancelled.join().value() == ECANCELED);
    });
}

TEST_CASE("shm ring: a wire that sends waits for room, and others of its thread run") {
    ring r = ring::create_anonymous({.producers = 1, .lane_bytes = 4096});
    on_wires([&] {
        constexpr int records = 500;
        auto sending = spawn([&] {
            auto s = shm::sender::attach_descriptor(::dup(r.descriptor()));
            const std::string text(100, 'x');
            for (int i = 0; i < records; ++i) CHECK(s.send(bytes_of(text), within(10s)));
            CHECK(s.try_send(bytes_of(std::string(4096, 'x'))).code() == EMSGSIZE);
        });
        CHECK(sleep(within(5ms)));
        for (int i = 0; i < records; ++i) {
            CHECK(next_of(r) == std::string(100, 'x'));
            if (i % 50 == 0) yield();
        }
        CHECK(sending.join());
    });
}

TEST_CASE("shm ring: a wire that waits for room is cancelled, or its deadline passes") {
    ring r = ring::create_anonymous({.producers = 1, .lane_bytes = 4096});
    on_wires([&] {
        auto s = shm::sender::attach_descriptor(::dup(r.descriptor()));
        while (s.try_send(bytes_of("x"))) {
        }
        CHECK(s.send(bytes_of("x"), within(1ms)).code() == ETIMEDOUT);
        auto cancelled = spawn([&] { return s.send(bytes_of("x")).code(); });
        CHECK(sleep(within(1ms)));
        cancelled.cancel();
        CHECK(cancelled.join().value() == ECANCELED);
    });
}

TEST_CASE("shm ring: a select receives, from what is there and from what comes") {
    ring r = ring::create_anonymous();
    on_wires([&] {
        auto s = shm::sender::attach_descriptor(::dup(r.descriptor()));
        channel<int> ch;
        const auto take = [&](result<shm::record> got) {
            CHECK(text_of(got->bytes) == "x");
            r.release();
        };
        CHECK(s.send(bytes_of("x")));
        CHECK(*select(on_recv(ch, [](result<int>) {}), on_record(r, take)) == 1);
        auto later = spawn([&] {
            CHECK(sleep(within(2ms)));
            CHECK(s.send(bytes_of("x")));
        });
        CHECK(*select(on_recv(ch, [](result<int>) {}), on_record(r, take)) == 1);
        CHECK(later.join());
        CHECK(*select(on_record(r, [](result<shm::record>) {}), on_deadline(within(2ms))) == 1);
        auto sending = spawn([&] { CHECK(ch.send(1)); });
        CHECK(*select(on_record(r, [](result<shm::record>) {}),
                      on_recv(ch, [](result<int> got) { CHECK(*got == 1); })) == 1);
        CHECK(sending.join());
        r.close();
        CHECK(s.send(bytes_of("x")).code() == EPIPE);
        CHECK(*select(on_record(r, [](result<shm::record> got) { CHECK(got.code() == EPIPE); })) ==
              0);
    });
}

}  // namespace
}  // namespace wire::test
