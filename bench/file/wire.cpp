// Our own file calls: a wire for each read under way; one wire that offloads.
#include <sys/stat.h>

#include <span>
#include <string>

#include <wire/file.hpp>
#include <wire/offload.hpp>
#include <wire/reactor.hpp>
#include <wire/runtime.hpp>
#include <wire/scope.hpp>

#include "measure.hpp"

namespace {

std::string backend;

// Runs `measure` as the only wire.
template <class Measure>
bench::cost on_wire(Measure measure) {
    wire::runtime rt;
    wire::io::reactor reactor(rt);
    bench::cost result{};
    rt.go([&] {
        backend = reactor.backend();
        result = measure();
    });
    static_cast<void>(rt.run());
    return result;
}

void read_pages(const wire::io::file& from, std::byte* to, bench::places where, std::uint64_t n) {
    for (; n > 0; --n) {
        const auto got = from.pread(std::span(to, bench::page_size), where.next());
        if (!got || *got != bench::page_size) bench::fail("pread", got ? EIO : got.code());
    }
}

bench::cost measure_reads(const bench::reads& what) {
    return on_wire([&] {
        const auto from = wire::io::open(what.path, what.flags());
        if (!from) bench::fail("open", from.code());
        bench::buffers buffers;
        return bench::cost_of(bench::depth, [&](std::uint64_t n) {
            const auto read = wire::with_scope(wire::never, [&](wire::scope& all) {
                for (std::size_t i = 0; i < bench::depth; ++i)
                    all.go(read_pages, std::cref(*from), buffers[i], bench::places(what, i + 1), n);
            });
            if (!read) bench::fail("with_scope", read.code());
        });
    });
}

bench::cost measure_calls() {
    return on_wire([] {
        return bench::cost_of(1, [](std::uint64_t n) {
            struct stat st;
            for (; n > 0; --n)
                if (!wire::io::call(::fstat, STDIN_FILENO, &st)) bench::fail("fstat", errno);
        });
    });
}

}  // namespace

int main(int argc, char** argv) {
    const bench::cost c = bench::run_case(argc, argv, measure_reads, measure_calls);
    bench::print(c, backend);
}
