// Reading into and writing from several buffers.
#include "support/io.hpp"

#include <vector>

#include <wire/spawn.hpp>

#include "support/failing_call.hpp"

namespace wire::test {
namespace {

// Equal buffers over one text.
std::vector<iovec> slices(std::string& text, std::size_t size) {
    std::vector<iovec> parts;
    for (std::size_t at = 0; at < text.size(); at += size)
        parts.push_back({text.data() + at, std::min(size, text.size() - at)});
    return parts;
}

TEST_CASE("scatter/gather: buffers are filled and sent in order") {
    over_each([](stream& near, stream& far) {
        std::string out = "abcdefghij";
        auto parts = slices(out, 3);
        CHECK(near.write(std::span<const iovec>(parts), soon()).value_or(0) == 10);
        std::string in(10, '.');
        auto places = slices(in, 4);
        CHECK(far.read(std::span<const iovec>(places), soon()).value_or(0) == 10);
        CHECK(in == out);
    });
}

TEST_CASE("scatter/gather: a read ends with what is there; buffers behind stay untouched") {
    over_each([](stream& near, stream& far) {
        put(near, "abcde");
        std::string in(9, '.');
        auto places = slices(in, 3);
        CHECK(far.read(std::span<const iovec>(places), soon()).value_or(0) == 5);
        CHECK(in == "abcde....");
    });
}

TEST_CASE("scatter/gather: a read waits for data, and returns 0 at the end") {
    over_each([](stream& near, stream& far) {
        std::string in(6, '.');
        auto places = slices(in, 2);
        auto reader = spawn([&] { return far.read(std::span<const iovec>(places), soon()); });
        let_others_run();
        put(near, "abc");
        CHECK(reader.join(soon()).value().value_or(0) == 3);
        near.close();
        CHECK(far.read(std::span<const iovec>(places), soon()).value_or(99) == 0);
    });
}

TEST_CASE("scatter/gather: no buffers, or only empty ones, move nothing and do not block") {
    over_each([](stream& near, stream& far) {
        iovec empty[3] = {};
        CHECK(far.read(std::span<const iovec>(), shortly()).value_or(99) == 0);
        CHECK(far.read(std::span<const iovec>(empty), shortly()).value_or(99) == 0);
        CHECK(near.write(std::span<const iovec>(), shortly()).value_or(99) == 0);
        CHECK(near.write(std::span<const iovec>(empty), shortly()).value_or(99) == 0);
        CHECK(near.write_all(std::span<iovec>(empty), shortly()));
        put(near, "x");
        CHECK(take(far) == "x");
    });
}

TEST_CASE("scatter/gather: write_all sends any number of buffers, empty ones among them") {
    over_each([](stream& near, stream& far) {
        std::string text = long_text(5000);
        std::vector<iovec> parts;
        for (const iovec& part : slices(text, 2)) {  // 2,500: more than one call takes
            parts.push_back({nullptr, 0});
            parts.push_back(part);
        }
        auto reader = spawn([&] { return take_all(far); });
        const auto sent = near.write_all(std::span(parts), soon());
        CHECK(sent);
        CHECK(sent.done == 5000);
        near.close();
        CHECK(reader.join(soon()).value() == text);
    });
}

TEST_CASE("scatter/gather: write_all goes on after partial writes, also within a buffer") {
    over_each([](stream& near, stream& far) {
        shrink_buffer(near);
        std::string text = long_text(1 << 20);
        auto parts = slices(text, 10'007);
        auto reader = spawn([&] { return take_all(far); });
        CHECK(near.write_all(std::span(parts), soon()).done == text.size());
        near.close();
        CHECK((reader.join(soon()).value() == text));
        for (const iovec& part : parts) CHECK(part.iov_len == 0);  // advanced over what was sent
    });
}

TEST_CASE("scatter/gather: after a deadline the buffers stand where the sending stopped") {
    over_each([](stream& near, stream& far) {
        shrink_buffer(near);
        std::string text = long_text(1 << 20);
        auto parts = slices(text, 10'000);
        const auto first = near.write_all(std::span(parts), within(30ms));
        CHECK(first.code == ETIMEDOUT);
        std::size_t left = 0;
        for (const iovec& part : parts) left += part.iov_len;
        CHECK(first.done + left == text.size());
        auto reader = spawn([&] { return take_all(far); });
        CHECK(near.write_all(std::span(parts), soon()).done == left);
        near.close();
        CHECK((reader.join(soon()).value() == text));
    });
}

TEST_CASE("scatter/gather: more than 1,024 buffers are no error for a single call") {
    over_each([](stream& near, stream& far) {
        std::string out = long_text(3000);
        auto parts = slices(out, 1);
        CHECK(near.write(std::span<const iovec>(parts), soon()).value_or(0) == 1024);
        std::string in(3000, '.');
        auto places = slices(in, 1);
        CHECK(far.read(std::span<const iovec>(places), soon()).value_or(0) == 1024);
        CHECK(in.substr(0, 1024) == out.substr(0, 1024));
    });
}

TEST_CASE("scatter/gather: a lost peer ends write_all with EPIPE and what was done") {
    over_each([](stream& near, stream&) {
        std::string text(100, 'x');
        auto parts = slices(text, 10);
        const failing_call gone("sendmsg", EPIPE);
        const auto sent = near.write_all(std::span(parts), soon());
        CHECK(sent.code == EPIPE);
        CHECK(sent.done == 0);
    });
}

}  // namespace
}  // namespace wire::test
