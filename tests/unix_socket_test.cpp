// Unix sockets: paths that are left, in use, removed, or abstract.
#include "support/io.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>

#include "support/failing_call.hpp"
#include "support/temporary_directory.hpp"

namespace wire::test {
namespace {

namespace fs = std::filesystem;

std::string outcome(const result<listener>& r) {
    return error_name(r.code());
}

// Leaves a socket file behind, as a killed server does.
void leave_stale(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const auto at = io::address::local(path).value();
    CHECK(::bind(fd, at.raw(), at.length()) == 0);
    CHECK(::listen(fd, 1) == 0);
    ::close(fd);
}

TEST_CASE("unix socket: a path is made by listen and removed by close") {
    const temporary_directory dir;
    const auto path = dir / "s";
    auto door = io::listen_unix(path).value();
    CHECK(fs::is_socket(path));
    CHECK(door.port() == 0);
    CHECK(door.local_address()->to_string() == path);
    auto moved = std::move(door);
    door.close();
    CHECK(fs::exists(path));
    moved.close();
    CHECK_FALSE(fs::exists(path));
}

TEST_CASE("unix socket: a connection over a path carries bytes") {
    const temporary_directory dir;
    on_wires([&] {
        auto door = io::listen_unix(dir / "s").value();
        auto near = io::connect_unix(dir / "s", soon()).value();
        auto far = door.accept(soon()).value();
        CHECK(near.peer_address()->to_string() == dir / "s");
        put(near, "x");
        CHECK(take(far) == "x");
    });
}

TEST_CASE("unix socket: a path that a dead server left is replaced") {
    const temporary_directory dir;
    on_wires([&] {
        leave_stale(dir / "s");
        auto door = io::listen_unix(dir / "s").value();
        CHECK(io::connect_unix(dir / "s", soon()).code() == 0);
    });
}

TEST_CASE("unix socket: a path on which somebody listens fails with EADDRINUSE and stays his") {
    const temporary_directory dir;
    on_wires([&] {
        auto door = io::listen_unix(dir / "s").value();
        CHECK(outcome(io::listen_unix(dir / "s")) == "!EADDRINUSE");
        CHECK(fs::is_socket(dir / "s"));
        CHECK(io::connect_unix(dir / "s", soon()).code() == 0);
    });
}

TEST_CASE("unix socket: what is no socket is never removed") {
    const temporary_directory dir;
    const auto file = dir / "file";
    ::close(::open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK(outcome(io::listen_unix(file)) == "!EADDRINUSE");
    CHECK(fs::is_regular_file(file));

    leave_stale(dir / "s");
    fs::create_symlink(dir / "s", dir / "link");
    CHECK(outcome(io::listen_unix(dir / "link")) == "!EADDRINUSE");
    CHECK(fs::is_symlink(dir / "link"));
    CHECK(fs::is_socket(dir / "s"));
}

TEST_CASE("unix socket: a path without a directory, or too long, fails as the system says") {
    CHECK(outcome(io::listen_unix("/nonexistent/s")) == "!ENOENT");
    CHECK(outcome(io::listen_unix(std::string(108, 'x'))) == "!ENAMETOOLONG");
    CHECK(outcome(io::listen_unix("")) == "!EINVAL");
}

TEST_CASE("unix socket: a failed listen leaves no path behind") {
    const temporary_directory dir;
    const failing_call listening("listen", EADDRINUSE);
    CHECK(outcome(io::listen_unix(dir / "s")) == "!EADDRINUSE");
    CHECK_FALSE(fs::exists(dir / "s"));
}

TEST_CASE("unix socket: a released listener leaves its path to the new owner") {
    const temporary_directory dir;
    auto door = io::listen_unix(dir / "s").value();
    const int number = door.release();
    CHECK(fs::exists(dir / "s"));
    auto adopted = listener::adopt(number).value();
    adopted.close();
    CHECK(fs::exists(dir / "s"));
}

TEST_CASE("unix socket: an abstract name needs no file and is free again after close") {
    on_wires([] {
        const std::string name = own_address("abstract");
        for (int i = 0; i < 2; ++i) {
            auto door = io::listen_unix(name).value();
            CHECK(outcome(io::listen_unix(name)) == "!EADDRINUSE");
            CHECK(door.local_address()->to_string() == name);
            CHECK(io::connect_unix(name, soon()).code() == 0);
        }
    });
}

TEST_CASE("unix socket: another server's path is not removed by the close of the replaced one") {
    const temporary_directory dir;
    auto old = io::listen_unix(dir / "s").value();
    fs::remove(dir / "s");
    auto fresh = io::listen_unix(dir / "s").value();
    old.close();
    CHECK(fs::exists(dir / "s"));
}

}  // namespace
}  // namespace wire::test
