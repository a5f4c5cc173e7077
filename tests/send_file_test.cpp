// Bytes that the program never sees: from a file to a stream, and from stream to stream.
#include "support/io.hpp"

#include <fcntl.h>
#include <signal.h>

#include <wire/spawn.hpp>
#include <wire/splice.hpp>

#include "support/count_malloc.hpp"
#include "support/dies.hpp"
#include "support/failing_call.hpp"
#include "support/temporary_directory.hpp"

namespace wire::test {
namespace {

// A file without a name.
class file_of {
public:
    explicit file_of(std::string_view text) {
        const temporary_directory dir;
        fd_ = ::open((dir / "f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        CHECK(::write(fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
    ~file_of() { ::close(fd_); }
    file_of(const file_of&) = delete;
    file_of& operator=(const file_of&) = delete;
    operator int() const { return fd_; }

private:
    int fd_;
};

// The peer's end is a reset.
void reset(stream& s) {
    const linger at_once{1, 0};
    CHECK(::setsockopt(s.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    s.close();
}

// ---- send_file

TEST_CASE("send_file: a whole file arrives, however small the socket's buffer is") {
    const std::string text = long_text(1 << 20);
    const file_of file(text);
    over_each([&](stream& near, stream& far) {
        shrink_buffer(near);
        auto reader = spawn([&] { return take_all(far); });
        const auto sent = near.send_file(file, 0, text.size(), soon());
        CHECK(error_name(sent.code) == "");
        CHECK(sent.done == text.size());
        near.close();
        CHECK((reader.join(soon()).value() == text));
        CHECK(::lseek(file, 0, SEEK_CUR) == static_cast<off_t>(text.size()));
    });
}

TEST_CASE("send_file: a part of a file, and a file that ends before") {
    const file_of file("0123456789");
    over_each([&](stream& near, stream& far) {
        CHECK(near.send_file(file, 3, 4, soon()).done == 4);
        CHECK(take(far) == "3456");
        const auto sent = near.send_file(file, 8, 100, soon());
        CHECK(error_name(sent.code) == "!ENODATA");
        CHECK(sent.done == 2);
        CHECK(take(far) == "89");
        const auto none = near.send_file(file, 5, 0, soon());
        CHECK(none);
        CHECK(none.done == 0);
    });
}

TEST_CASE("send_file: a peer that does not read blocks one wire, until its deadline") {
    const std::string text = long_text(16 << 20);
    const file_of file(text);
    over_each([&](stream& near, stream& far) {
        shrink_buffer(near);
        bool others_ran = false;
        auto other = spawn([&] { others_ran = true; });
        const auto sent = near.send_file(file, 0, text.size(), shortly());
        CHECK(error_name(sent.code) == "!ETIMEDOUT");
        CHECK(others_ran);
        CHECK(other.join(soon()));
        near.close();
        CHECK((take_all(far) == text.substr(0, sent.done)));
    });
}

TEST_CASE("send_file: what is no file, and a peer that is gone, fail without SIGPIPE") {
    const file_of file("hello");
    over_each([&](stream& near, stream& far) {
        CHECK(error_name(near.send_file(-1, 0, 5, soon()).code) == "!EBADF");
        CHECK(error_name(near.send_file(far.native_handle(), 0, 5, soon()).code) == "!ESPIPE");
        CHECK(near.shutdown(io::direction::write));
        CHECK(error_name(near.send_file(file, 0, 5, soon()).code) == "!EPIPE");
        near.close();
        CHECK(error_name(near.send_file(file, 0, 5, soon()).code) == "!EBADF");
    });
}

TEST_CASE("send_file: a SIGPIPE that was pending before is still there") {
    const file_of file("hello");
    sigset_t broken, before, pending;
    ::sigemptyset(&broken);
    ::sigaddset(&broken, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken, &before);
    ::raise(SIGPIPE);
    on_wires([&] {
        auto [near, far] = unix_pair();
        far.close();
        CHECK(error_name(near.send_file(file, 0, 5, soon()).code) == "!EPIPE");
    });
    ::sigpending(&pending);
    CHECK(::sigismember(&pending, SIGPIPE) == 1);
    const timespec at_once{};
    CHECK(::sigtimedwait(&broken, nullptr, &at_once) == SIGPIPE);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// ---- splicer

// Two connections, and what carries the bytes from one to the other:
//     client -> inlet ==splicer==> outlet -> server
struct path {
    explicit path(bool tcp)
        : in(tcp ? tcp_pair() : unix_pair()), out(tcp ? tcp_pair() : unix_pair()) {}
    stream_pair in, out;
    stream &client = in.first, &inlet = in.second, &outlet = out.first, &server = out.second;
    io::splicer pipe = io::splicer::make().value();
};

template <class F>
void over_each_path(F body) {
    for (const bool tcp : {false, true}) {
        CAPTURE(tcp);
        on_wires([&] {
            path p(tcp);
            body(p);
        });
    }
}

TEST_CASE("splicer: everything arrives in order, through small buffers, then the end") {
    const std::string text = long_text(1 << 20);
    over_each_path([&](path& p) {
        shrink_buffer(p.outlet);
        auto carrier = spawn([&] {
            const auto moved = p.pipe.move_all(p.inlet, p.outlet, soon());
            CHECK(moved);
            CHECK(moved.done == text.size());
            CHECK(p.outlet.shutdown(io::direction::write));
        });
        auto writer = spawn([&] {
            put(p.client, text);
            CHECK(p.client.shutdown(io::direction::write));
        });
        CHECK((take_all(p.server) == text));
        CHECK(carrier.join(soon()));
        CHECK(writer.join(soon()));
        CHECK(p.pipe.pending() == 0);
    });
}

TEST_CASE("splicer: bytes go on at once, they do not wait for more") {
    over_each_path([](path& p) {
        auto carrier = spawn([&] { return p.pipe.move_all(p.inlet, p.outlet, soon()).done; });
        for (int i = 0; i < 10; ++i) {
            put(p.client, "ping");
            CHECK(take(p.server) == "ping");
        }
        p.client.close();
        CHECK(carrier.join(soon()).value() == 40);
    });
}

TEST_CASE("splicer: fill waits for bytes, with deadline, cancellation and close") {
    over_each_path([](path& p) {
        CHECK(error_name(p.pipe.fill(p.inlet, shortly()).code()) == "!ETIMEDOUT");
        auto cancelled = spawn([&] { return p.pipe.fill(p.inlet).code(); });
        let_others_run();
        cancelled.cancel();
        CHECK(error_name(cancelled.join(soon()).value()) == "!ECANCELED");
        put(p.client, "hello");
        CHECK(p.pipe.fill(p.inlet, soon()).value() == 5);
        CHECK(p.pipe.pending() == 5);
        CHECK(p.pipe.drain(p.outlet, soon()).done == 5);
        CHECK(take(p.server) == "hello");
        auto closed = spawn([&] { return p.pipe.fill(p.inlet).code(); });
        let_others_run();
        p.inlet.close();
        CHECK(error_name(closed.join(soon()).value()) == "!EBADF");
    });
}

TEST_CASE("splicer: what could not be sent in time stays in the pipe, and goes later") {
    const std::string text = long_text(8 << 20);
    over_each_path([&](path& p) {
        shrink_buffer(p.outlet);
        auto writer = spawn([&] {
            put(p.client, text);
            p.client.close();
        });
        std::size_t done = 0;
        while (p.pipe.pending() == 0) {  // until the outlet takes no more
            const auto first = p.pipe.move_all(p.inlet, p.outlet, shortly());
            CHECK(error_name(first.code) == "!ETIMEDOUT");
            done += first.done;
        }
        auto reader = spawn([&] { return take_all(p.server); });
        const auto rest = p.pipe.move_all(p.inlet, p.outlet, soon());
        CHECK(rest);
        CHECK(done + rest.done == text.size());
        p.outlet.close();
        CHECK((reader.join(soon()).value() == text));
        CHECK(writer.join(soon()));
    });
}

TEST_CASE("splicer: a receiver that is gone is an error, without SIGPIPE") {
    over_each_path([](path& p) {
        put(p.client, "hello");
        CHECK(p.outlet.shutdown(io::direction::write));
        const auto moved = p.pipe.move_all(p.inlet, p.outlet, soon());
        CHECK(error_name(moved.code) == "!EPIPE");
        CHECK(moved.done == 0);
        CHECK(p.pipe.pending() == 5);
    });
}

TEST_CASE("splicer: a reset on either side is told") {
    on_wires([] {
        path p(true);
        reset(p.client);
        CHECK(error_name(p.pipe.fill(p.inlet, soon()).code()) == "!ECONNRESET");
        path q(true);
        reset(q.server);
        put(q.client, "hello");
        const auto moved = q.pipe.move_all(q.inlet, q.outlet, soon());
        CHECK(error_name(moved.code) == "!ECONNRESET");
        CHECK(q.pipe.pending() == 5);
    });
}

TEST_CASE("splicer: carriers that never wait let others run") {
    on_wires([] {
        path p(false);
        bool ran = false;
        auto other = spawn([&] { ran = true; });
        for (int i = 0; i < 200; ++i) {
            CHECK(::send(p.client.native_handle(), "x", 1, 0) == 1);
            CHECK(p.pipe.fill(p.inlet, soon()).value() == 1);
            CHECK(p.pipe.drain(p.outlet, soon()));
        }
        CHECK(ran);
        CHECK(other.join(soon()));
    });
}

TEST_CASE("splicer: carrying allocates nothing") {
    if (!counts_allocations()) return;
    over_each_path([](path& p) {
        std::array<std::byte, 64> buffer{};
        int failures = 0;
        const auto once = [&] {
            failures += !p.client.write_all(std::span(buffer), soon());
            failures += !p.pipe.fill(p.inlet, soon());
            failures += !p.pipe.drain(p.outlet, soon());
            failures += !p.server.read_exactly(buffer, soon());
        };
        for (int i = 0; i < 10; ++i) once();
        const allocation_count allocated;
        for (int i = 0; i < 200; ++i) once();
        CHECK(allocated.value() == 0);
        CHECK(failures == 0);
    });
}

TEST_CASE("splicer: misuse and exhaustion are told") {
    const failing_call pipes("pipe2", EMFILE);
    CHECK(error_name(io::splicer::make().code()) == "!EMFILE");
    CHECK(dies(
        [] {
            wire::detail::sys::hook = nullptr;
            on_wires([] {
                path p(false);
                put(p.client, "x");
                CHECK(p.pipe.fill(p.inlet, soon()));
                static_cast<void>(p.pipe.fill(p.inlet, soon()));
            });
        },
        "splicer::fill() before the pipe was drained"));
}

}  // namespace
}  // namespace wire::test
