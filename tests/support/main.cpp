// The main() of every test binary.
//
// With WIRE_TEST_SEEDS=N in the environment it runs the tests N times, each time with another
// WIRE_SEED, so with another order of ready wires, but for those that demand FIFO (fifo.hpp). What
// fails then fails again with WIRE_SEED set to the seed that is printed.
//
// With WIRE_TEST_REFUSED=CALL every such system call of the library fails with EPERM.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "failing_call.hpp"

namespace {

int run(int argc, char** argv) {
    doctest::Context context(argc, argv);
    if (std::getenv("WIRE_SEED")) context.addFilter("test-suite-exclude", "fifo");
    const int failed = context.run();
    if (const char* const seed = std::getenv("WIRE_SEED"); seed && failed)
        std::fprintf(stderr, "the order of wires was that of WIRE_SEED=%s\n", seed);
    return failed;
}

}  // namespace

int main(int argc, char** argv) {
    std::optional<wire::test::failing_call> refusal;
    if (const char* const call = std::getenv("WIRE_TEST_REFUSED")) refusal.emplace(call, EPERM);
    const char* const seeds = std::getenv("WIRE_TEST_SEEDS");
    if (!seeds) return run(argc, argv);
    for (int seed = 1; seed <= std::atoi(seeds); ++seed) {
        ::setenv("WIRE_SEED", std::to_string(seed).c_str(), 1);
        if (const int failed = run(argc, argv)) return failed;
    }
    return 0;
}
