// What the wires of a runtime are doing: wires() and dump().
#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <ranges>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <wire/event.hpp>
#include <wire/runtime.hpp>
#include "support/count_malloc.hpp"
#include "support/dies.hpp"
#include "support/failing_call.hpp"
#include "support/sim_poller.hpp"

using namespace wire;
using namespace wire::test;
using namespace std::chrono_literals;

namespace {

static_assert(std::ranges::input_range<wire_range>);

const char* text(wire_state s) {
    switch (s) {
        case wire_state::ready:
            return "ready";
        case wire_state::running:
            return "running";
        case wire_state::waiting:
            return "waiting";
        case wire_state::finished:
            return "finished";
    }
    return "";
}

// One line for each, in the order of the ids: "1 main running".
std::vector<std::string> lines(wire_range all) {
    std::vector<wire_info> infos;
    for (const wire_info& w : all) infos.push_back(w);
    std::ranges::sort(infos, {}, &wire_info::id);
    std::vector<std::string> said;
    for (const wire_info& w : infos) {
        std::string& line = said.emplace_back(std::to_string(w.id));
        line.append(" ").append(w.name).append(" ").append(text(w.state));
        if (!w.waits_for.empty()) line.append(" ").append(w.waits_for);
        if (w.waited != 0ns) line.append(" ").append(std::to_string(w.waited / 1us));
    }
    return said;
}

using strings = std::vector<std::string>;

// What a function writes to a descriptor.
template <class F>
std::string written_by(F write_to) {
    int ends[2];
    CHECK(::pipe2(ends, O_NONBLOCK) == 0);
    write_to(ends[1]);
    ::close(ends[1]);
    std::string all;
    std::array<char, 4096> buffer;
    for (ssize_t n; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
        all.append(buffer.data(), static_cast<std::size_t>(n));
    ::close(ends[0]);
    return all;
}

}  // namespace

TEST_CASE("wires: each with its state, what it waits for and for how long") {
    sim s;
    event happened;
    s.rt.go({.name = "waits"}, [&] { CHECK(happened.await()); });
    auto ended = s.rt.spawn({.name = "ends"}, [] {});
    s.rt.go({.name = "looks"}, [&] {
        CHECK(sleep(within(3ms)));
        go({.name = "new"}, [] {});
        CHECK(lines(s.rt.wires()) == strings{"1 waits waiting event 3000", "2 ends finished",
                                             "3 looks running", "4 new ready"});
        CHECK(lines(wires()) == lines(s.rt.wires()));
        happened.set();
        CHECK(lines(wires())[0] == "1 waits ready");
    });
    CHECK(lines(s.rt.wires()) == strings{"1 waits ready", "2 ends ready", "3 looks ready"});
    CHECK(s.rt.run());
    CHECK(lines(s.rt.wires()) == strings{"2 ends finished"});
    CHECK(ended.join());
    CHECK(lines(s.rt.wires()).empty());
}

TEST_CASE("wires: one that has no name is called wire, one that was used again is new") {
    runtime rt;
    rt.go({.name = "first"}, [] {});
    CHECK(rt.run());
    rt.go([] {});
    CHECK(lines(rt.wires()) == strings{"2 wire ready"});
    CHECK(rt.run());
    CHECK(lines(rt.wires()).empty());
}

TEST_CASE("wires: as many as there are, over every size of the table") {
    runtime rt;
    for (int i = 0; i < 1000; ++i) rt.go([] {});
    CHECK(std::ranges::distance(rt.wires().begin(), rt.wires().end()) == 1000);
    CHECK(lines(rt.wires()).back() == "1000 wire ready");
    CHECK(rt.run());
    CHECK(lines(rt.wires()).empty());
}

TEST_CASE("wires: may start and end while they are looked at") {
    runtime rt;
    for (int i = 0; i < 100; ++i) rt.go({.name = "short"}, [] {});
    rt.go([&] {
        int n = 0;
        for (const wire_info& w : wires()) {
            CHECK(w.id > 0);
            if (++n % 10 == 0) yield();
            if (n < 200) go({.name = "later"}, [] {});
        }
        CHECK(n > 0);
    });
    CHECK(rt.run());
}

TEST_CASE("dump: a header and one line for each wire") {
    sim s;
    std::string said;
    s.rt.go({.name = "main"}, [&] {
        auto idle = spawn({.name = "idle"}, [] { CHECK(suspend()); });
        auto done = spawn({.name = "done"}, [] {});
        CHECK(sleep(within(1234us)));
        go({.name = "next"}, [] {});
        said = written_by([](int fd) { dump(fd); });
        resume(idle.ref());
        CHECK(idle.join());
        CHECK(done.join());
    });
    CHECK(s.rt.run());
    CHECK(said == "thread " + std::to_string(::gettid()) +
                      ": 4 wires\n"
                      "  wire 1 \"main\" runs\n"
                      "  wire 2 \"idle\" waits for resume for 1.234 ms\n"
                      "  wire 3 \"done\" has ended and was not joined\n"
                      "  wire 4 \"next\" is ready\n");
}

TEST_CASE("dump: outside wires, and of a runtime without any") {
    runtime rt;
    CHECK(written_by([&](int fd) { rt.dump(fd); }).ends_with(": 0 wires\n"));
    rt.go({.name = "a"}, [] {});
    CHECK(written_by([&](int fd) { rt.dump(fd); }).ends_with("  wire 1 \"a\" is ready\n"));
    CHECK(rt.run());
}

TEST_CASE("dump: a name with a newline stays on one line") {
    runtime rt;
    rt.go({.name = "a\nb\x1b"}, [] {});
    CHECK(written_by([&](int fd) { rt.dump(fd); }).ends_with("\"a?b?\" is ready\n"));
    CHECK(rt.run());
}

TEST_CASE("dump: many lines are whole, and allocate nothing; errno stays") {
    runtime rt;
    for (int i = 0; i < 500; ++i) rt.go({.name = "one of the many wires of a test"}, [] {});
    std::size_t allocated = 0;
    const std::string said = written_by([&](int fd) {
        const allocation_count count;
        errno = 5;
        rt.dump(fd);
        CHECK(errno == 5);
        allocated = count.value();
    });
    CHECK(std::ranges::count(said, '\n') == 501);
    CHECK(said.ends_with("  wire 500 \"one of the many wires of a test\" is ready\n"));
    if (counts_allocations()) CHECK(allocated == 0);
    CHECK(rt.run());
}

TEST_CASE("dump: what cannot be written is left out") {
    runtime rt;
    rt.go([] {});
    rt.dump(-1);
    CHECK(written_by([&](int fd) {
              const failing_call full("write", EAGAIN);
              rt.dump(fd);
          }).empty());
    CHECK(written_by([&](int fd) {
              const failing_call interrupted("write", EINTR, 1, 3);
              rt.dump(fd);
          }).ends_with("is ready\n"));
    CHECK(rt.run());
}

TEST_CASE("wires: are looked at on their own thread, in a wire or through their runtime") {
    CHECK(dies([] { static_cast<void>(wires()); }, "wire::wires() outside a wire"));
    CHECK(dies([] { dump(2); }, "wire::dump() outside a wire"));
    CHECK(dies(
        [] {
            runtime rt;
            rt.run_once();
            std::thread([&] { rt.dump(2); }).join();
        },
        "the wires of a runtime are looked at on its own thread"));
}
