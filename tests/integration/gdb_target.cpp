// A program that hangs, for a debugger to look at: each of its wires waits for something else, in
// functions with names of their own.
//
//     gdb_target [hang|abort|segv] [THREADS] [SLEEPERS]
//
// says "hung" when all of them wait; one wire then blocks its thread, or ends the program.

#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <wire/wire.hpp>

namespace {

std::string_view way = "hang";
int sleepers = 0;

[[gnu::noinline]] void wait_for_mutex(wire::mutex& m) {
    m.lock();
    m.unlock();
}
[[gnu::noinline]] void wait_for_channel(wire::channel<int>& ch) {
    if (ch.recv()) std::puts("received");
}
[[gnu::noinline]] void wait_for_descriptor(int fd) {
    if (wire::io::wait_readable(fd)) std::puts("readable");
}
[[gnu::noinline]] void wait_for_timer() {
    if (wire::sleep(wire::within(std::chrono::hours(1)))) std::puts("awake");
}
[[gnu::noinline]] void wait_for_join(wire::handle<void>& other) {
    if (other.join()) std::puts("joined");
}
[[gnu::noinline]] void never_starts() {
    std::puts("started");
}

[[gnu::noinline]] void block_the_thread() {
    std::puts("hung");
    std::fflush(stdout);
    if (way == "abort") std::abort();
    const volatile std::uintptr_t nowhere = 8;
    if (way == "segv") *reinterpret_cast<volatile int*>(nowhere) = 1;
    for (;;) ::pause();
}

wire::spawn_options named(std::string_view name) {
    return {.name = name};
}

void hang() {
    wire::mutex m;
    m.lock();
    wire::channel<int> ch;
    std::array<int, 2> pipe{};
    if (::pipe(pipe.data()) != 0) return;
    auto timer = wire::spawn(named("timer"), wait_for_timer);
    wire::go(named("locker"), [&] { wait_for_mutex(m); });
    wire::go(named("receiver"), [&] { wait_for_channel(ch); });
    wire::go(named("reader"), [&] { wait_for_descriptor(pipe[0]); });
    wire::go(named("joiner"), [&] { wait_for_join(timer); });
    for (int i = 0; i < sleepers; ++i) wire::go(named("sleeper"), wait_for_timer);
    for (int i = 0; i < 3; ++i) wire::yield();
    wire::go(named("newborn"), never_starts);
    block_the_thread();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1) way = argv[1];
    const unsigned threads = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 1;
    if (argc > 3) sleepers = std::atoi(argv[3]);
    {
        const wire::runtime ended;  // is not shown
    }
    return wire::run(hang, {.threads = threads});
}
