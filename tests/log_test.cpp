// The log: what lines look like, their order, and readers that do not read, or are gone.
#include "support/io.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <barrier>
#include <fstream>
#include <iterator>
#include <list>
#include <optional>
#include <regex>
#include <sstream>
#include <thread>
#include <vector>

#include <wire/log.hpp>
#include <wire/offload.hpp>
#include <wire/pipe.hpp>
#include <wire/spawn.hpp>
#include "support/count_malloc.hpp"
#include "support/diagnostics.hpp"
#include "support/dies.hpp"
#include "support/failing_call.hpp"
#include "support/fifo.hpp"
#include "support/trace.hpp"

namespace wire::test {
namespace {

using io::log_level;
using enum io::log_level;
using texts = std::vector<std::string>;

constexpr std::size_t tiny = 1024;  // lines of half of it

// A pipe that holds 4 KiB, its write end as a program gets it as standard output.
struct small_pipe {
    small_pipe() {
        int fds[2];
        CHECK(::pipe2(fds, O_CLOEXEC) == 0);
        CHECK(::fcntl(fds[1], F_SETPIPE_SZ, 4096) == 4096);
        out = io::pipe_end::adopt(fds[0]).value();
        in = fds[1];
    }
    ~small_pipe() { close(); }
    small_pipe(const small_pipe&) = delete;
    small_pipe& operator=(const small_pipe&) = delete;

    void close() {
        if (in >= 0) ::close(std::exchange(in, -1));
    }
    /// Bytes that nobody has read yet.
    int written() const {
        int n = 0;
        CHECK(::ioctl(out.native_handle(), FIONREAD, &n) == 0);
        return n;
    }
    void fill() const { CHECK(::write(in, std::string(4096, '.').data(), 4096) == 4096); }
    /// On a wire: what comes, until so many lines have.
    std::string take(std::ptrdiff_t lines) {
        std::string all;
        std::array<char, 4096> buffer;
        while (std::count(all.begin(), all.end(), '\n') < lines) {
            const auto n = out.read(std::as_writable_bytes(std::span(buffer)), soon());
            if (!n || *n == 0) return all + "!";
            all.append(buffer.data(), *n);
        }
        return all;
    }

