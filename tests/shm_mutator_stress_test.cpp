// A process changes random bytes of a ring's memory, all of it, while others attach, send, receive
// and leave. What they get may be wrong; but none may crash, and none may hang: each of their waits
// has a deadline or is cancelled, and an alarm ends whoever does not come to its end.
//
// Each case takes two seconds, with WIRE_EXPLORE=long 20; longer where too little has been done by
// then.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <random>
#include <system_error>
#include <thread>
#include <vector>

#include <wire/reactor.hpp>
#include <wire/runtime.hpp>
#include <wire/shm/producer.hpp>
#include <wire/shm/ring.hpp>
#include <wire/shm/sender.hpp>
#include <wire/spawn.hpp>
#include "support/ring_memory.hpp"
#include "support/with_seeds.hpp"

namespace wire::test {
namespace {

using namespace std::chrono_literals;
using shm::producer;
using shm::ring;
using shm::sender;

constexpr shm::ring_options sizes{.producers = 4, .lane_bytes = 4096};

/// What the processes have done; not damaged.
struct deeds {
    std::atomic<std::uint64_t> changed, received, bytes, sent, refused, damaged, dead, cancelled;
};
class shared_deeds {
public:
    shared_deeds()
        : all_(static_cast<deeds*>(::mmap(nullptr, sizeof(deeds), PROT_READ | PROT_WRITE,
                                          MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
    ~shared_deeds() { ::munmap(all_, sizeof(deeds)); }
    shared_deeds(const shared_deeds&) = delete;
    shared_deeds& operator=(const shared_deeds&) = delete;
    deeds* operator->() const { return all_; }
    [[nodiscard]] const deeds& all() const { return *all_; }

private:
    deeds* const all_;
};

/// What all processes share.
struct scene {
    ring_memory memory{sizes};
    shared_deeds done;
    deadline end = never, end_of_patience = never;
    bool (*shows_enough)(const deeds&) = nullptr;
    [[nodiscard]] bool over() const {
        if (within(0s) < end) return false;
        return shows_enough(done.all()) || end_of_patience <= within(0s);
    }
};

/// Changes bytes: half of them anywhere, half where the words of the header and the lanes are. Now
/// and then it repairs those, for else nobody would get far.
class mutator {
public:
    explicit mutator(scene& s) : scene_(s), fresh_(page_bytes) {
        std::memcpy(fresh_.data(), scene_.memory.bytes().data(), fresh_.size());
    }
    void run() {
        while (!scene_.over()) {
            for (auto n = random_() % 20; n > 0; --n) change();
            if (random_() % 8 == 0) repair();
            for (volatile auto n = random_() % 20'000; n > 0;) n = n - 1;  // let them get on
        }
    }

private:
    static constexpr std::size_t page_bytes = 8192;  // the header and the words of the lanes

    // relaxed: as from another program, at any time.
    void put(std::size_t at, std::byte b) {
        std::atomic_ref(scene_.memory.bytes()[at]).store(b, std::memory_order_relaxed);
    }
    void change() {
        const std::size_t all = scene_.memory.bytes().size();
        const std::size_t at = random_() % 2 ? random_() % all : a_word() + random_() % 8;
        put(at, static_cast<std::byte>(random_()));
        scene_.done->changed.fetch_add(1, std::memory_order_relaxed);
    }
    std::size_t a_word() {
        static constexpr std::array<std::size_t, 9> in_header{0, 8, 16, 24, 32, 128, 136, 144, 256};
        static constexpr std::array<std::size_t, 5> in_lane{0, 8, 128, 256, 264};
        if (random_() % 3 == 0) return in_header[random_() % in_header.size()];
        return 4096 + random_() % sizes.producers * 384 + in_lane[random_() % in_lane.size()];
    }
    void repair() {
        for (std::size_t at = 0; at < fresh_.size(); ++at) put(at, fresh_[at]);
    }

    scene& scene_;
    std::vector<std::byte> fresh_;
    std::minstd_rand random_{1};
};

/// A consumer that attaches again and again.
class consumer {
public:
    explicit consumer(scene& s) : scene_(s) {}

    /// `idle` lets others run.
    template <class Idle>
    void run(Idle idle) {
        while (!scene_.over()) {
            if (std::optional<ring> r = open())
                for (auto n = random_() % 500; n > 0; --n) receive(*r);
            idle();
        }
    }
    std::optional<ring> open() {
        try {
            return ring::open_in(scene_.memory.bytes());
        } catch (const std::system_error&) {
            scene_.done->refused.fetch_add(1);
            return {};
        }
    }

private:
    void receive(ring& r) {
        std::array<std::byte, 500> into;
        const result<std::size_t> got = r.recv(into, within(1ms));
        if (got) count(into, *got);
        if (got.code() == EBADMSG) scene_.done->damaged.fetch_add(1);
        if (got.code() == EOWNERDEAD) scene_.done->dead.fetch_add(1);
        if (got.code() != EMSGSIZE) return;
        const auto longer = r.try_peek();
        if (!longer) return;
        long_one_.assign(longer->bytes.begin(), longer->bytes.end());
        count(long_one_, long_one_.size());
        r.release();
    }
    void count(std::span<const std::byte>, std::size_t n) {
        scene_.done->received.fetch_add(1);
        scene_.done->bytes.fetch_add(n);
    }

    scene& scene_;
    std::minstd_rand random_{2};
    std::vector<std::byte> long_one_;
};

/// A producer that attaches again and again.
class sending {
public:
    sending(scene& s, unsigned seed) : scene_(s), random_(seed) {}

    void run_as_thread() {
        while (!scene_.over()) {
            producer p;
            const bool refused = static_cast<bool>(p.attach_memory(scene_.memory.bytes()));
            if (refused)
                note_refusal();
            else
                for (auto n = random_() % 500; n > 0; --n) note(p.send(record(), within(1ms)));
            std::this_thread::yield();
        }
    }
    void run_as_wire() {
        while (!scene_.over()) {
            try {
                sender s = sender::attach_memory(scene_.memory.bytes());
                for (auto n = random_() % 500; n > 0; --n)
                    note(s.send(record(), within(1ms)).code());
            } catch (const std::system_error&) {
                note_refusal();
            }
            yield();
        }
    }

private:
    void note_refusal() { scene_.done->refused.fetch_add(1); }
    void note(int error) {
        if (error == 0) scene_.done->sent.fetch_add(1);
        if (error == EBADMSG) scene_.done->damaged.fetch_add(1);
    }
    std::span<const std::byte> record() {
        bytes_.resize(1 + random_() % 1000);
        return bytes_;
    }

    scene& scene_;
    std::minstd_rand random_;
    std::vector<std::byte> bytes_;
};

template <class F>
void in_runtime(F body) {
    runtime rt;
    const io::reactor reactor(rt);
    rt.go(body);
    if (!rt.run()) ::abort();
}

// Without a deadline. A peer can make a wait last, by writing that nobody sleeps; it ends when it
// is cancelled.
void receive_until_cancelled(ring& r) {
    for (;;) {
        const int error = r.peek().code();
        if (error == 0) r.release();
        if (error == ECANCELED || error == EPIPE) return;
        yield();
    }
}
void cancel_waits(scene& s) {
    consumer c(s);
    for (; !s.over(); yield()) {
        std::optional<ring> r = c.open();
        if (!r) continue;
        auto waiting = spawn([&] { receive_until_cancelled(*r); });
        static_cast<void>(sleep(within(3ms)));
        waiting.cancel();
        static_cast<void>(waiting.join());
        s.done->cancelled.fetch_add(1);
    }
}

/// Child processes, of which each runs one part.
class cast {
public:
    explicit cast(scene& s) : scene_(s) {}
    template <class F>
    void add(F part) {
        const pid_t child = ::fork();
        if (child != 0) return children_.push_back(child);
        ::alarm(in_long_form() ? 60 : 30);
        part();
        ::_exit(0);
    }
    void expect_good_ends() {
        for (const pid_t child : children_) {
            int status = -1;
            CHECK(::waitpid(child, &status, 0) == child);
            CHECK(status == 0);
        }
        const deeds& d = scene_.done.all();
        MESSAGE("bytes changed: " << d.changed.load() << ", records sent: " << d.sent.load()
                                  << ", received: " << d.received.load() << ", refused: "
                                  << d.refused.load() << ", damaged: " << d.damaged.load()
                                  << ", dead: " << d.dead.load()
                                  << ", cancelled: " << d.cancelled.load());
        // Else the case has shown nothing.
        CHECK(d.changed > 1000);
        CHECK(d.refused > 0);
        CHECK(scene_.shows_enough(d));
    }

private:
    scene& scene_;
    std::vector<pid_t> children_;
};

bool were_changed_and_refused(const deeds& d) {
    return d.changed > 1000 && d.refused > 0;
}
bool were_received_and_damaged(const deeds& d) {
    return were_changed_and_refused(d) && d.received > 0 && d.damaged > 0;
}
bool were_cancelled(const deeds& d) {
    return were_changed_and_refused(d) && d.cancelled > 0;
}

void prepare(scene& s, bool (*shows_enough)(const deeds&)) {
    ring::create_in(s.memory.bytes(), sizes);
    s.shows_enough = shows_enough;
    s.end = within(in_long_form() ? 20s : 2s);
    s.end_of_patience = within(in_long_form() ? 40s : 22s);
}

TEST_CASE("shm mutator: threads of other processes neither crash nor hang") {
    scene s;
    prepare(s, were_received_and_damaged);
    cast all(s);
    all.add([&] { mutator(s).run(); });
    all.add([&] { consumer(s).run(std::this_thread::yield); });
    for (const unsigned seed : {3U, 4U}) all.add([&] { sending(s, seed).run_as_thread(); });
    all.expect_good_ends();
    CHECK(s.done->received > 0);
    CHECK(s.done->damaged > 0);
}

TEST_CASE("shm mutator: wires of other processes neither crash nor hang") {
    scene s;
    prepare(s, were_received_and_damaged);
    cast all(s);
    all.add([&] { mutator(s).run(); });
    all.add([&] { in_runtime([&] { consumer(s).run(yield); }); });
    all.add([&] {
        in_runtime([&] {
            for (const unsigned seed : {3U, 4U}) go([&] { sending(s, seed).run_as_wire(); });
        });
    });
    all.expect_good_ends();
    CHECK(s.done->received > 0);
    CHECK(s.done->damaged > 0);
}

TEST_CASE("shm mutator: a wire that waits without a deadline can be cancelled") {
    scene s;
    prepare(s, were_cancelled);
    cast all(s);
    all.add([&] { mutator(s).run(); });
    all.add([&] { in_runtime([&] { cancel_waits(s); }); });
    all.add([&] { sending(s, 3).run_as_thread(); });
    all.expect_good_ends();
    CHECK(s.done->cancelled > 0);
}

}  // namespace
}  // namespace wire::test
