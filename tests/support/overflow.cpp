// Compiled once with WIRE_TEST_SPACE=unoptimised and -O0, once with =optimised and -O2.
#include "overflow.hpp"

#include <algorithm>
#include <cstdint>

#include "environment.hpp"

namespace wire::test::WIRE_TEST_SPACE {
namespace {

// A real recursion at every level of optimisation: each frame is in memory, because its address
// leaves the function, and is read again after the call.
[[gnu::noinline]] std::uintptr_t lowest(int depth, volatile char* caller) {
    volatile char frame[128];
    frame[0] = *caller;
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    if (depth == 0) return here;
    const std::uintptr_t below = lowest(depth - 1, frame);
    frame[1] = frame[0];
    return std::min(here, below);
}

const int constant[16] = {7};  // too large to live anywhere but in read-only memory

}  // namespace

std::size_t descend(int depth) {
    volatile char here = 0;
    return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) - lowest(depth, &here);
}

[[gnu::noinline]] void enter_large_frame() {
    volatile char frame[200'000];
    frame[0] = 1;
    asm volatile("" : : "r"(frame) : "memory");
}

void write_to(std::size_t address) {
    fault_on_purpose();
    *reinterpret_cast<volatile int*>(address) = 1;
}

void write_to_constant() {
    write_to(reinterpret_cast<std::size_t>(&constant[3]));
}

}  // namespace wire::test::WIRE_TEST_SPACE
