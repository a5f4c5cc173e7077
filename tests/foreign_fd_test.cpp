// Descriptors that somebody else owns: wait_readable() and wait_writable().
#include "support/io.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>

#include <vector>

#include <wire/spawn.hpp>
#include <wire/wait_fd.hpp>

#include "support/trace.hpp"

namespace wire::test {
namespace {

using io::wait_readable;
using io::wait_writable;

// Two descriptors that the reactor knows nothing of; near is the end to read from.
class raw_pair {
public:
    static raw_pair pipe() {
        int fds[2];
        CHECK(::pipe2(fds, O_NONBLOCK) == 0);
        return raw_pair(fds);
    }
    static raw_pair sockets() {
        int fds[2];
        CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
        return raw_pair(fds);
    }
    ~raw_pair() {
        close(near);
        close(far);
    }
    raw_pair(const raw_pair&) = delete;
    raw_pair& operator=(const raw_pair&) = delete;

    static void close(int& fd) {
        if (fd >= 0) ::close(std::exchange(fd, -1));
    }
    void send() const { CHECK(::write(far, "x", 1) == 1); }
    void receive() const {
        char c;
        CHECK(::read(near, &c, 1) == 1);
    }
    int near, far;

private:
    explicit raw_pair(const int (&fds)[2]) : near(fds[0]), far(fds[1]) {}
};

void stuff(int fd) {
    const std::string chunk(4096, 's');
    while (::write(fd, chunk.data(), chunk.size()) > 0) {
    }
    CHECK(errno == EAGAIN);
}

std::string outcome(const result<void>& r) {
    return error_name(r.code());
}

TEST_CASE("foreign fd: a wait ends when the descriptor is readable") {
    on_wires([] {
        auto pipe = raw_pair::pipe();
        auto waiting = spawn([&] { return outcome(wait_readable(pipe.near, soon())); });
        let_others_run();
        CHECK_FALSE(waiting.finished());
        pipe.send();
        CHECK(waiting.join(soon()).value() == "");
    });
}

TEST_CASE("foreign fd: each wait arms anew, also when data was left from the last one") {
    on_wires([] {
        auto pipe = raw_pair::pipe();
        for (int i = 0; i < 3; ++i) {
            pipe.send();
            CHECK(outcome(wait_readable(pipe.near, soon())) == "");
            CHECK(outcome(wait_readable(pipe.near, soon())) == "");  // still there
            pipe.receive();
            CHECK(outcome(wait_readable(pipe.near, shortly())) == "!ETIMEDOUT");
        }
    });
}

TEST_CASE("foreign fd: data that came while nobody waited ends the next wait") {
    on_wires([] {
        auto pipe = raw_pair::pipe();
        CHECK(outcome(wait_readable(pipe.near, shortly())) == "!ETIMEDOUT");
        pipe.send();
        let_others_run();
        CHECK(outcome(wait_readable(pipe.near, soon())) == "");
    });
}

TEST_CASE("foreign fd: a wait for writing ends when there is room") {
    on_wires([] {
        auto pipe = raw_pair::pipe();
        CHECK(outcome(wait_writable(pipe.far, soon())) == "");
        stuff(pipe.far);
        CHECK(outcome(wait_writable(pipe.far, shortly())) == "!ETIMEDOUT");
        auto waiting = spawn([&] { return outcome(wait_writable(pipe.far, soon())); });
        let_others_run();
        std::array<char, 65536> buffer;
        while (::read(pipe.near, buffer.data(), buffer.size()) > 0) {
        }
        CHECK(waiting.join(soon()).value() == "");
    });
}

TEST_CASE("foreign fd: both directions of one descriptor are waited for at once") {
    on_wires([] {
        auto pair = raw_pair::sockets();
        stuff(pair.near);
        trace log;
        auto writer = spawn([&] { log("written" + outcome(wait_writable(pair.near, soon()))); });
        auto reader = spawn([&] { log("read" + outcome(wait_readable(pair.near, soon()))); });
        let_others_run();
        pair.send();
        reader.join(soon()).value();
        CHECK_FALSE(writer.finished());  // armed again for what is left
        std::array<char, 65536> buffer;
        while (::read(pair.far, buffer.data(), buffer.size()) > 0) {
        }
        writer.join(soon()).value();
        CHECK(log == trace{"read", "written"});
    });
}

TEST_CASE("foreign fd: all wires that wait for the same direction are woken") {
    on_wires([] {
        auto pipe = raw_pair::pipe();
        std::vector<handle<std::string>> waiting;
        for (int i = 0; i < 3; ++i)
            waiting.push_back(spawn([&] { return outcome(wait_readable(pipe.near, soon())); }));
        let_others_run();
        pipe.send();
        for (auto& w : waiting) CHECK(w.join(soon()).value() == "");
    });
}

TEST_CASE("foreign fd: the end of a pipe wakes the reader, its closing the writer") {
    on_wires([] {
        auto pipe = raw_pair::pipe();
        auto reader = spawn([&] { return outcome(wait_readable(pipe.near, soon())); });
        let_others_run();
        raw_pair::close(pipe.far);
        CHECK(reader.join(soon()).value() == "");

        auto other = raw_pair::pipe();
        stuff(other.far);
        auto writer = spawn([&] { return outcome(wait_writable(other.far, soon())); });
        let_others_run();
        raw_pair::close(other.near);
        CHECK(writer.join(soon()).value() == "");
    });
}

TEST_CASE("foreign fd: a hang-up wakes reader and writer of one descriptor") {
    on_wires([] {
        auto pair = raw_pair::sockets();
        stuff(pair.near);
        auto writer = spawn([&] { return outcome(wait_writable(pair.near, soon())); });
        auto reader = spawn([&] { return outcome(wait_readable(pair.near, soon())); });
        let_others_run();
        raw_pair::close(pair.far);
        CHECK(reader.join(soon()).value() == "");
        CHECK(writer.join(soon()).value() == "");
    });
}

TEST_CASE("foreign fd: a regular file is ready at once") {
    on_wires([] {
        const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        for (int i = 0; i < 2; ++i) {
            CHECK(outcome(wait_readable(file, soon())) == "");
            CHECK(outcome(wait_writable(file, soon())) == "");
        }
        ::close(file);
    });
}

TEST_CASE("foreign fd: closed and opened again behind our back, the number is waited for anew") {
    on_wires([] {
        const int number = ::eventfd(0, EFD_CLOEXEC);
        for (int i = 0; i < 3; ++i) {
            CHECK(outcome(wait_readable(number, shortly())) == "!ETIMEDOUT");
            ::close(number);
            const int fresh = ::eventfd(1, EFD_CLOEXEC);
            CHECK(fresh == number);
            CHECK(outcome(wait_readable(fresh, soon())) == "");
            eventfd_t value;
            CHECK(::eventfd_read(fresh, &value) == 0);
        }
        ::close(number);
    });
}

TEST_CASE("foreign fd: the old file's event does not end a wait for the new one") {
    on_wires([] {
        auto old = raw_pair::pipe();
        const int number = old.near;
        const int duplicate = ::dup(number);  // keeps the old file in the kernel's list
        CHECK(outcome(wait_readable(number, shortly())) == "!ETIMEDOUT");
        auto fresh = raw_pair::pipe();
        CHECK(::dup2(fresh.near, number) == number);
        auto waiting = spawn([&] { return outcome(wait_readable(number, soon())); });
        let_others_run();
        old.send();
        let_others_run();
        CHECK_FALSE(waiting.finished());
        fresh.send();
        CHECK(waiting.join(soon()).value() == "");
        ::close(duplicate);
    });
}

TEST_CASE("foreign fd: what is no descriptor, or cannot be waited for, is refused") {
    on_wires([] {
        CHECK(outcome(wait_readable(-1, soon())) == "!EBADF");
        const int closed = ::eventfd(0, 0);
        ::close(closed);
        CHECK(outcome(wait_readable(closed, soon())) == "!EBADF");
        CHECK(outcome(wait_writable(1'000'000, soon())) == "!EBADF");
    });
}

TEST_CASE("foreign fd: a wait can be cancelled, and begun again") {
    on_wires([] {
        auto pipe = raw_pair::pipe();
        auto waiting = spawn([&] { return outcome(wait_readable(pipe.near)); });
        let_others_run();
        waiting.cancel();
        CHECK(waiting.join(soon()).value() == "!ECANCELED");
        pipe.send();
        {
            cancel_scope scope;
            scope.cancel();
            CHECK(outcome(wait_readable(pipe.near)) == "!ECANCELED");  // although it is readable
        }
        CHECK(outcome(wait_readable(pipe.near, soon())) == "");
    });
}

TEST_CASE("foreign fd: a passed deadline asks without waiting") {
    on_wires([] {
        auto pipe = raw_pair::pipe();
        CHECK(outcome(wait_readable(pipe.near, within(-1s))) == "!ETIMEDOUT");
        pipe.send();
        CHECK(outcome(wait_readable(pipe.near, within(-1s))) == "");
    });
}

TEST_CASE("foreign fd: a stream's own number can be waited for, before and after its own waits") {
    over_each([](stream& near, stream& far) {
        const int number = far.native_handle();
        CHECK(outcome(wait_readable(number, shortly())) == "!ETIMEDOUT");
        CHECK(take(far, 64, shortly()) == "!ETIMEDOUT");
        CHECK(outcome(wait_readable(number, shortly())) == "!ETIMEDOUT");
        CHECK(outcome(wait_writable(number, soon())) == "");
        auto waiting = spawn([&] { return outcome(wait_readable(number, soon())); });
        let_others_run();
        put(near, "x");
        CHECK(waiting.join(soon()).value() == "");
        CHECK(take(far) == "x");
        CHECK(outcome(wait_readable(number, shortly())) == "!ETIMEDOUT");
    });
}

TEST_CASE("foreign fd: waits for a stream's number go on while the stream begins to wait, too") {
    over_each([](stream& near, stream& far) {
        auto waiting = spawn([&] { return outcome(wait_readable(far.native_handle(), soon())); });
        auto reader = spawn([&] { return take(far); });
        let_others_run();
        CHECK_FALSE(waiting.finished());
        put(near, "x");
        CHECK(reader.join(soon()).value() == "x");
        put(near, "y");  // nobody takes it away
        CHECK(waiting.join(soon()).value() == "");
    });
}

TEST_CASE("foreign fd: a descriptor that was waited for can be adopted") {
    on_wires([] {
        auto pair = raw_pair::sockets();
        CHECK(outcome(wait_readable(pair.near, shortly())) == "!ETIMEDOUT");
        auto mine = stream::adopt(std::exchange(pair.near, -1)).value();
        CHECK(take(mine, 64, shortly()) == "!ETIMEDOUT");
        pair.send();
        CHECK(take(mine) == "x");
    });
}

TEST_CASE("foreign fd: closing a stream ends the waits for its number with EBADF") {
    for (const bool used_before : {false, true}) {
        CAPTURE(used_before);
        over_each([&](stream& near, stream& far) {
            if (used_before) CHECK(take(far, 64, shortly()) == "!ETIMEDOUT");
            auto waiting =
                spawn([&] { return outcome(wait_readable(far.native_handle(), soon())); });
            let_others_run();
            far.close();
            CHECK(waiting.join(soon()).value() == "!EBADF");
            CHECK(take(near) == "");  // its peer sees the end
        });
    }
}

}  // namespace
}  // namespace wire::test
