// AddressSanitizer must report: stack-buffer-overflow, in a frame on a wire's stack.
#include <wire/runtime.hpp>
#include "planted.hpp"

namespace {

[[gnu::noinline]] void write_at(volatile int* numbers, std::size_t index) {
    numbers[index] = 1;
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t index = bug_wanted(argc, argv) ? 10 : 9;
    wire::runtime rt;
    rt.go([] { wire::yield(); });
    rt.go([index] {
        volatile int numbers[10];
        numbers[0] = 0;
        wire::yield();
        write_at(numbers, index);
    });
    return rt.run() ? 0 : 2;
}
