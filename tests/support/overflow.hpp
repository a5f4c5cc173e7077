// Functions that fault, compiled twice: without and with optimisation.
#pragma once

#include <cstddef>

namespace wire::test {

#define WIRE_TEST_FAULTS(space)                                                  \
    namespace space {                                                            \
    /* Calls itself `depth` times; returns how many bytes of stack that took. */ \
    std::size_t descend(int depth);                                              \
    /* Has a frame of 200,000 bytes and writes to its far end only. */           \
    void enter_large_frame();                                                    \
    void write_to(std::size_t address);                                          \
    void write_to_constant();                                                    \
    }
WIRE_TEST_FAULTS(unoptimised)
WIRE_TEST_FAULTS(optimised)
#undef WIRE_TEST_FAULTS

}  // namespace wire::test
