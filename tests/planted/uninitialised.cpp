// Valgrind must report: depends on uninitialised value, read on a wire.
#include <cstdlib>

#include <wire/runtime.hpp>
#include "planted.hpp"

int main(int argc, char** argv) {
    const bool bug = bug_wanted(argc, argv);
    int result = 0;
    wire::runtime rt;
    rt.go([] { wire::yield(); });
    rt.go([&] {
        int* const p = static_cast<int*>(std::malloc(sizeof(int)));
        if (!bug) *p = 7;
        wire::yield();
        if (*static_cast<volatile int*>(p) == 8) result = 3;
        std::free(p);
    });
    return rt.run() ? result : 2;
}
