// Owned descriptors: several waiters, closing, numbers that are used again, other runtimes.
#include "support/io.hpp"

#include <fcntl.h>

#include <future>
#include <optional>
#include <thread>
#include <vector>

#include <wire/remote.hpp>
#include <wire/spawn.hpp>

#include "support/backend.hpp"
#include "support/dies.hpp"
#include "support/failing_call.hpp"
#include "support/trace.hpp"

namespace wire::test {
namespace {

TEST_CASE("descriptor: one wire reads while another writes on the same socket") {
    over_each([](stream& near, stream& far) {
        shrink_buffer(near);
        shrink_buffer(far);
        const std::string text = long_text(1 << 20);
        const auto talk = [&](stream& s) {
            auto writer = spawn([&] {
                put(s, text);
                CHECK(s.shutdown(io::direction::write));
            });
            CHECK((take_all(s) == text));
            writer.join(soon()).value();
        };
        auto other = spawn([&] { talk(far); });
        talk(near);
        other.join(soon()).value();
    });
}

TEST_CASE("descriptor: several readers of one stream each get served, in the order they came") {
    over_each([](stream& near, stream& far) {
        trace log;
        std::vector<handle<void>> readers;
        for (const char* name : {"first ", "second ", "third "})
            readers.push_back(spawn([&, name] { log(name + take(far, 1)); }));
        let_others_run();
        for (const char* text : {"a", "b", "c"}) {
            put(near, text);
            let_others_run();
        }
        for (auto& r : readers) r.join(soon()).value();
        CHECK(log == trace{"first a", "second b", "third c"});
    });
}

TEST_CASE("descriptor: one event serves as many readers as there is data for") {
    over_each([](stream& near, stream& far) {
        std::string all;
        std::vector<handle<void>> readers;
        for (int i = 0; i < 5; ++i) readers.push_back(spawn([&] { all += take(far, 1); }));
        let_others_run();
        put(near, "abcde");
        for (auto& r : readers) r.join(soon()).value();
        CHECK(all == "abcde");
    });
}

TEST_CASE("descriptor: a reader that gives up does not take the event from the next one") {
    over_each([](stream& near, stream& far) {
        auto first = spawn([&] { return take(far, 1); });
        auto second = spawn([&] { return take(far, 1); });
        let_others_run();
        put(near, "x");
        first.cancel();  // before the event is served
        const auto got = first.join(soon()).value();
        if (on_io_uring() && got == "x")  // the kernel had given it already: that counts
            put(near, "x");
        else
            CHECK(got == "!ECANCELED");
        CHECK(second.join(soon()).value() == "x");
    });
}

TEST_CASE("descriptor: several writers of one stream all get through") {
    over_each([](stream& near, stream& far) {
        shrink_buffer(near);
        shrink_buffer(far);
        std::vector<handle<void>> writers;
        for (const char c : {'a', 'b', 'c'})
            writers.push_back(spawn([&near, c] { put(near, std::string(100'000, c)); }));
        go([&] {
            for (auto& w : writers) w.join(soon()).value();
            near.close();
        });
        const std::string all = take_all(far);
        for (const char c : {'a', 'b', 'c'})
            CHECK(std::count(all.begin(), all.end(), c) == 100'000);
    });
}

TEST_CASE("descriptor: the end of the stream reaches every reader") {
    over_each([](stream& near, stream& far) {
        std::vector<handle<std::string>> readers;
        for (int i = 0; i < 3; ++i) readers.push_back(spawn([&] { return take(far); }));
        let_others_run();
        near.close();
        for (auto& r : readers) CHECK(r.join(soon()).value() == "");
    });
}

TEST_CASE("descriptor: close wakes every wire that waits, in both directions, with EBADF") {
    over_each([](stream& near, stream& far) {
        stuff(far, near);
        std::vector<handle<std::string>> waiting;
        for (int i = 0; i < 2; ++i) {
            waiting.push_back(spawn([&] { return take(far); }));
            waiting.push_back(spawn([&] { return error_name(far.write_all("x").code); }));
        }
        let_others_run();
        far.close();
        for (auto& w : waiting) CHECK(w.join(soon()).value() == "!EBADF");
        CHECK(near.is_open());
    });
}

TEST_CASE("descriptor: release wakes waiters with EBADF and gives an open number away") {
    over_each([](stream& near, stream& far) {
        auto reader = spawn([&] { return take(far); });
        let_others_run();
        const int number = far.release();
        CHECK(reader.join(soon()).value() == "!EBADF");
        CHECK_FALSE(far.is_open());
        CHECK((::fcntl(number, F_GETFL) & O_NONBLOCK) != 0);

        auto again = stream::adopt(number).value();  // the reactor has forgotten it, too
        CHECK(take(again, 64, shortly()) == "!ETIMEDOUT");
        put(near, "x");
        CHECK(take(again) == "x");
    });
}

// Two wires are woken by one batch of events. The first closes the other's stream and opens another
// file under its number, with data: the second must not touch it.
TEST_CASE("descriptor: a number that is used again within a batch never gets the old event") {
    over_each([](stream& near, stream& far) {
        auto [other_near, other_far] = unix_pair();
        auto [fresh_near, fresh_far] = unix_pair();
        const int number = far.native_handle();
        std::optional<stream> fresh;

        auto first = spawn([&] {
            CHECK(take(other_far) == "go");
            far.close();
            CHECK(::dup2(fresh_far.native_handle(), number) == number);
            fresh = stream::adopt(number).value();
        });
        auto second = spawn([&] { return take(far); });
        let_others_run();
        put(fresh_near, "mine");
        put(other_near, "go");
        put(near, "late");
        // io_uring has received it before the first wire runs.
        CHECK(second.join(soon()).value() == (on_io_uring() ? "late" : "!EBADF"));
        first.join(soon()).value();
        REQUIRE(fresh);
        CHECK(take(*fresh) == "mine");
        CHECK(take(*fresh, 64, shortly()) == "!ETIMEDOUT");
    });
}

TEST_CASE("descriptor: a closed stream's events stay away although a duplicate lives on") {
    over_each([](stream& near, stream& far) {
        CHECK(take(far, 64, shortly()) == "!ETIMEDOUT");
        const int number = far.native_handle();
        const int duplicate = ::dup(number);
        far.close();
        auto [fresh_near, fresh_far] = unix_pair();
        CHECK(fresh_near.native_handle() == number);
        auto reader = spawn([&] { return take(fresh_near); });
        let_others_run();
        {
            const failing_call polls(sleeping_call(), 0);
            put(near, "for the duplicate");
            let_others_run();
            CHECK(polls.calls() <= 1);  // not even fetched
        }
        CHECK_FALSE(reader.finished());
        put(fresh_far, "x");
        CHECK(reader.join(soon()).value() == "x");
        ::close(duplicate);
    });
}

// A runtime on a thread of its own, until the end of the block.
class other_runtime {
public:
    other_runtime() {
        std::promise<remote> made;
        auto its_remote = made.get_future();
        thread_ = std::jthread([made = std::move(made)]() mutable {
            runtime rt({.stack = {.size = 256 * 1024}});
            const io::reactor reactor(rt);
            const work_guard until_stopped(rt);
            made.set_value(rt.remote());
            CHECK(rt.run());
        });
        remote_ = its_remote.get();
    }
    ~other_runtime() { remote_->stop(); }
    const remote* operator->() const { return &*remote_; }

private:
    std::jthread thread_;
    std::optional<remote> remote_;
};

TEST_CASE("descriptor: an accepted stream serves another runtime if nothing has waited for it") {
    on_wires([&] {
        const other_runtime elsewhere;
        auto door = io::listen_tcp("127.0.0.1", 0).value();
        auto near = io::connect_tcp("127.0.0.1", door.port(), soon()).value();
        CHECK(elsewhere->go([peer = door.accept(soon()).value()]() mutable { echo(peer); }));
        for (const char* text : {"one", "two", "three"}) {
            put(near, text);
            CHECK(take(near) == text);
        }
        near.close();
    });
}

TEST_CASE("descriptor: a stream and a listener may outlive the runtime they waited in") {
    std::optional<listener> door;
    std::optional<stream> near, far;
    for (int round = 0; round < 2; ++round) {
        runtime rt;
        const io::reactor reactor(rt);
        rt.go([&] {
            door = io::listen_tcp("127.0.0.1", 0).value();
            CHECK(door->accept(shortly()).code() == ETIMEDOUT);
            std::tie(near, far) = unix_pair();
            CHECK(take(*far, 64, shortly()) == "!ETIMEDOUT");
        });
        CHECK(rt.run());
    }
    CHECK(far->is_open());
    near.reset();
    far.reset();
    door.reset();
}

TEST_CASE("descriptor: waiting in a second runtime is refused with one sentence") {
    CHECK(dies(
        [] {
            std::optional<stream> near, far;
            const auto wait_for_it = [&] {
                if (!far) std::tie(near, far) = unix_pair();
                static_cast<void>(take(*far, 64, shortly()));
            };
            runtime first;
            const io::reactor one(first);
            first.go(wait_for_it);
            static_cast<void>(first.run());
            runtime second;
            const io::reactor two(second);
            second.go(wait_for_it);
            static_cast<void>(second.run());
        },
        "runtime"));
}

TEST_CASE("descriptor: the 64th operation in a row on one descriptor yields") {
    on_wires([] {
        auto [near, far] = unix_pair();
        auto [other_near, other_far] = unix_pair();
        int turns = 0;
        bool done = false;
        auto other = spawn([&] {
            while (!done) {
                ++turns;
                yield();
            }
        });
        yield();
        CHECK(turns == 1);
        for (int i = 0; i < 63; ++i) {
            put(near, "x");  // these are counted one by one:
            put(other_near, "x");
        }
        CHECK(turns == 1);
        put(near, "x");
        CHECK(turns == 2);
        put(other_near, "x");
        CHECK(turns == 3);
        done = true;
        CHECK(other.join());
    });
}

TEST_CASE("descriptor: I/O without a reactor, or outside a wire, is refused with one sentence") {
    CHECK(dies(
        [] {
            runtime rt;
            rt.go([] {
                auto [near, far] = unix_pair();
                static_cast<void>(take(far));
            });
            static_cast<void>(rt.run());
        },
        "reactor"));
    CHECK(dies(
        [] {
            auto [near, far] = unix_pair();
            static_cast<void>(take(far));
        },
        "wire"));
}

}  // namespace
}  // namespace wire::test
