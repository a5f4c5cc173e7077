// docs/from-the-seeds.md maps the names of earlier works to ours. Here each of ours is compiled,
// row by row, and compared with the document: a name that changes breaks this file, a row that
// changes breaks the test.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <wire/bridge.hpp>
#include <wire/diagnostics.hpp>
#include <wire/fault_report.hpp>
#include <wire/pool.hpp>
#include <wire/shm/arena.hpp>
#include <wire/shm/data_channel.hpp>
#include <wire/shm/ring.hpp>
#include <wire/shm/sender.hpp>
#include <wire/stack.hpp>
#include <wire/wire.hpp>
#include <wire/wire_pool.hpp>

namespace {

using names = std::set<std::string>;

// ---- our names, compiled. Each macro makes the text from the very tokens that it compiles.

template <class... T>
constexpr bool compiles = true;

// "wire::handle<int>::join" is shown as wire::handle::join.
std::string shown(const std::string& tokens) {
    return std::regex_replace(tokens, std::regex("<[^>]*>"), "");
}

#define TYPE(type) (static_cast<void>(sizeof(type)), shown(#type))
#define VALUE(name) (static_cast<void>(compiles<decltype(name)>), shown(#name))
#define CALL(name, ...) (static_cast<void>(compiles<decltype(name(__VA_ARGS__))>), shown(#name))
#define MEMBER(type, name, ...)                                                      \
    (static_cast<void>(compiles<decltype(std::declval<type&>().name(__VA_ARGS__))>), \
     shown(#type "::" #name))

// Arguments.
using work = int (*)();
using buffer = std::span<std::byte>;
using data = std::span<const std::byte>;
using parts = std::span<const iovec>;
using raw = const sockaddr*;
using record = wire::shm::arena_record;
using number = std::uint32_t;
using sizes = wire::shm::ring_options;
using init = void (*)(buffer);
using branches = std::span<wire::branch* const>;
using numbers = std::span<int>;
using with_number = void (*)(int&, std::size_t);

const std::map<std::string, names> ours = {
    {"W1", {TYPE(wire::runtime)}},
    {"W2", {MEMBER(wire::runtime, run), MEMBER(wire::runtime, run_once), CALL(wire::run, work())}},
    {"W3",
     {CALL(wire::go, work()), CALL(wire::spawn, work()), MEMBER(wire::runtime, go, work()),
      MEMBER(wire::runtime, spawn, work()), TYPE(wire::spawn_options)}},
    {"W4", {CALL(wire::yield)}},
    {"W5",
     {CALL(wire::suspend, wire::never), CALL(wire::resume, wire::wire_ref()),
      MEMBER(wire::remote, resume, wire::wire_ref())}},
    {"W6", {TYPE(wire::runtime)}},
    {"W7",
     {CALL(wire::this_wire::ref), CALL(wire::this_wire::id), CALL(wire::this_wire::name),
      TYPE(wire::wire_ref)}},
    {"W9",
     {MEMBER(wire::handle<int>, cancel), MEMBER(wire::cancel_scope, cancel),
      MEMBER(wire::runtime, cancel_all), CALL(wire::this_wire::cancelled), TYPE(wire::shield)}},
    {"W10",
     {MEMBER(wire::handle<int>, join, wire::never), MEMBER(wire::handle<int>, finished),
      MEMBER(wire::handle<int>, detach)}},
    {"W14", {VALUE(wire::diagnostic::trace), CALL(wire::set_diagnostics_handler, nullptr)}},
    {"W15",
     {MEMBER(wire::runtime, wires), MEMBER(wire::runtime, dump, 2),
      VALUE(wire::run_options::dump_on_quit)}},
    {"W16",
     {MEMBER(wire::stack_cache, acquire), MEMBER(wire::stack_cache, release, wire::stack()),
      MEMBER(wire::stack_cache, trim, std::size_t{}), TYPE(wire::stack_options),
      VALUE(wire::stack_options::memory), VALUE(wire::spawn_options::stack),
      CALL(wire::high_water, wire::stack()), CALL(wire::this_wire::high_water)}},
    {"W17", {CALL(wire::install_fault_report), VALUE(wire::run_options::fault_report)}},
    {"W18",
     {TYPE(wire::wire_pool), TYPE(wire::wire_pool_options), MEMBER(wire::wire_pool, wires_max),
      MEMBER(wire::wire_pool, available)}},
    {"W19", {MEMBER(wire::wire_pool, try_go, work()), MEMBER(wire::wire_pool, try_spawn, work())}},
    {"W20",
     {MEMBER(wire::wire_pool, go, wire::never, work()),
      MEMBER(wire::wire_pool, spawn, wire::never, work())}},
    {"W21",
     {TYPE(wire::wait), MEMBER(wire::wait, reset), MEMBER(wire::wait, stop), TYPE(wire::wait_list),
      MEMBER(wire::wait_list, chain, std::declval<wire::wait&>()),
      MEMBER(wire::wait_list, unchain, std::declval<wire::wait&>())}},
    {"W22", {MEMBER(wire::wait, wake)}},
    {"W23", {MEMBER(wire::wait_list, await, wire::never)}},
    {"W24", {MEMBER(wire::wait, await, wire::never)}},
    {"W25",
     {TYPE(wire::channel<int>), MEMBER(wire::channel<int>, send, 1, wire::never),
      MEMBER(wire::channel<int>, recv, wire::never), MEMBER(wire::channel<int>, try_recv),
      MEMBER(wire::channel<int>, try_send, 1)}},
    {"W26",
     {TYPE(wire::recv_wait<int>), MEMBER(wire::recv_wait<int>, take),
      CALL(wire::select, branches()),
      CALL(wire::on_recv, std::declval<wire::channel<int>&>(), [](wire::result<int>) {})}},
    {"W27", {TYPE(wire::io::reactor)}},
    {"W28",
     {CALL(wire::io::wait_readable, 0, wire::never),
      CALL(wire::io::wait_writable, 0, wire::never)}},
    {"W29",
     {CALL(wire::io::wait_readable, 0, wire::never), CALL(wire::io::wait_writable, 0, wire::never),
      TYPE(wire::io::readable_wait), TYPE(wire::io::writable_wait)}},
    {"W30", {CALL(wire::sleep, wire::never), CALL(wire::within, std::chrono::milliseconds(1))}},
    {"W31", {TYPE(wire::poller)}},
    {"W32",
     {TYPE(wire::deadline), CALL(wire::within, std::chrono::seconds(1)), VALUE(wire::never),
      TYPE(wire::cancel_scope), MEMBER(wire::cancel_scope, expired), TYPE(wire::timer),
      MEMBER(wire::timer, arm, wire::never), MEMBER(wire::timer, disarm)}},
    {"W33",
     {CALL(wire::io::stream::adopt, 0), MEMBER(wire::io::stream, close),
      MEMBER(wire::io::stream, release)}},
    {"W34",
     {CALL(wire::io::connect, wire::io::address(), wire::never),
      CALL(wire::io::address::from, raw(), sizeof(sockaddr))}},
    {"W35",
     {CALL(wire::io::connect, "localhost", "http", wire::never),
      CALL(wire::io::connect_any, std::span<const wire::io::address>(), wire::never),
      CALL(wire::io::resolve, "localhost", "http", wire::never),
      CALL(wire::io::connect_tcp, "::1", 80, wire::never)}},
    {"W36",
     {MEMBER(wire::io::stream, read_exactly, buffer(), wire::never),
      MEMBER(wire::io::stream, read, buffer(), wire::never),
      MEMBER(wire::io::stream, read_at_least, buffer(), std::size_t{1}, wire::never),
      MEMBER(wire::io::stream, write_all, data(), wire::never), TYPE(wire::io::io_progress)}},
    {"W37",
     {CALL(wire::io::offload, work()), VALUE(wire::io::reactor_options::helpers),
      VALUE(wire::io::reactor_options::helpers_idle)}},
    {"W38a",
     {MEMBER(wire::io::stream, read, buffer(), wire::never),
      MEMBER(wire::io::stream, write, data(), wire::never),
      MEMBER(wire::io::stream, write_all, data(), wire::never), MEMBER(wire::io::stream, close),
      CALL(wire::io::wait_readable, 0), CALL(wire::io::wait_writable, 0)}},
    {"W38b",
     {CALL(wire::io::open, "", O_RDONLY, mode_t{}, wire::never),
      MEMBER(wire::io::file, pread, buffer(), std::uint64_t{}, wire::never),
      MEMBER(wire::io::file, pwrite, data(), std::uint64_t{}, wire::never),
      MEMBER(wire::io::file, preadv, parts(), std::uint64_t{}, wire::never),
      MEMBER(wire::io::file, pwritev, parts(), std::uint64_t{}, wire::never),
      MEMBER(wire::io::file, statx, wire::never), CALL(wire::io::statx, "", 0, wire::never),
      MEMBER(wire::io::file, fsync, wire::never), MEMBER(wire::io::file, fdatasync, wire::never),
      MEMBER(wire::io::file, fallocate, 0, std::uint64_t{}, std::uint64_t{}, wire::never),
      CALL(wire::io::unlink, "", wire::never), CALL(wire::io::list_directory, "", wire::never),
      MEMBER(wire::io::file, close, wire::never)}},
    {"W38c",
     {CALL(wire::io::resolve, "localhost", "http", wire::never),
      CALL(wire::io::call, &::getifaddrs, std::declval<ifaddrs**>())}},
    {"W38d",
     {MEMBER(wire::io::process, wait, wire::never), TYPE(wire::io::exit_wait),
      CALL(wire::io::process::start, std::vector<std::string>{})}},
    {"W38e",
     {TYPE(wire::io::log), TYPE(wire::io::syslog_options),
      MEMBER(wire::io::log, set_least, wire::io::log_level::debug)}},
    {"W38g", {CALL(wire::sleep, wire::never)}},
    {"W38i", {CALL(wire::io::offload, work())}},
    {"W38j", {CALL(wire::io::call, &::truncate, "", off_t{})}},
    {"W40",
     {TYPE(wire::mutex), MEMBER(wire::mutex, lock), MEMBER(wire::mutex, unlock),
      MEMBER(wire::mutex, wait_clear, wire::never)}},
    {"W41",
     {TYPE(wire::semaphore), MEMBER(wire::semaphore, acquire, wire::never),
      MEMBER(wire::semaphore, release)}},
    {"W42", {TYPE(wire::io::log), TYPE(wire::io::log_level)}},
    {"W43",
     {TYPE(wire::io::log), TYPE(wire::io::log_options), TYPE(wire::io::syslog_options),
      MEMBER(wire::io::log, flush, wire::never), MEMBER(wire::io::log, lost)}},
    {"W44", {TYPE(wire::detail::list<wire::detail::link>)}},
    {"M1",
     {TYPE(wire::pool<int>), TYPE(wire::raw_pool), TYPE(wire::pool_options),
      CALL(wire::pool<int>::storage_size, 1)}},
    {"M2", {TYPE(wire::pool<int>)}},
    {"M3", {MEMBER(wire::pool<int>, for_each, with_number())}},
    {"M4",
     {MEMBER(wire::pool<int>, take, wire::never), MEMBER(wire::pool<int>, try_take),
      MEMBER(wire::pool<int>, take_swap, std::declval<int&>(), wire::never),
      MEMBER(wire::pool<int>, try_take_swap, std::declval<int&>())}},
    {"M5",
     {MEMBER(wire::pool<int>, put, 1, wire::never), MEMBER(wire::pool<int>, try_put, 1),
      MEMBER(wire::pool<int>, put_swap, std::declval<int&>(), wire::never),
      MEMBER(wire::pool<int>, try_put_swap, std::declval<int&>())}},
    {"M6",
     {MEMBER(wire::pool<int>, claim_take, wire::never), MEMBER(wire::pool<int>, try_claim_take),
      MEMBER(wire::pool<int>, claim_put, wire::never), MEMBER(wire::pool<int>, try_claim_put),
      MEMBER(wire::take_claim<int&>, take), MEMBER(wire::put_claim<int&>, put)}},
    {"M7",
     {MEMBER(wire::pool<int>, close), MEMBER(wire::pool<int>, reopen),
      MEMBER(wire::pool<int>, closed)}},
    {"M8", {MEMBER(wire::pool<int>, wait_until_empty, wire::never)}},
    {"M9", {TYPE(wire::waiting), VALUE(wire::pool_options::wait)}},
    {"M10", {TYPE(wire::pool<int>)}},
    {"M12", {TYPE(wire::pool<int>)}},
    {"R1", {CALL(wire::shm::arena::unique_name)}},
    {"R2",
     {CALL(wire::shm::arena::create, "/name", wire::shm::arena_options()),
      CALL(wire::shm::arena::open, "/name"), CALL(wire::shm::arena::open_or_create, "/name"),
      TYPE(wire::shm::arena_options)}},
    {"R3", {TYPE(wire::shm::arena), CALL(wire::shm::arena::remove, "/name")}},
    {"R4", {TYPE(wire::shm::arena)}},
    {"R5",
     {MEMBER(wire::shm::arena, add_channel, number(), wire::shm::role::producer),
      TYPE(wire::shm::role), TYPE(wire::shm::data_channel<int>),
      CALL(wire::shm::data_channel<int>::add, std::declval<wire::shm::arena&>(), number(),
           wire::shm::role::consumer)}},
    {"R6",
     {MEMBER(wire::shm::arena, allocate, std::size_t{1}, number()),
      MEMBER(wire::shm::data_channel<int>, make)}},
    {"R7",
     {TYPE(wire::shm::arena_record), MEMBER(wire::shm::arena, free, record()),
      MEMBER(wire::shm::arena, adopt, buffer())}},
    {"R8",
     {MEMBER(wire::shm::arena, send, number(), std::declval<record&>(), wire::never),
      MEMBER(wire::shm::arena, try_send, number(), std::declval<record&>()),
      MEMBER(wire::shm::data_channel<int>, send, 1, wire::never)}},
    {"R9",
     {MEMBER(wire::shm::arena, recv, number(), wire::never),
      MEMBER(wire::shm::arena, try_recv, number()),
      MEMBER(wire::shm::data_channel<int>, recv, wire::never),
      CALL(wire::on_record, std::declval<wire::shm::arena&>(), number(),
           [](wire::result<record>) {})}},
    {"R10",
     {MEMBER(wire::shm::arena, add_segment, number(), std::size_t{1}, init(), wire::never),
      MEMBER(wire::shm::arena, segment, number())}},
    {"R11",
     {MEMBER(wire::shm::arena, has_data, number()),
      MEMBER(wire::shm::arena, has_producers, number()),
      MEMBER(wire::shm::arena, has_active_channels),
      MEMBER(wire::shm::arena, has_channel, number()),
      MEMBER(wire::shm::arena, wait_for_channel, number(), wire::never),
      MEMBER(wire::shm::arena, channels), MEMBER(wire::shm::arena_record, bytes)}},
    {"R12",
     {MEMBER(wire::shm::arena, remove_channel, number()),
      MEMBER(wire::shm::arena, leave_channel, number()),
      MEMBER(wire::shm::data_channel<int>, leave)}},
    {"R13", {TYPE(wire::io::signals)}},
    {"S1",
     {CALL(wire::shm::ring::create, "/name", sizes()),
      CALL(wire::shm::ring::create_file, "path", sizes()),
      CALL(wire::shm::ring::create_in, buffer(), sizes()), CALL(wire::shm::ring::open, "/name"),
      CALL(wire::shm::ring::open_file, "path"), CALL(wire::shm::ring::open_in, buffer()),
      TYPE(wire::shm::ring_options)}},
    {"S2",
     {TYPE(wire::shm::producer), MEMBER(wire::shm::producer, attach, "/name"),
      MEMBER(wire::shm::producer, attach_file, "path"),
      MEMBER(wire::shm::producer, attach_memory, buffer()), TYPE(wire::shm::sender)}},
    {"S3",
     {MEMBER(wire::shm::producer, try_send, data()),
      MEMBER(wire::shm::producer, send, data(), wire::never),
      MEMBER(wire::shm::producer, claim, std::size_t{1}, std::declval<buffer&>(), wire::never),
      MEMBER(wire::shm::producer, commit, std::size_t{1}), MEMBER(wire::shm::producer, abort)}},
    {"S4",
     {MEMBER(wire::shm::ring, try_recv, buffer()), MEMBER(wire::shm::ring, recv, buffer()),
      MEMBER(wire::shm::ring, peek, wire::never), MEMBER(wire::shm::ring, release)}},
    {"S7", {TYPE(wire::shm::producer)}},
};

const names beyond = {
    TYPE(wire::bridge<int>),
    MEMBER(wire::pool<int>, put_some, numbers(), wire::never),
    MEMBER(wire::pool<int>, take_some, numbers(), wire::never),
    MEMBER(wire::pool<int>, statistics),
    MEMBER(wire::handle<int>, join),
    TYPE(wire::cancel_scope),
    TYPE(wire::deadline),
    TYPE(wire::remote),
    MEMBER(wire::remote, call, wire::never, work()),
    MEMBER(wire::remote, cancel, wire::wire_ref()),
    TYPE(wire::io::dump_on_quit),
    MEMBER(wire::io::listener, accept, wire::never),
    TYPE(wire::io::signals),
    VALUE(wire::run_options::threads),
    TYPE(wire::shared_mutex),
    TYPE(wire::condition_variable),
    TYPE(wire::wait_group),
    TYPE(wire::once),
    TYPE(wire::barrier),
};

// ---- the document

const std::string path = std::string(__FILE__).substr(0, std::string(__FILE__).rfind("tests/")) +
                         "docs/from-the-seeds.md";

std::vector<std::string> lines_of_document() {
    std::ifstream file(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
}

std::vector<std::string> cells_of(const std::string& line) {
    std::vector<std::string> cells;
    for (std::size_t from = 1, to; (to = line.find('|', from)) != line.npos; from = to + 1)
        cells.push_back(line.substr(from, to - from));
    return cells;
}

names names_in(const std::string& text) {
    static const std::regex quoted("`(wire::[a-z_:]+)`");
    names found;
    for (std::sregex_iterator i(text.begin(), text.end(), quoted), end; i != end; ++i)
        found.insert((*i)[1]);
    return found;
}

std::string trimmed(const std::string& text) {
    const auto from = text.find_first_not_of(' ');
    return from == text.npos ? "" : text.substr(from, text.find_last_not_of(' ') - from + 1);
}

// What the column "here" says in each row of the earlier works.
std::map<std::string, std::string> answers() {
    std::map<std::string, std::string> rows;
    for (const std::string& line : lines_of_document()) {
        const auto cells = cells_of(line);
        if (cells.size() < 3 ||
            !std::regex_match(trimmed(cells[0]), std::regex("[WMRS]\\d+[a-z]?")))
            continue;
        CHECK_MESSAGE(rows.emplace(trimmed(cells[0]), trimmed(cells[2])).second,
                      "twice: row " << cells[0]);
    }
    return rows;
}

names named_beyond() {
    names found;
    bool there = false;
    for (const std::string& line : lines_of_document()) {
        if (line.starts_with("## ")) there = line == "## What no earlier work had";
        if (there) found.merge(names_in(line));
    }
    return found;
}

}  // namespace

TEST_CASE("seed names: the document says where each row went, with names that exist") {
    const auto rows = answers();
    for (const auto& row : rows) {
        INFO(path, ", row ", row.first);
        const auto known = ours.find(row.first);
        CHECK(names_in(row.second) == (known == ours.end() ? names() : known->second));
    }
    for (const auto& row : ours) CHECK_MESSAGE(rows.count(row.first) == 1, "no row " << row.first);
}

TEST_CASE("seed names: a row without a name of ours says why") {
    const std::regex reason("left out.*|see below.*|Meson's.*");
    for (const auto& row : answers()) {
        INFO(path, ", row ", row.first);
        CHECK((!names_in(row.second).empty() || std::regex_match(row.second, reason)));
    }
}

TEST_CASE("seed names: every row of the five works is there") {
    const auto rows = answers();
    const std::map<char, int> last = {{'W', 44}, {'M', 12}, {'R', 15}, {'S', 8}};
    for (const auto& [letter, count] : last)
        for (int i = 1; i <= count; ++i) {
            const std::string row = letter + std::to_string(i);
            CHECK_MESSAGE(rows.count(row) == 1, "no row " << row << " in " << path);
        }
}

TEST_CASE("seed names: what no earlier work had exists, too") {
    CHECK(named_beyond() == beyond);
}
