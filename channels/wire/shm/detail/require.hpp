// Assertions for what needs nothing of the library: it has nothing to link.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace wire::shm::detail {

[[noreturn, gnu::cold, gnu::noinline]] inline void requirement_failed(const char* sentence) {
    std::fprintf(stderr, "wire: assertion failed: %s\n", sentence);
    std::abort();
}

/// Ends the program with `sentence` if its caller has broken the contract.
inline void require(bool condition, const char* sentence) noexcept {
    if (!condition) [[unlikely]]
        requirement_failed(sentence);
}

}  // namespace wire::shm::detail