    io::pipe_end out;
    int in;
};

class temporary_file {
public:
    temporary_file() : fd(::mkstemp(name_)) { CHECK(fd >= 0); }
    ~temporary_file() {
        ::close(fd);
        ::unlink(name_);
    }
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;
    [[nodiscard]] std::string content() const {
        std::ifstream file(name_);
        return {std::istreambuf_iterator<char>(file), {}};
    }

private:
    char name_[28] = "/tmp/wire-log-test-XXXXXX";

public:
    const int fd;
};

texts lines_of(const std::string& all) {
    texts lines;
    std::istringstream in(all);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

// What a call said, if date and level are as they should be. (std::regex would recurse too deeply.)
std::string said_in_line(std::string_view line) {
    constexpr std::string_view form = "dddd-dd-dd dd:dd:dd.ddddddddd <";
    line.remove_prefix(
        std::min(line.find_first_not_of('.'), line.size()));  // of small_pipe::fill()
    for (std::size_t i = 0; i < form.size(); ++i) {
        const char c = i < line.size() ? line[i] : '?';
        if (form[i] == 'd' ? c < '0' || c > '9' : c != form[i]) return "torn: " + std::string(line);
    }
    return std::string(line.substr(line.find("> ") + 2));
}

texts said_in(const std::string& all) {
    texts said;
    for (const std::string& line : lines_of(all)) said.push_back(said_in_line(line));
    return said;
}

// Today's, as a log writes it.
std::string date() {
    const std::time_t t = std::time(nullptr);
    char text[16];
    std::strftime(text, sizeof text, "%F", std::localtime(&t));
    return text;
}

TEST_CASE("log: a line has the local time, its level and its text") {
    const temporary_file file;
    const std::string before = date();
    on_wires([&] {
        io::log log(file.fd);
        log(info, "%d of %s", 3, "four");
    });
    const std::string now = file.content();
    CHECK(said_in(now) == texts{"3 of four"});
    CHECK(now.find(" <INFO> ") == 29);
    CHECK((now.starts_with(before) || now.starts_with(date())));  // it may have been midnight
}

TEST_CASE("log: seven levels, of which the lower ones can be dropped before they are formatted") {
    const temporary_file file;
    on_wires([&] {
        io::log log(file.fd, {.least = warning});
        const void* const trap = ::mmap(nullptr, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (const log_level level : {debug, info, notice})
            log(level, "%s", static_cast<const char*>(trap));
        for (const log_level level : {warning, err, critical, fatal}) log(level, "x");
        CHECK_FALSE(log.enabled(notice));
        log.set_least(debug);
        CHECK(log.least() == debug);
        for (const log_level level : {debug, info, notice}) log(level, "x");
    });
    std::string levels;
    for (const std::string& line : lines_of(file.content())) levels += line.substr(30);
    CHECK(levels == "<WARNING> x<ERR> x<CRITICAL> x<FATAL> x<DEBUG> x<INFO> x<NOTICE> x");
}

TEST_CASE("log: for systemd's journal a line has its priority in front, and no date") {
    const temporary_file file;
    on_wires([&] {
        io::log log(file.fd, {.for_journal = true});
        for (const log_level level : {debug, info, notice, warning, err, critical, fatal})
            log(level, "%s", "two\nlines");
    });
    std::string wanted;
    for (const char priority : std::string("7654321"))
        wanted += std::string("<") + priority + ">two lines\n";
    CHECK(file.content() == wanted);
}

TEST_CASE("log: lines of many wires come whole and in the order of the calls") {
    on_wires([] {
        small_pipe p;
        io::log log(p.in, {.buffer = tiny});
        texts calls;
        std::list<handle<void>> all;
        for (int w = 0; w < 30; ++w)
            all.push_back(spawn([&, w] {
                for (int i = 0; i < 20; ++i) {
                    const std::string text = with_number("wire", w) +
                                             std::string(static_cast<std::size_t>(i * w % 97), '-');
                    calls.push_back(text);
                    log(info, "%s", text.c_str());
                    if (i % 3 == 0) yield();
                }
            }));
        CHECK(said_in(p.take(600)) == calls);
        for (auto& h : all) CHECK(h.join(soon()));
        CHECK(log.lost() == 0);
    });
}

TEST_CASE("log: a reader that does not read stops those that log, and nobody else" * fifo) {
    on_wires(
        [] {
            small_pipe p;
            p.fill();
            io::log log(p.in, {.buffer = tiny});
            trace happened;
            texts calls;
            const auto chatter = [&](std::string name) {
                const std::string text = name + std::string(100, '-');
                for (int i = 0; i < 6; ++i) {
                    calls.push_back(text);
                    log(info, "%s", text.c_str());
                }
                happened(name);
            };
            auto a = spawn(chatter, "a");
            auto b = spawn(chatter, "b");
            for (int i = 0; i < 3; ++i) {
                let_others_run();
                CHECK(io::offload(soon(), [] { return 1; }).value() == 1);  // the only helper
                happened("other", i);
            }
            CHECK(happened == trace{"other0", "other1", "other2"});
            CHECK(log.flush(within(1ms)).code() == ETIMEDOUT);
            CHECK(said_in(p.take(12)) == calls);
            CHECK(a.join(soon()));
            CHECK(b.join(soon()));
            CHECK(happened == trace{"other0", "other1", "other2", "a", "b"});
            CHECK(log.lost() == 0);
        },
        {.helpers = 1});
}

TEST_CASE("log: a wire without room waits for it although it is cancelled") {
    on_wires([] {
        small_pipe p;
        p.fill();
        io::log log(p.in, {.buffer = tiny});
        auto h = spawn([&] {
            for (int i = 0; i < 20; ++i) log(info, "%060d", i);
            return this_wire::cancelled();
        });
        let_others_run();
        h.cancel();
        let_others_run();
        CHECK_FALSE(h.finished());
        CHECK(said_in(p.take(20)).size() == 20);
        CHECK(h.join(soon()).value());
    });
}

TEST_CASE("log: flush waits for what was logged before, and can be cancelled") {
    on_wires([] {
        small_pipe p;
        io::log log(p.in);
        CHECK(log.flush(soon()));
        log(info, "one");
        CHECK(log.flush(soon()));
        CHECK(said_in(p.take(1)) == texts{"one"});
        p.fill();
        log(info, "two");
        auto h = spawn([&] { return log.flush().code(); });
        yield();
        h.cancel();
        CHECK(h.join(soon()).value() == ECANCELED);
        CHECK(said_in(p.take(1)) == texts{"two"});
    });
}

TEST_CASE("log: run() returns when all is written, and the log serves the next runtime") {
    const temporary_file file;
    io::log log(file.fd);
    log(info, "before");
    on_wires([&] { log(info, "one"); });
    CHECK(said_in(file.content()) == texts{"before", "one"});
    log(info, "between");
    on_wires([&] { log(info, "two"); });
    CHECK(said_in(file.content()) == texts{"before", "one", "between", "two"});
}

TEST_CASE("log: destroyed in a wire it is written first") {
    const temporary_file file;
    on_wires([&] {
        {
            io::log log(file.fd);
            for (int i = 0; i < 300; ++i) log(info, "%d", i);
        }
        CHECK(said_in(file.content()).size() == 300);
    });
}

TEST_CASE("log: other threads write at once, and whole lines") {
    on_wires([] {
        small_pipe p;
        io::log log(p.in, {.buffer = tiny});
        std::list<std::jthread> threads;
        for (int t = 0; t < 3; ++t)
            threads.emplace_back([&, t] {
                for (int i = 0; i < 50; ++i) log(info, "thread %d says %d", t, i);
            });
        go([&] {
            for (int i = 0; i < 50; ++i) log(info, "wire says %d", i);
        });
        const std::regex form(R"((thread \d|wire) says \d+)");
        for (const std::string& text : said_in(p.take(200))) CHECK(std::regex_match(text, form));
    });
}

TEST_CASE("log: outside of wires a full descriptor blocks the thread, also a non-blocking one") {
    small_pipe p;
    p.fill();
    CHECK(::fcntl(p.in, F_SETFL, O_NONBLOCK) == 0);
    std::jthread other([&] {
        io::log log(p.in);
        log(info, "late");
        CHECK(log.lost() == 0);
    });
    on_wires([&] {
        let_others_run();
        CHECK(said_in(p.take(1)) == texts{"late"});
    });
}

TEST_CASE("log: a line that is too long is cut and says so; the longest fits") {
    const temporary_file file;
    on_wires([&] {
        io::log log(file.fd, {.buffer = tiny});
        const std::size_t head = std::string("2026-02-28 17:03:59.000123456 <INFO> ").size();
        const std::string longest(tiny / 2 - head - 1, 'x');
        log(info, "%s", longest.c_str());
        log(info, "%sy", longest.c_str());
        log(info, "short");
        CHECK(log.flush(soon()));
        const std::string mark = "[cut: line of 513 bytes]";
        const std::string rest = longest.substr(0, longest.size() - mark.size());
        CHECK(said_in(file.content()) == texts{longest, rest + mark, "short"});
    });
    io::log(file.fd)(info, "%20000d", 1);
    CHECK(file.content().ends_with("[cut: line of 20038 bytes]\n"));
}

TEST_CASE("log: a line longer than a piece of a pipe comes whole") {
    on_wires([] {
        small_pipe p;
        io::log log(p.in);
        const std::string text = long_text(20'000);
        auto reader = spawn([&] { return p.take(3); });
        for (int i = 0; i < 3; ++i) log(info, "%s", text.c_str());
        CHECK(said_in(reader.join(soon()).value()) == texts(3, text));
    });
}

TEST_CASE("log: a call is a line, also if its text has several") {
    const temporary_file file;
    on_wires([&] {
        io::log log(file.fd);
        log(info, "one\ntwo\n");
    });
    CHECK(said_in(file.content()) == texts{"one two "});
}

TEST_CASE("log: %m is errno's text, and errno stays as it is") {
    const temporary_file file;
    on_wires([&] {
        io::log log(file.fd);
        errno = ENOENT;
        const std::string form = "%m";  // which -Wpedantic does not allow in a literal
        log(info, form.c_str(), 0);
        CHECK(errno == ENOENT);
        errno = EACCES;
    });
    CHECK(said_in(file.content()) == texts{"No such file or directory"});
}

TEST_CASE("log: what cannot be written is counted, and told once") {
    const caught_diagnostics said;
    const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
    on_wires([&] {
        io::log log(full, {.buffer = tiny});
        for (int i = 0; i < 100; ++i) log(info, "%d", i);
        CHECK(log.flush(soon()));
        CHECK(log.lost() == 100);
    });
    io::log log(full);
    log(info, "x");
    CHECK(log.lost() == 1);
    ::close(full);
    CHECK(said.of(diagnostic::loss) ==
          texts(2, "lines of a log cannot be written: No space left on device"));
}

TEST_CASE("log: without a reader lines are lost, and no signal comes") {
    const caught_diagnostics said;
    ::signal(SIGPIPE, SIG_DFL);
    small_pipe p;
    p.out.close();
    io::log log(p.in);
    on_wires([&] { log(info, "x"); });
    log(info, "y");
    CHECK(log.lost() == 2);
    CHECK(said.has(diagnostic::loss, "Broken pipe"));
}

TEST_CASE("log: after half a line was lost the next one begins a line") {
    on_wires([] {
        const caught_diagnostics said;
        small_pipe p;
        io::log log(p.in);
        const std::string text = long_text(9000);
        log(info, "%s", text.c_str());
        while (p.written() < 4096) let_others_run();
        {
            const failing_call broken("write", EIO, 1, 1);
            std::array<std::byte, 4096> buffer;
            CHECK(p.out.read(buffer, soon()).value() == 4096);
            CHECK(log.flush(soon()));
        }
        CHECK(log.lost() == 1);
        log(info, "next");
        CHECK(said_in(p.take(2)).back() == "next");
    });
}

TEST_CASE("log: a runtime that ends does not wait long for a reader that does not read") {
    const caught_diagnostics said;
    small_pipe p;
    p.fill();
    io::log log(p.in, {.buffer = tiny});
    int ended = 0;
    {
        runtime rt;
        const io::reactor reactor(rt);
        for (int w = 0; w < 3; ++w)
            rt.go([&] {
                for (int i = 0; i < 20; ++i) log(info, "%d", i);
                ++ended;
            });
        rt.go([&] { rt.stop(); });
        CHECK(rt.run());
        CHECK(ended == 0);
    }
    CHECK(ended == 3);
    CHECK(log.lost() == 60);
    CHECK(said.has(diagnostic::loss, "timed out"));
    CHECK(said.of(diagnostic::straggler).empty());
}

TEST_CASE("log: misuse is told") {
    CHECK(dies([] { const io::log log(2, {.buffer = 1000}); }, "at least 1024 bytes"));
    const auto stopped = [](auto after) {
        small_pipe p;
        p.fill();
        std::optional<io::log> log(std::in_place, p.in);
        runtime rt;
        const io::reactor reactor(rt);
        rt.go([&] {
            (*log)(info, "x");
            rt.stop();
        });
        CHECK(rt.run());
        after(log);
    };
    CHECK(dies([&] { stopped([](auto& log) { log.reset(); }); }, "destroyed outside a wire"));
    const auto another_runtime = [](auto& log) {
        runtime rt;
        const io::reactor reactor(rt);
        rt.go([&] { (*log)(info, "y"); });
        static_cast<void>(rt.run());
    };
    CHECK(dies([&] { stopped(another_runtime); }, "one runtime at a time"));
}

TEST_CASE("log: without a stack for its wire it is written all the same") {
    const temporary_file file;
    alignas(64) static std::byte memory[64 * 1024];
    runtime rt({.stack = {.size = 64 * 1024, .guard = 0, .memory = memory}});
    const io::reactor reactor(rt);
    rt.go([&] {
        io::log log(file.fd);
        log(info, "one");
        log(info, "two");
    });
    CHECK(rt.run());
    CHECK(said_in(file.content()) == texts{"one", "two"});
}

TEST_CASE("log: without helper threads it is written all the same") {
    const caught_diagnostics said;
    const temporary_file file;
    on_wires([&] {
        const failing_call refused("pthread_create", EAGAIN);
        io::log log(file.fd);
        log(info, "one");
        CHECK(log.flush(soon()));
        CHECK(said_in(file.content()) == texts{"one"});
    });
    CHECK(said.has(diagnostic::fallback, "pthread_create"));
}

TEST_CASE("log: in steady state nothing allocates, and the buffer may be the caller's") {
    const temporary_file file;
    std::array<char, 2 * tiny> memory;
    on_wires([&] {
        io::log log(file.fd, {.memory = memory});
        const auto chat = [&] {
            for (int i = 0; i < 100; ++i) log(info, "%d", i);
            CHECK(log.flush(soon()));
        };
        chat();
        const allocation_count count;
        chat();
        if (counts_allocations()) CHECK(count.value() == 0);
    });
    CHECK(said_in(file.content()).size() == 200);
}

}  // namespace
}  // namespace wire::test
