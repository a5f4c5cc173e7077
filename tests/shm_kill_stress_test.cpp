// Producers of large records are killed, or stopped for a while, at random moments.
//
// Children send records of 64 KiB that they write word by word, so that many are killed in the
// middle of one; the memory behind what they have committed tells. The consumer, which waits all
// the time, must get each record whole and in order, and hear of each death after the last.
#include <doctest/doctest.h>

#include <array>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>

#include "support/dies.hpp"
#include "support/environment.hpp"
#include "support/interleave_bounds.hpp"
#include "support/io.hpp"
#include "support/ring_survivors.hpp"

namespace wire::test {
namespace {

using shm::producer;
using shm::ring;

constexpr std::size_t words = 8192;
constexpr std::size_t record_bytes = words * 8;
constexpr std::uint64_t record_space = shm::detail::record_word::space_for(record_bytes);
constexpr std::uint32_t childs_lane = 1;

// Who, its how manieth record, and which word of it.
std::uint64_t first_word(pid_t who, unsigned record) {
    return static_cast<std::uint64_t>(who) << 32 | (record & 0xFFFF) << 16;
}

[[noreturn]] void send_forever(int ring_fd) {
    detail::become_plain_program();
    producer p;
    must(p.attach_fd(ring_fd).error == 0, "the child can attach");
    std::span<std::byte> room;
    for (unsigned record = 0; p.claim(record_bytes, room) == 0; ++record) {
        auto* const to = reinterpret_cast<volatile std::uint64_t*>(room.data());
        const std::uint64_t first = first_word(::getpid(), record);
        for (std::size_t i = 0; i < words; ++i) to[i] = first + i;
        p.commit(record_bytes);
    }
    ::_exit(0);
}

// The consumer's thread, and what it has received.
class receiver {
public:
    explicit receiver(ring& r) : ring_(r), thread_([this] { receive(); }) {}

    template <class F>
    bool wait(F condition) {
        std::unique_lock guard(lock_);
        return changed_.wait_for(guard, std::chrono::seconds(10), [&] { return condition(*this); });
    }
    // With the lock, in wait().
    [[nodiscard]] unsigned records_of(pid_t child) const { return child_ == child ? records_ : 0; }
    [[nodiscard]] int others() const { return others_; }
    [[nodiscard]] pid_t dead() const { return dead_; }

    [[nodiscard]] std::string wrong() {
        const std::lock_guard guard(lock_);
        return wrong_;
    }

private:
    void receive() {
        for (;;) {
            const auto got = ring_.peek();
            const std::lock_guard guard(lock_);
            if (got.code() == EPIPE) return;
            if (got.code() == EOWNERDEAD)
                dead_ = ring_.last_departure().pid;
            else if (!got)
                wrong_ = "peek: " + error_name(got.code());
            else
                note(*got);
            changed_.notify_all();
        }
    }
    void note(const shm::record& r) {
        if (r.from == ::getpid()) {
            ++others_;
        } else {
            if (child_ != r.from) records_ = 0;
            child_ = r.from;
            if (!is_whole(r)) wrong_ = "a record is torn, late, or not the next one";
            ++records_;
        }
        ring_.release();
    }
    [[nodiscard]] bool is_whole(const shm::record& r) const {
        if (r.bytes.size() != record_bytes || dead_ == child_) return false;
        const auto* const word = reinterpret_cast<const std::uint64_t*>(r.bytes.data());
        for (std::size_t i = 0; i < words; ++i)
            if (word[i] != first_word(child_, records_) + i) return false;
        return true;
    }

    ring& ring_;
    std::mutex lock_;
    std::condition_variable changed_;
    pid_t child_ = 0;  // that sends
    unsigned records_ = 0;
    int others_ = 0;
    pid_t dead_ = 0;
    std::string wrong_;
    std::jthread thread_;
};

struct marks {
    int rounds = 0, half_written = 0, stopped = 0, attached = 0;
};

class rounds {
public:
    explicit rounds(unsigned seed) : random_(seed) {
        CHECK(other_.attach_fd(::dup(ring_.descriptor())).error == 0);
    }
    ~rounds() {
        ring_.close();
        memory_.header().records.ring();
    }

