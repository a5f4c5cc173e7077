// AddressSanitizer must report: heap-buffer-overflow.
#include <memory>

#include <wire/runtime.hpp>
#include "planted.hpp"

int main(int argc, char** argv) {
    const std::size_t index = bug_wanted(argc, argv) ? 10 : 9;
    wire::runtime rt;
    rt.go([] { wire::yield(); });
    rt.go([index] {
        const auto numbers = std::make_unique<volatile int[]>(10);
        wire::yield();
        numbers[index] = 1;
    });
    return rt.run() ? 0 : 2;
}
