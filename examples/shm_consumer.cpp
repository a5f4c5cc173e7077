// Receives what any number of shm_producers send, through a ring in shared memory:
//
//     ./shm_consumer /numbers
//
// makes the ring, or goes on with that of a consumer that was killed. Each second it prints a line
// for each producer that has sent something: the numbers of its records since this consumer was
// started, and how many of them did not come, or not whole: 0, whoever is killed. When a producer
// dies it says so, after all records that it had committed. At control-C it closes the ring, takes
// what is left in it and removes it.

#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <map>
#include <string>
#include <system_error>
#include <utility>

#include <wire/shm/ring.hpp>
#include <wire/wire.hpp>

#include "shm_numbered.hpp"

namespace {

using namespace std::chrono_literals;
using wire::shm::ring;

/// What has come from one producer.
struct account {
    std::uint64_t records = 0, first = 0, next = 0, missing = 0, torn = 0;
    bool changed = false;

    void add(std::uint64_t number) {
        if (records++ == 0) first = next = number;
        missing += number - next;  // a record that comes twice makes this enormous
        next = number + 1;
        changed = true;
    }
};

class receiver {
public:
    explicit receiver(ring r) : ring_(std::move(r)) {}

    void receive() {
        // The others of this thread get their turn also if there is always a record.
        for (std::uint64_t n = 1; take(ring_.peek()); ++n)
            if (n % 100 == 0) wire::yield();
    }
    void print() {
        for (auto& [pid, a] : of_)
            if (std::exchange(a.changed, false)) print("sent", pid, a);
    }
    // Producers send no more; what they have sent is received. One that is stopped in the middle of
    // a record is not waited for.
    void finish() {
        ring_.close();
        ring_.remove_at_end();
        const auto end = std::chrono::steady_clock::now() + 1s;
        do receive_what_is_there();
        while (ring_.producers() > 0 && std::chrono::steady_clock::now() < end &&
               wire::sleep(wire::within(1ms)));
        receive_what_is_there();
        print();
    }

private:
    void receive_what_is_there() {
        while (take(ring_.try_peek())) {
        }
    }
    // Returns whether there may be more.
    bool take(const wire::result<wire::shm::record>& got) {
        if (got) {
            count(*got);
            ring_.release();
            return true;
        }
        const bool is_of_one = got.code() == EOWNERDEAD || got.code() == EBADMSG;
        if (is_of_one) tell_departure(got.code());
        return is_of_one;
    }
    void count(const wire::shm::record& r) {
        numbered n;
        const bool whole = n.read(r.bytes);
        account& a = of_[whole ? static_cast<pid_t>(n.from) : r.from];
        if (whole)
            a.add(n.number);
        else
            ++a.torn;
    }
    void tell_departure(int error) {
        const pid_t pid = ring_.last_departure().pid;
        print(error == EOWNERDEAD ? "died after" : "has damaged its lane after", pid, of_[pid]);
        of_.erase(pid);
    }
    static void print(const char* what, pid_t pid, const account& a) {
        std::printf("%d %s %" PRIu64 " records", pid, what, a.records);
        if (a.records > 0) std::printf(", %" PRIu64 " to %" PRIu64, a.first, a.next - 1);
        std::printf("; %" PRIu64 " missing, %" PRIu64 " torn\n", a.missing, a.torn);
    }

    ring ring_;
    std::map<pid_t, account> of_;
};

ring make_or_open(const std::string& name) {
    try {
        return ring::open(name);
    } catch (const std::system_error& e) {
        if (e.code().value() != ENOENT) throw;
        return ring::create(name, {.producers = 16, .remove = false});
    }
}

int consume(const std::string& name) {
    try {
        receiver all(make_or_open(name));
        wire::io::signals quit{SIGINT, SIGTERM};
        std::printf("receiving from %s\n", name.c_str());
        wire::with_scope(wire::never, [&](wire::scope& s) {
            s.go({.name = "receive"}, [&] { all.receive(); });
            s.go({.name = "print"}, [&] {
                while (wire::sleep(wire::within(1s))) all.print();
            });
            static_cast<void>(quit.wait());
            s.cancel();
        }).value();
        all.finish();
    } catch (const std::system_error& e) {
        std::fprintf(stderr, "shm_consumer: %s\n", e.what());
        return 1;
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "shm_consumer: takes the name of a ring, for instance /numbers\n");
        return 1;
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    return wire::run([&] { return consume(argv[1]); }, {.dump_on_quit = true});
}
