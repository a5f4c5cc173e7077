#include <cstdio>

#include <wire/wire.hpp>

int main() {
    return wire::run([] {
        wire::go([] { std::puts("first"); });
        wire::yield();
        std::puts("second");
    });
}
