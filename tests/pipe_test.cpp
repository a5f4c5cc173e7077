// Pipes: bytes, ends, and no SIGPIPE.
#include "support/io.hpp"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <wire/pipe.hpp>
#include <wire/spawn.hpp>
#include <wire/wait.hpp>
#include <wire/wait_fd.hpp>
#include "support/failing_call.hpp"

namespace wire::test {
namespace {

using io::make_pipe;
using io::pipe_end;

std::string text_of(const result<std::size_t>& n) {
    return n ? std::to_string(*n) : error_name(n.code());
}

std::string_view as_text(std::span<const std::byte> bytes, std::size_t n) {
    return {reinterpret_cast<const char*>(bytes.data()), n};
}

std::string read_all(pipe_end& from) {
    std::string all;
    std::array<std::byte, 5000> buffer;
    while (auto n = from.read(buffer, soon())) {
        if (*n == 0) return all;
        all += as_text(buffer, *n);
    }
    return all + "!";
}

bool sigpipe_pending() {
    sigset_t pending;
    ::sigpending(&pending);
    return ::sigismember(&pending, SIGPIPE) == 1;
}

void mask_sigpipe(int how) {
    sigset_t broken;
    ::sigemptyset(&broken);
    ::sigaddset(&broken, SIGPIPE);
    ::pthread_sigmask(how, &broken, nullptr);
}

TEST_CASE("pipe: what is written can be read, and the end is a read of nothing") {
    on_wires([] {
        auto [out, in] = make_pipe().value();
        std::array<std::byte, 64> buffer;
        auto reader = spawn([&, &from = out] { return from.read(buffer, soon()).value(); });
        yield();
        CHECK(in.write_all("hello", soon()));
        CHECK(reader.join(soon()).value() == 5);
        CHECK(as_text(buffer, 5) == "hello");
        in.close();
        CHECK(text_of(out.read(buffer, soon())) == "0");
    });
}

TEST_CASE("pipe: a full one blocks the writer, not the thread, and nothing is lost") {
    on_wires([] {
        auto [out, in] = make_pipe().value();
        const std::string text = long_text(1'000'000);
        auto writer = spawn([&, &to = in] {
            CHECK(to.write_all(text, soon()).done == text.size());
            to.close();
        });
        CHECK(read_all(out) == text);
        CHECK(writer.join(soon()));
    });
}

TEST_CASE("pipe: write_all tells how much was written when its time is up") {
    on_wires([] {
        auto [out, in] = make_pipe().value();
        CHECK(::fcntl(in.native_handle(), F_SETPIPE_SZ, 4096) == 4096);
        const auto sent = in.write_all(long_text(10'000), within(1ms));
        CHECK(sent.done == 4096);
        CHECK(sent.code == ETIMEDOUT);
    });
}

TEST_CASE("pipe: without a reader a write fails with EPIPE and raises no signal") {
    ::signal(SIGPIPE, SIG_DFL);  // would end this program
    on_wires([] {
        auto [out, in] = make_pipe().value();
        out.close();
        for (int i = 0; i < 2; ++i) CHECK(in.write_all("x", soon()).code == EPIPE);
        CHECK_FALSE(sigpipe_pending());
    });
}

TEST_CASE("pipe: a writer that is parked learns that the reader is gone") {
    ::signal(SIGPIPE, SIG_DFL);
    on_wires([] {
        auto [out, in] = make_pipe().value();
        auto writer =
            spawn([&, &to = in] { return to.write_all(long_text(1'000'000), soon()).code; });
        let_others_run();
        out.close();
        CHECK(writer.join(soon()).value() == EPIPE);
    });
}

TEST_CASE("pipe: a thread that blocks SIGPIPE keeps its own and gets none of ours") {
    on_wires([] {
        auto [out, in] = make_pipe().value();
        out.close();
        mask_sigpipe(SIG_BLOCK);
        CHECK(in.write_all("x", soon()).code == EPIPE);
        CHECK_FALSE(sigpipe_pending());
        ::raise(SIGPIPE);
        CHECK(in.write_all("x", soon()).code == EPIPE);
        CHECK(sigpipe_pending());
        ::signal(SIGPIPE, SIG_IGN);  // takes it back
        mask_sigpipe(SIG_UNBLOCK);
        ::signal(SIGPIPE, SIG_DFL);
    });
}

TEST_CASE("pipe: reading ends by deadline, cancellation and close") {
    on_wires([] {
        auto [out, in] = make_pipe().value();
        std::array<std::byte, 8> buffer;
        CHECK(text_of(out.read(buffer, within(1ms))) == "!ETIMEDOUT");
        const auto read = [&, &from = out] { return text_of(from.read(buffer)); };
        auto cancelled = spawn(read);
        auto closed = spawn(read);
        yield();
        cancelled.cancel();
        CHECK(cancelled.join(soon()).value() == "!ECANCELED");
        out.close();
        CHECK(closed.join(soon()).value() == "!EBADF");
        CHECK(text_of(out.read(buffer)) == "!EBADF");
        CHECK_FALSE(out.is_open());
    });
}

TEST_CASE("pipe: an end serves one direction, and empty calls do nothing") {
    on_wires([] {
        auto [out, in] = make_pipe().value();
        std::array<std::byte, 8> buffer{};
        CHECK(text_of(in.read(buffer, soon())) == "!EBADF");
        CHECK(out.write_all("x", soon()).code == EBADF);
        CHECK(text_of(in.write({}, soon())) == "0");
    });
}

TEST_CASE("pipe: an end in a list of waits") {
    on_wires([] {
        auto [out, in] = make_pipe().value();
        io::readable_wait data(out.native_handle());
        io::writable_wait room(in.native_handle());
        wait_list either;
        either.chain(data);
        either.chain(room);
        CHECK(either.await(soon()).value() == &room);
        room.stop();
        CHECK(in.write_all("x", soon()));
        CHECK(either.await(soon()).value() == &data);
    });
}

TEST_CASE("pipe: adopts a named pipe, and nothing else") {
    on_wires([] {
        char folder[] = "/tmp/wire-pipe-XXXXXX";
        CHECK(::mkdtemp(folder) != nullptr);
        const std::string name = std::string(folder) + "/fifo";
        CHECK(::mkfifo(name.c_str(), 0600) == 0);
        auto both = pipe_end::adopt(::open(name.c_str(), O_RDWR)).value();
        ::unlink(name.c_str());
        std::array<std::byte, 8> buffer;
        CHECK(text_of(both.read(buffer, within(1ms))) == "!ETIMEDOUT");
        CHECK(both.write_all("fifo", soon()));
        CHECK(text_of(both.read(buffer, soon())) == "4");
        const int given = both.release();
        CHECK((::fcntl(given, F_GETFD) & FD_CLOEXEC) != 0);
        ::close(given);

        const int other = ::open(folder, O_RDONLY | O_DIRECTORY);
        CHECK(pipe_end::adopt(other).code() == EINVAL);
        CHECK(::close(other) == 0);
        CHECK(pipe_end::adopt(other).code() == EBADF);
        ::rmdir(folder);
    });
}

TEST_CASE("pipe: the kernel's refusal is an error") {
    const failing_call refused("pipe2", EMFILE);
    CHECK(make_pipe().code() == EMFILE);
}

}  // namespace
}  // namespace wire::test
