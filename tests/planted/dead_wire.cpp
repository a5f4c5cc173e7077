// AddressSanitizer must report a use of the frame of a wire that has ended.
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

}  // namespace

int main(int argc, char** argv) {
    const bool bug = bug_wanted(argc, argv);
    int elsewhere = 0;
    int* kept = &elsewhere;
    wire::runtime rt;
    rt.go([&] {
        int local = 1;
        int* const address = keep(&local);
        wire::yield();
        if (bug) kept = address;
    });
    rt.go([&] {
        for (int i = 0; i < 3; ++i) wire::yield();
        *static_cast<volatile int*>(kept) = 2;
    });
    return rt.run() ? 0 : 2;
}
