// For the record: one thread that makes the calls itself, and is blocked by them.
#include <sys/stat.h>

#include "measure.hpp"

namespace {

bench::cost measure_reads(const bench::reads& what) {
    const int fd = ::open(what.path, what.flags());
    if (fd < 0) bench::fail("open", errno);
    bench::buffers buffers;
    bench::places where(what);
    return bench::cost_of(1, [&](std::uint64_t n) {
        for (; n > 0; --n)
            if (::pread(fd, buffers[n % bench::depth], bench::page_size,
                        static_cast<off_t>(where.next())) != bench::page_size)
                bench::fail("pread", errno);
    });
}

bench::cost measure_calls() {
    return bench::cost_of(1, [](std::uint64_t n) {
        struct stat st;
        for (; n > 0; --n)
            if (::fstat(STDIN_FILENO, &st) != 0) bench::fail("fstat", errno);
    });
}

}  // namespace

int main(int argc, char** argv) {
    bench::print(bench::run_case(argc, argv, measure_reads, measure_calls), "none");
}
