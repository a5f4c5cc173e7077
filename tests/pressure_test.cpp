// Streams under pressure: partial writes, peers that never read, resets, urgent data.
#include "support/io.hpp"

#include <signal.h>

#include <wire/spawn.hpp>

#include "support/failing_call.hpp"

namespace wire::test {
namespace {

// The peer's next close sends a reset instead of an end.
void reset(stream& s) {
    const linger at_once{1, 0};
    CHECK(::setsockopt(s.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    s.close();
}

TEST_CASE("pressure: write takes what fits, write_all sends everything in order") {
    // libwire B17: what did not fit was dropped.
    over_each([](stream& near, stream& far) {
        shrink_buffer(near);
        const std::string text = long_text(1 << 20);
        auto first = near.write(std::as_bytes(std::span(text)), soon());
        REQUIRE(first);
        CHECK(*first < text.size());
        auto reader = spawn([&] { return take_all(far); });
        put(near, std::string_view(text).substr(*first));
        near.close();
        CHECK((reader.join(soon()).value() == text));
    });
}

TEST_CASE("pressure: a peer that never reads blocks the writing wire, and only that") {
    over_each([](stream& near, stream& far) {
        auto [left, right] = tcp_pair();
        auto writer = spawn([&] { return near.write_all(std::string(64 << 20, 'x')); });
        for (int i = 0; i < 100; ++i) {
            put(left, "x");
            CHECK(take(right) == "x");
        }
        let_others_run();
        CHECK_FALSE(writer.finished());
        writer.cancel();
        const auto sent = writer.join(soon()).value();
        CHECK(sent.code == ECANCELED);
        near.close();
        CHECK(take_all(far).size() == sent.done);
    });
}

TEST_CASE("pressure: a deadline of write_all tells exactly how much left") {
    over_each([](stream& near, stream& far) {
        shrink_buffer(near);
        const std::string text = long_text(4 << 20);
        const auto sent = near.write_all(text, within(30ms));
        CHECK(sent.code == ETIMEDOUT);
        CHECK(sent.done > 0);
        CHECK(sent.done < text.size());
        near.close();
        CHECK((take_all(far) == std::string_view(text).substr(0, sent.done)));
    });
}

TEST_CASE("pressure: a writer goes on as soon as the peer reads") {
    over_each([](stream& near, stream& far) {
        shrink_buffer(near);
        const std::string text = long_text(1 << 20);
        auto writer = spawn([&] {
            put(near, text);
            near.close();
        });
        std::string all;
        for (int i = 0; i < 5; ++i) {
            let_others_run();
            all += take(far, 100'000);
        }
        all += take_all(far);
        CHECK((all == text));
        writer.join(soon()).value();
    });
}

TEST_CASE(
    "pressure: writing to a peer that is gone fails with EPIPE or ECONNRESET, without SIGPIPE") {
    ::signal(SIGPIPE, SIG_DFL);  // it would end this program
    over_each([](stream& near, stream& far) {
        far.close();
        int code = 0;
        for (int i = 0; i < 10 && code == 0; ++i) {
            code = near.write_all("x", soon()).code;
            let_others_run();
        }
        CHECK((code == EPIPE || code == ECONNRESET));
        iovec part{const_cast<char*>("x"), 1};
        CHECK(near.write_all(std::span(&part, 1)).code == EPIPE);
    });
}

TEST_CASE("pressure: a reset ends waiting readers and writers with ECONNRESET") {
    on_wires([] {
        auto [near, far] = tcp_pair();
        auto writer = spawn([&] { return near.write_all(std::string(64 << 20, 'x')).code; });
        auto reader = spawn([&] { return take(near); });
        let_others_run();
        reset(far);
        const int written = writer.join(soon()).value();
        CHECK((written == ECONNRESET || written == EPIPE));
        const std::string read = reader.join(soon()).value();
        // The error is fetched by whoever comes first; the other reads the end.
        CHECK((read == "!ECONNRESET" || read == ""));
    });
}

TEST_CASE("pressure: a reset ends a single reader with ECONNRESET") {
    on_wires([] {
        auto [near, far] = tcp_pair();
        auto reader = spawn([&] { return take(near); });
        let_others_run();
        reset(far);
        CHECK(reader.join(soon()).value() == "!ECONNRESET");
    });
}

TEST_CASE("pressure: a reset that comes while nobody waits is found by the next read") {
    on_wires([] {
        auto [near, far] = tcp_pair();
        CHECK(take(near, 64, shortly()) == "!ETIMEDOUT");
        reset(far);
        let_others_run();
        CHECK(take(near) == "!ECONNRESET");
        CHECK(take(near) == "");
    });
}

TEST_CASE("pressure: data sent before the end is read before the end") {
    over_each([](stream& near, stream& far) {
        CHECK(take(far, 64, shortly()) == "!ETIMEDOUT");
        put(near, "last words");
        near.close();
        let_others_run();
        CHECK(take(far, 4) == "last");
        CHECK(take(far) == " words");
        CHECK(take(far) == "");
    });
}

TEST_CASE("pressure: an urgent byte does not stall a reader") {
    on_wires([] {
        auto [near, far] = tcp_pair();
        for (int round = 0; round < 3; ++round) {
            auto reader = spawn([&] {
                std::string all;
                while (all.size() < 2) all += take(far);
                return all;
            });
            let_others_run();
            put(near, "a");
            CHECK(::send(near.native_handle(), "!", 1, MSG_OOB) == 1);
            put(near, "b");
            CHECK(reader.join(soon()).value() == "ab");
        }
        put(near, "c");
        CHECK(::send(near.native_handle(), "!", 1, MSG_OOB) == 1);
        put(near, "d");
        let_others_run();  // everything is there before the first read
        CHECK(take(far, 64) == "c");
        CHECK(take(far, 64) == "d");
    });
}

TEST_CASE("pressure: interrupted calls go on") {
    over_each([](stream& near, stream& far) {
        {
            const failing_call interrupted("send", EINTR, 1, 3);
            put(near, "hello");
            CHECK(interrupted.calls() == 4);
        }
        const failing_call interrupted("recv", EINTR, 1, 3);
        CHECK(take(far) == "hello");
    });
}

TEST_CASE("pressure: a megabyte echoed in both directions at once arrives whole") {
    over_each([](stream& near, stream& far) {
        const std::string text = long_text(1 << 20);
        auto server = spawn([&] {
            echo(far);
            far.close();
        });
        auto writer = spawn([&] {
            put(near, text);
            CHECK(near.shutdown(io::direction::write));
        });
        CHECK((take_all(near) == text));
        writer.join(soon()).value();
        server.join(soon()).value();
    });
}

}  // namespace
}  // namespace wire::test
