// Sends numbered records to a shm_consumer, through a ring in shared memory:
//
//     ./shm_consumer /numbers
//     ./shm_producer /numbers            as fast as it can
//     ./shm_producer /numbers 50         50 a second
//     ./shm_producer /numbers 50 1000    a thousand of them, and then it ends
//
// Start several. Kill one with `kill -9`, in the middle of whatever it does: the consumer gets all
// that it had committed, and says who died. Stop one with control-Z and let it go on with `fg`: the
// others do not wait for it. Kill the consumer: the producers wait once their lanes are full, and
// go on when another is started. At control-C the consumer closes the ring, and they end.
//
// This is a plain program: it is not linked with the library, and has no wires.

#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <system_error>

#include <wire/shm/producer.hpp>

#include "shm_numbered.hpp"

namespace {

/// So many moments a second; with 0 there is nothing to wait for.
class pace {
public:
    explicit pace(std::uint64_t per_second) : per_second_(per_second) {
        ::clock_gettime(CLOCK_MONOTONIC, &next_);
    }
    void wait() {
        if (per_second_ == 0) return;
        constexpr long second = 1'000'000'000;
        next_.tv_nsec += static_cast<long>(second / per_second_);
        if (next_.tv_nsec >= second) {
            next_.tv_nsec -= second;
            ++next_.tv_sec;
        }
        while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next_, nullptr) == EINTR) {
        }
    }

private:
    const std::uint64_t per_second_;
    timespec next_{};
};

// Returns 0 or an errno.
int send_one(wire::shm::producer& ring, const numbered& n) {
    std::span<std::byte> room;  // in the ring itself: nothing is copied
    if (const int error = ring.claim(n.size(), room)) return error;
    n.write(room);
    ring.commit(room.size());
    return 0;
}

int send_all(wire::shm::producer& ring, std::uint64_t per_second, std::uint64_t count) {
    pace ticks(per_second);
    numbered n{.from = static_cast<std::uint64_t>(::getpid())};
    for (; n.number < count; ++n.number) {
        if (const int error = send_one(ring, n)) {
            std::printf("%" PRIu64 " records, then: %s\n", n.number,
                        error == EPIPE ? "the consumer has closed the ring" : std::strerror(error));
            return error == EPIPE ? 0 : 1;
        }
        ticks.wait();
    }
    std::printf("%" PRIu64 " records\n", n.number);
    return 0;
}

bool read_number(const char* text, std::uint64_t& number) {
    const char* const end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, number);
    return rest == end && error == std::errc{} && number > 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t per_second = 0, count = UINT64_MAX;
    if (argc < 2 || argc > 4 || (argc > 2 && !read_number(argv[2], per_second)) ||
        (argc > 3 && !read_number(argv[3], count))) {
        std::fprintf(stderr, "shm_producer: takes a ring's name, records per second, a count\n");
        return 1;
    }
    wire::shm::producer ring;
    if (const auto no = ring.attach(argv[1])) {
        std::fprintf(stderr, "shm_producer: %s: %s (%s)\n", argv[1], no.why,
                     std::strerror(no.error));
        return 1;
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    std::printf("process %d sends to %s\n", ::getpid(), argv[1]);
    return send_all(ring, per_second, count);
}
