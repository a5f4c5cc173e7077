// Counts prime numbers in several processes, and does not care if they are killed:
//
//     ./shm_workers 4 20000000
//
// starts four workers and gives each a ring in shared memory, with ranges of numbers to look
// through; their answers come back through one ring. Kill workers with `kill -9` as you like: the
// one that is started next goes on with the same ring, from the first range that was not released.
// A range is released when its answer is committed, so that none is lost; who is killed just
// between the two has the next one repeat it, which shows in the last line, and is counted once.
// Kill the parent: the workers end when they have no ranges left. The ring of the answers stays
// behind then (`wire-ring remove`).
//
// A worker is a plain program without wires.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <wire/shm/ring.hpp>
#include <wire/shm/sender.hpp>
#include <wire/wire.hpp>

namespace {

namespace io = wire::io;
using wire::shm::ring;

/// Numbers to look through. The last one for a worker is empty.
struct range {
    std::uint64_t index = 0, begin = 0, end = 0;
};
struct answer {
    std::uint64_t index = 0, primes = 0;
};

template <class T>
T read_from(std::span<const std::byte> bytes) {
    T value;
    if (bytes.size() != sizeof value) throw std::runtime_error("a record of a wrong length");
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

int say(const char* what) {
    std::fprintf(stderr, "shm_workers: %s\n", what);
    return 1;
}

template <class F>
int run(F f) {
    try {
        return f();
    } catch (const std::exception& e) {
        return say(e.what());
    }
}

// ---- a worker, a process of its own

bool is_prime(std::uint64_t n) {
    for (std::uint64_t d = 2; d * d <= n; ++d)
        if (n % d == 0) return false;
    return n >= 2;
}

std::uint64_t primes_in(const range& r) {
    std::uint64_t primes = 0;
    for (std::uint64_t n = r.begin; n < r.end; ++n) primes += is_prime(n);
    return primes;
}

int work(const char* ranges_name, const char* answers_name) {
    std::signal(SIGINT, SIG_IGN);  // control-C is for the parent
    ring ranges = ring::open(ranges_name);
    wire::shm::producer answers;
    if (const auto no = answers.attach(answers_name))
        throw std::system_error(no.error, std::generic_category(), no.why);
    while (const auto got = ranges.peek()) {
        const auto r = read_from<range>(got->bytes);
        // It is not released: whoever comes after one that is killed from here on ends, too.
        if (r.begin == r.end) return 0;
        const answer a{r.index, primes_in(r)};
        if (answers.send(std::as_bytes(std::span(&a, 1))) != 0) break;
        ranges.release();
    }
    ranges.remove_at_end();  // the parent has died
    return 1;
}

// ---- the parent

class team {
public:
    team(std::uint32_t workers, std::uint64_t below)
        : base_("/shm_workers-" + std::to_string(::getpid())),
          below_(below),
          // Twice as many lanes: one that starts may come before it is known that another died.
          answers_(ring::create(base_, {.producers = 2 * workers})) {
        for (std::uint32_t i = 0; i < workers; ++i) members_.push_back(make_ring(i));
    }
    team(const team&) = delete;
    team& operator=(const team&) = delete;
    ~team() {
        for (const member& m : members_) ::shm_unlink(m.name.c_str());
    }

    // Until all is counted or it is cancelled. Throws what a wire of it throws.
    void count() {
        static_cast<void>(wire::with_scope(wire::never, [&](wire::scope& s) {
            for (member& m : members_) {
                s.go({.name = "employ"}, [&] { employ(m); });
                s.go({.name = "feed"}, [&] { feed(m); });
            }
            s.go({.name = "divide"}, [&] { divide(); });
            s.go({.name = "gather"}, [&] { gather(); });
        }));
    }
    [[nodiscard]] bool complete() const { return answered_ == answers_of_.size(); }
    void print() const {
        std::printf("%" PRIu64 " primes below %" PRIu64 "; %zu ranges, %d killed, %d repeated\n",
                    primes_, below_, answered_, killed_, repeated_);
    }

private:
    struct member {
        std::string name;
        wire::shm::sender ranges;
    };
    static constexpr std::uint64_t length = 2'000;

    // A ring outlives its consumer, here the one that makes it: workers come and go on.
    [[nodiscard]] member make_ring(std::uint32_t i) const {
        std::string name = base_ + '-' + std::to_string(i);
        ring::create(name, {.producers = 1, .lane_bytes = 4096, .remove = false});
        return {name, wire::shm::sender::attach(name)};
    }

    // Has a worker take care of a ring until one has come to the end.
    void employ(const member& m) {
        while (true) {
            auto child = io::process::start({"/proc/self/exe", "worker", m.name, base_});
            if (!child) throw std::system_error(child.error(), "start a worker");
            std::printf("worker %d: started\n", child->pid());
            const auto end = child->wait();
            if (!end || end->success()) return;
            if (end->signal == 0) throw std::runtime_error("a worker has given up");
            std::printf("worker %d: killed by signal %d\n", child->pid(), end->signal);
            ++killed_;
        }
    }
    // Whoever has room in its ring gets the next range.
    void feed(member& m) {
        while (const auto r = ranges_.recv())
            if (!m.ranges.send(std::as_bytes(std::span(&*r, 1)))) return;
        const range none;
        static_cast<void>(m.ranges.send(std::as_bytes(std::span(&none, 1))));
    }
    void divide() {
        for (range r; r.begin < below_; ++r.index, r.begin = r.end) {
            r.end = r.begin + std::min(length, below_ - r.begin);
            if (!ranges_.send(r)) return;
        }
        ranges_.close();
    }
    void gather() {
        answers_of_.resize((below_ + length - 1) / length);
        while (!complete()) {
            const auto got = answers_.peek();
            if (!got && got.code() == EOWNERDEAD) continue;  // employ() has heard of it as well
            if (!got && got.code() == ECANCELED) return;
            if (!got) throw std::system_error(got.error(), "receive answers");
            add(read_from<answer>(got->bytes));
            answers_.release();
        }
    }
    void add(const answer& a) {
        if (answers_of_.at(a.index)) {
            ++repeated_;
            return;
        }
        answers_of_[a.index] = true;
        ++answered_;
        primes_ += a.primes;
    }

    const std::string base_;
    const std::uint64_t below_;
    ring answers_;
    std::vector<member> members_;
    wire::channel<range> ranges_;
    std::vector<bool> answers_of_;
    std::size_t answered_ = 0;
    std::uint64_t primes_ = 0;
    int killed_ = 0, repeated_ = 0;
};

// Returns the exit code.
int count(std::uint32_t workers, std::uint64_t below) {
    io::signals quit{SIGINT, SIGTERM};
    team all(workers, below);
    bool interrupted = false;
    wire::with_scope(wire::never, [&](wire::scope& s) {
        s.go({.name = "control-c"}, [&] {
            interrupted = quit.wait().has_value();
            s.cancel();
        });
        all.count();
        s.cancel();
    }).value();
    all.print();
    return interrupted ? say("interrupted") : 0;
}

bool read_number(const char* text, std::uint64_t most, std::uint64_t& number) {
    const char* const end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, number);
    return rest == end && error == std::errc{} && number > 0 && number <= most;
}

}  // namespace

int main(int argc, char** argv) {
    const std::span args(argv, static_cast<std::size_t>(argc));
    if (argc == 4 && std::strcmp(args[1], "worker") == 0)
        return run([&] { return work(args[2], args[3]); });
    std::uint64_t workers = 0, below = 0;
    if (argc != 3 || !read_number(args[1], 64, workers) ||
        !read_number(args[2], 1'000'000'000, below))
        return say("takes how many workers, 1 to 64, and below which number, at most 1000000000");
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    return wire::run(
        [&] { return run([&] { return count(static_cast<std::uint32_t>(workers), below); }); });
}
