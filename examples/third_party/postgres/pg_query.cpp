// Asks a PostgreSQL server, from many wires at once if wanted.
//
//     ./pg_query 'host=/run/postgresql' 'select 6 * $1' --with 7
//     ./pg_query 'host=/run/postgresql' 'select pg_sleep(1)' --wires 10 --ticks
//
// Each wire takes a connection from a pool and runs all statements on it, one after the other. The
// rows go to standard output, values separated by tabs; errors to standard error. --ticks shows
// that other wires run meanwhile: one ticks every 10 ms until all answers are there.

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include <wire/wire.hpp>
#include "../../command_line.hpp"
#include "postgres.hpp"

namespace {

struct {
    std::string info;
    std::vector<std::string> statements;
    std::vector<std::string> with;
    unsigned wires = 1;
    unsigned connections = 10;
    unsigned times = 1;
    double pause = 1;
    double timeout = 60;
    bool ticks = false;
} options;

wire::deadline in(double seconds) {
    return wire::within(std::chrono::duration<double>(seconds));
}

wire::deadline limit() {
    return in(options.timeout);
}

void print(const postgres::reply& r) {
    for (int row = 0; row < r.rows(); ++row) {
        std::string line;
        for (int column = 0; column < r.columns(); ++column) {
            if (column > 0) line += '\t';
            line += r.at(row, column).value_or("NULL");
        }
        std::printf("%s\n", line.c_str());
    }
}

// Returns whether all statements succeeded.
bool ask(postgres::pool& db) {
    auto mine = db.acquire(limit());
    if (!mine) return std::fprintf(stderr, "pg_query: %s\n", mine.error().c_str()), false;
    const std::vector<postgres::parameter> params(options.with.begin(), options.with.end());
    bool good = true;
    for (const std::string& sql : options.statements) {
        const auto r = mine->query(limit(), sql, params);
        print(r);
        if (r) continue;
        std::fprintf(stderr, "pg_query: %s\n", r.error().c_str());
        std::fflush(stderr);
        good = false;
        if (!mine) return std::fprintf(stderr, "pg_query: the connection is closed\n"), false;
    }
    return good;
}

bool ask_again_and_again(postgres::pool& db) {
    bool good = ask(db);
    for (unsigned i = 1; i < options.times && wire::sleep(in(options.pause)); ++i)
        good = ask(db) && good;
    return good;
}

int ask_from_all() {
    postgres::pool db(options.info, options.connections);
    unsigned failed = 0, ticks = 0;
    auto ticker = wire::spawn([&] {
        while (wire::sleep(in(0.01))) ++ticks;
    });
    const auto all = wire::with_scope(wire::never, [&](wire::scope& s) {
        for (unsigned i = 0; i < options.wires; ++i)
            s.go([&] { failed += !ask_again_and_again(db); });
    });
    ticker.cancel();
    if (options.ticks) std::printf("%u ticks\n", ticks);
    return all && failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    command_line line("pg_query", "Asks a PostgreSQL server, from many wires at once if wanted.");
    line.add("CONNINFO", options.info, "libpq's connection string, such as host=/run/postgresql")
        .required();
    line.add("SQL", options.statements, "Statements, one after the other").required();
    line.add("--with", options.with, "Values for $1, $2, ...");
    line.add("--wires", options.wires, "How many wires ask").number(1, 10'000);
    line.add("--connections", options.connections, "How many connections they share")
        .number(1, 1000);
    line.add("--times", options.times, "How often each asks").number(1, 1'000'000);
    line.add("--pause", options.pause, "Seconds between, without a connection").range(0.0, 1e6);
    line.add("--timeout", options.timeout, "Seconds for each step").range(0.001, 1e6);
    line.add("--ticks", options.ticks, "Count the ticks of another wire meanwhile");
    line.parse(argc, argv);
    return line.end(wire::run(ask_from_all));
}
