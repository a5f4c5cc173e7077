// AddressSanitizer must report: stack-use-after-return, of a frame on a wire's stack.
#include <wire/runtime.hpp>
#include "planted.hpp"

extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
    return "detect_stack_use_after_return=1";
}

namespace {

[[gnu::noinline]] int* keep(int* p) {
    asm volatile("" : "+r"(p));
    return p;
}

[[gnu::noinline]] int* address_of_local() {
    int local = 1;
    int* const address = keep(&local);
    wire::yield();
    return address;
}

}  // namespace

int main(int argc, char** argv) {
    const bool bug = bug_wanted(argc, argv);
    wire::runtime rt;
    rt.go([] { wire::yield(); });
    rt.go([&] {
        int here = 0;
        int* const local = address_of_local();
        wire::yield();
        *static_cast<volatile int*>(bug ? local : &here) = 2;
    });
    return rt.run() ? 0 : 2;
}
