// ThreadSanitizer must report: data race, between wires of two runtimes in two threads.
#include <atomic>
#include <chrono>
#include <thread>

#include <wire/runtime.hpp>
#include "planted.hpp"

namespace {

// Which thread's turn it is. relaxed: it must order nothing, or it would hide the race. Waiting
// must be quiet, as the tool forgets an access when too much happens after it.
constinit std::atomic<int> turn{0};

void wait_for_turn(int n) {
    while (turn.load(std::memory_order_relaxed) < n)
        std::this_thread::sleep_for(std::chrono::microseconds(100));
}

void next_turn() {
    turn.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

// One after the other in time, so that the tool cannot miss it, but not in the memory model. Both
// runtimes live to the end, as the tool takes a fiber for ordered after one that was destroyed in
// the same place.
int main(int argc, char** argv) {
    const bool bug = bug_wanted(argc, argv);
    int plain = 0;
    std::atomic<int> safe{0};
    const auto work = [&](int my_turn) {
        wire::runtime rt;
        rt.go([] { wire::yield(); });
        rt.go([&] {
            wait_for_turn(my_turn);
            if (bug)
                ++plain;
            else
                ++safe;
            next_turn();
            wait_for_turn(2);
        });
        static_cast<void>(rt.run().has_value());
    };
    std::thread other(work, 1);
    work(0);
    other.join();
    return 0;
}
