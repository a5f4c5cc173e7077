// A great many wires at once: starts them, says what each takes while it waits, and ends them.
//
//     ./many_wires            a million; needs 4.2 GB of memory and Linux 6.13
//     ./many_wires 30000
//
// Before Linux 6.13 each stack takes two mappings, of which a process may have 65,530.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include <wire/wire.hpp>

namespace {

// Bytes of memory in use by this process; see proc_pid_statm(5).
double memory_in_use() {
    unsigned long pages = 0;
    if (std::FILE* const statm = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(statm, "%*u %lu", &pages) != 1) pages = 0;
        std::fclose(statm);
    }
    return static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

void park_many(unsigned long count) {
    const double before = memory_in_use();
    std::vector<wire::handle<void>> wires;
    wires.reserve(count);
    unsigned long parked = 0;
    for (unsigned long i = 0; i < count; ++i) {
        wires.push_back(wire::spawn([&parked] {
            ++parked;
            static_cast<void>(wire::suspend());
        }));
        if (i % 1024 == 0) wire::yield();  // the new ones run, and park
    }
    while (parked < count) wire::yield();
    const double each = (memory_in_use() - before) / static_cast<double>(count);
    std::printf("%lu wires wait, %.0f bytes each\n", parked, each);
    wires.clear();  // the handles end what they hold
    std::printf("all have ended\n");
}

}  // namespace

int main(int argc, char** argv) {
    const char* const wanted = argc > 1 ? argv[1] : "1000000";
    char* rest = nullptr;
    const unsigned long count = std::strtoul(wanted, &rest, 10);
    if (argc > 2 || *rest != '\0' || *wanted == '-' || count < 1 || count > 100'000'000) {
        std::fprintf(stderr, "many_wires: takes a number from 1 to 100000000\n");
        return 1;
    }
    const int code = wire::run([count] { park_many(count); });
    if (std::ferror(stdout) || std::fflush(stdout) != 0) {
        std::fprintf(stderr, "many_wires: cannot write to standard output\n");
        return 1;
    }
    return code;
}
