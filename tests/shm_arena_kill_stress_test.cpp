// A user who sends and receives is killed at random moments: what comes is whole and in order, and
// its memory comes back. The kills of shm_arena_kill_test are at chosen moments, of single calls.
//
// WIRE_EXPLORE=long in the environment kills 10,000.
#include <wire/shm/arena.hpp>

#include <doctest/doctest.h>

#include <random>
#include <thread>

#include "support/arena.hpp"
#include "support/interleave_bounds.hpp"

namespace wire::test {
namespace {

constexpr std::size_t heap = 1 << 20;
constexpr std::uint32_t from_child = 1, to_child = 2;

std::span<std::uint32_t> words_of(const arena_record& r) {
    return {reinterpret_cast<std::uint32_t*>(r.bytes().data()), r.bytes().size() / 4};
}
// Large records and small ones.
std::size_t size_of(std::uint32_t number) {
    return number % 3 == 0 ? 64 * 1024 : 4 * (1 + number % 200);
}

int send_and_echo(const std::string& name) {
    arena mine = arena::open(name);
    if (!mine.add_channel(from_child, role::producer) ||
        !mine.add_channel(to_child, role::consumer))
        return 1;
    for (std::uint32_t number = 0;; ++number) {
        auto r = mine.allocate(size_of(number));
        // The other has most of the heap, and will free it.
        for (; r.code() == ENOMEM; r = mine.allocate(size_of(number))) std::this_thread::yield();
        if (!r) return 2;
        for (std::uint32_t& word : words_of(*r)) word = number;
        if (!mine.send(from_child, *r, soon())) return 3;
        static_cast<void>(mine.try_recv(to_child));  // and frees it
    }
}

// Receives until the child is dead. Returns how many, or -1: one was not whole.
int receive(arena& a, pid_t child, std::uint32_t kill_after) {
    for (std::uint32_t number = 0;; ++number) {
        if (number == kill_after) ::kill(child, SIGKILL);
        const auto r = a.recv(from_child, soon());
        if (r.code() == EPIPE) return static_cast<int>(number);
        if (!r || r->bytes().size() != size_of(number)) return -1;
        for (const std::uint32_t word : words_of(*r))
            if (word != number) return -1;
        if (auto answer = a.allocate(100)) static_cast<void>(a.try_send(to_child, *answer));
    }
}

TEST_CASE("shm arena: of users that are killed at random nothing is left, and nothing torn") {
    const int rounds = interleave::explores_long() ? 10'000 : 200;
    const std::string name = arena::unique_name();
    arena a = arena::create(name, {.size = heap});
    CHECK(a.add_channel(from_child, role::consumer));
    CHECK(a.add_channel(to_child, role::producer));
    std::mt19937 random(1);
    int received = 0, killed = 0;
    for (int round = 0; round < rounds; ++round) {
        const pid_t child = in_child([&] { return send_and_echo(name); });
        CHECK(a.wait_for_channel(from_child, soon()));
        // It may not be there yet: then the channel is known since the one before.
        while (!a.has_producers(from_child)) std::this_thread::yield();
        const int n = receive(a, child, static_cast<std::uint32_t>(random() % 30));
        CHECK(n >= 0);
        received += n;
        killed += exit_code(child) == -SIGKILL;
        CHECK(!a.has_producers(from_child));
        if (round % 16 == 0) {
            // What waits for the next one.
            CHECK(a.leave_channel(to_child));
            static_cast<void>(a.remove_channel(to_child));
            CHECK(a.add_channel(to_child, role::producer));
            CHECK(a.allocate(heap - record_overhead));
        }
    }
    CHECK(killed == rounds);
    CHECK(received > rounds);
}

}  // namespace
}  // namespace wire::test