    /// Returns what was wrong.
    std::string one() {
        ++seen_.rounds;
        const pid_t child = ::fork();
        if (child == 0) send_forever(ring_.descriptor());
        std::string wrong;
        if (chance(2) && !receiver_.wait([&](auto& r) { return r.records_of(child) > 0; }))
            wrong = "nothing comes";
        pass_time();
        if (wrong.empty() && chance(4)) wrong = stop_for_a_while(child);
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        look_at_half_written(child);
        return wrong.empty() ? bury(child) : wrong;
    }
    [[nodiscard]] const marks& seen() const { return seen_; }

private:
    bool chance(unsigned one_in) { return random_() % one_in == 0; }
    void pass_time() { std::this_thread::sleep_for(std::chrono::microseconds(random_() % 500)); }

    // Nobody waits for it, and then it goes on.
    std::string stop_for_a_while(pid_t child) {
        ++seen_.stopped;
        ::kill(child, SIGSTOP);
        int status = 0;
        ::waitpid(child, &status, WUNTRACED);
        if (!WIFSTOPPED(status)) return "the child has ended";
        ++sent_;
        if (other_.send(bytes_of("other"), soon()) != 0) return "the other cannot send";
        unsigned before = 0;
        if (!receiver_.wait(
                [&](auto& r) { return before = r.records_of(child), r.others() == sent_; }))
            return "the other's record does not come";
        // What it had committed may come only now; then its lane's worth, and one more.
        before += static_cast<unsigned>(memory_.lane_bytes() / record_space);
        ::kill(child, SIGCONT);
        if (!receiver_.wait([&](auto& r) { return r.records_of(child) > before; }))
            return "it stays quiet";
        pass_time();
        return "";
    }
    void look_at_half_written(pid_t child) {
        const std::byte* const at =
            memory_.next_record(childs_lane, memory_.head(childs_lane), record_space);
        std::uint64_t first, last;
        std::memcpy(&first, at, 8);
        std::memcpy(&last, at + record_bytes - 8, 8);
        seen_.half_written +=
            first >> 32 == static_cast<std::uint64_t>(child) && last != first + words - 1;
    }
    // The lane is free again, and the consumer has heard who had it.
    std::string bury(pid_t child) {
        const auto& owner = memory_.lane(childs_lane).owner;
        // Who dies before it has attached is found when the consumer looks next.
        if ((owner.load() & shm::detail::identity::arriving) != 0) memory_.header().records.ring();
        const deadline until = soon();
        while (owner.load() != 0)
            if (shm::detail::system_sync::now_ns() > until.ns()) return "the lane is not free";
        if (memory_.head(childs_lane) != memory_.tail(childs_lane)) return "records are left";
        bool sent = false;
        const auto told = [&](auto& r) {
            return sent = r.records_of(child) > 0, !sent || r.dead() == child;
        };
        if (!receiver_.wait(told)) return "its death is not told";
        seen_.attached += sent;
        return receiver_.wrong();
    }

    ring ring_ = ring::create_anonymous({.producers = 2, .lane_bytes = 256 * 1024});
    ring_memory memory_{ring_.descriptor()};
    producer other_;
    std::mt19937 random_;
    int sent_ = 0;
    marks seen_;
    receiver receiver_{ring_};
};

TEST_CASE("shm ring: producers of large records are killed and stopped at random moments") {
    WIRE_LEAVE_OUT_IF(under_tsan || under_valgrind(), "the children share memory with the test");
    const bool is_long = interleave::explores_long();
    const unsigned seed = is_long ? std::random_device{}() : 1;
    CAPTURE(seed);
    rounds all(seed);
    std::string wrong;
    // Where the children seldom have a processor few are met amid a record: then it goes on.
    const int least = is_long ? 10'000 : 300, most = 10 * least, amid_a_record = least / 100;
    const marks& seen = all.seen();
    const auto go_on = [&] {
        return seen.rounds < least || (seen.half_written < amid_a_record && seen.rounds < most);
    };
    while (wrong.empty() && go_on()) wrong = all.one();
    std::printf("%d killed, %d of them stopped before, %d had sent, %d amid a record\n",
                seen.rounds, seen.stopped, seen.attached, seen.half_written);
    CHECK(wrong == "");
    CHECK(seen.half_written >= amid_a_record);
    CHECK(seen.stopped > 0);
}

}  // namespace
}  // namespace wire::test
