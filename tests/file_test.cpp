// Files, folders and temporary files, through helper threads.
#include "support/io.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <wire/file.hpp>
#include <wire/offload.hpp>
#include <wire/spawn.hpp>

#include "support/failing_call.hpp"

namespace wire::test {
namespace {

// A folder of the test's own, removed with all that is in it.
class scratch {
public:
    scratch() { CHECK(::mkdtemp(path_.data()) != nullptr); }
    ~scratch() {
        DIR* const all = ::opendir(path_.c_str());
        while (const dirent* const e = ::readdir(all)) ::unlinkat(::dirfd(all), e->d_name, 0);
        ::closedir(all);
        CHECK(::rmdir(path_.c_str()) == 0);
    }
    scratch(const scratch&) = delete;
    scratch& operator=(const scratch&) = delete;
    [[nodiscard]] std::string operator/(const char* name) const { return path_ + "/" + name; }
    [[nodiscard]] const char* path() const { return path_.c_str(); }

private:
    std::string path_ = "/tmp/wire-file-test-XXXXXX";
};

// Reads of so much always go to a helper.
constexpr std::size_t beyond_the_cache = 100'000;

std::span<const std::byte> data(const std::string& text) {
    return std::as_bytes(std::span(text));
}

std::string contents(const io::file& f, std::size_t size, std::uint64_t at = 0) {
    std::string text(size, '.');
    const auto got = f.pread_exactly(std::as_writable_bytes(std::span(text)), at, soon());
    text.resize(got.done);
    return text + error_name(got.code);
}

template <class T>
std::string outcome(const result<T>& r) {
    return error_name(r.code());
}

TEST_CASE("file: what was written at a place is read from there") {
    on_wires([] {
        const scratch folder;
        auto f = io::open((folder / "a").c_str(), O_RDWR | O_CREAT | O_EXCL, 0640, soon()).value();
        CHECK(f.pwrite(data("hello"), 3, soon()).value() == 5);
        CHECK(f.pwrite_all(data("abc"), 0, soon()).done == 3);
        CHECK(contents(f, 8) == "abchello");
        CHECK(contents(f, 100, 3) == "hello!ENODATA");
        std::array<std::byte, 4> rest{};
        CHECK(f.pread(rest, 8).value() == 0);
        CHECK(f.statx().value().stx_size == 8);
        CHECK((f.statx().value().stx_mode & 0777) == 0640);
        CHECK((::fcntl(f.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK(f.fsync(soon()));
        CHECK(f.fdatasync(soon()));
        CHECK(f.close(soon()));
        CHECK_FALSE(f.is_open());
        CHECK(f.close());
    });
}

TEST_CASE("file: parts are written and read in order") {
    on_wires([] {
        auto f = io::make_temporary_file().value();
        std::string text = "scattered";
        const iovec out[2] = {{text.data(), 4}, {text.data() + 4, 5}};
        CHECK(f.pwritev(out, 10, soon()).value() == 9);
        std::string back(9, '.');
        const iovec in[2] = {{back.data(), 6}, {back.data() + 6, 3}};
        CHECK(f.preadv(in, 10, soon()).value() == 9);
        CHECK(back == text);
    });
}

TEST_CASE("file: fallocate reserves and gives back") {
    on_wires([] {
        auto f = io::make_temporary_file().value();
        CHECK(f.fallocate(0, 0, 8192, soon()));
        CHECK(f.statx().value().stx_size == 8192);
        CHECK(f.fallocate(FALLOC_FL_KEEP_SIZE, 8192, 4096, soon()));
        CHECK(f.statx().value().stx_size == 8192);
        CHECK(outcome(f.fallocate(0, 0, 0)) == "!EINVAL");
    });
}

TEST_CASE("file: names are looked at, renamed and removed") {
    on_wires([] {
        const scratch folder;
        const std::string a = folder / "a", b = folder / "b", link = folder / "link";
        CHECK(io::open(a.c_str(), O_WRONLY | O_CREAT).value().close());
        CHECK(io::call(::symlink, a.c_str(), link.c_str()));
        CHECK(S_ISREG(io::statx(link.c_str()).value().stx_mode));
        CHECK(S_ISLNK(io::statx(link.c_str(), AT_SYMLINK_NOFOLLOW).value().stx_mode));
        CHECK(io::rename(a.c_str(), b.c_str(), soon()));
        CHECK(outcome(io::statx(a.c_str())) == "!ENOENT");
        CHECK(outcome(io::rename(a.c_str(), b.c_str())) == "!ENOENT");
        CHECK(io::unlink(b.c_str(), soon()));
        CHECK(outcome(io::unlink(b.c_str())) == "!ENOENT");
        CHECK(outcome(io::open(b.c_str(), O_RDONLY)) == "!ENOENT");
    });
}

TEST_CASE("file: a closed one and a full disk are told as the system tells them") {
    on_wires([] {
        io::file f;
        CHECK(outcome(f.pwrite(data("x"), 0)) == "!EBADF");
        CHECK(outcome(f.statx()) == "!EBADF");
        CHECK(outcome(f.fsync()) == "!EBADF");
        auto full = io::open("/dev/full", O_WRONLY).value();
        const auto written = full.pwrite_all(data("x"), 0, soon());
        CHECK(written.done == 0);
        CHECK(error_name(written.code) == "!ENOSPC");
        CHECK(contents(io::open("/", O_RDONLY).value(), 1) == "!EISDIR");
    });
}

TEST_CASE("file: short transfers are continued, and an error says how far it came") {
    on_wires([] {
        auto f = io::make_temporary_file().value();
        CHECK(f.pwrite_all(data("12345678"), 0));
        {
            const failing_call interrupted("pread", EINTR, 1, 3);
            CHECK(contents(f, beyond_the_cache) == "12345678!ENODATA");
            CHECK(interrupted.calls() == 5);
        }
        const failing_call broken("pread", EIO, 2);
        CHECK(contents(f, beyond_the_cache) == "12345678!EIO");
    });
}

TEST_CASE("file: what the cache has is read on the wire's own thread, and the others still run") {
    on_wires([] {
        auto f = io::make_temporary_file().value();
        CHECK(f.pwrite_all(data("12345678"), 0));
        bool over = false;
        int turns = 0;
        auto other = spawn([&] {
            do {
                ++turns;
                yield();
            } while (!over);
        });
        {
            const failing_call helped("pread", EIO);
            for (int i = 0; i < 640; ++i) CHECK(contents(f, 8) == "12345678");
            CHECK(contents(f, 10, 4) == "5678!ENODATA");
            CHECK(helped.calls() == 0);
        }
        over = true;
        other.join(soon()).value();
        CHECK(turns >= 10);
    });
}

TEST_CASE("file: what the cache does not have, or cannot tell, is read by a helper") {
    on_wires([] {
        auto f = io::make_temporary_file().value();
        CHECK(f.pwrite_all(data("12345678"), 0));
        for (const int error : {EAGAIN, EOPNOTSUPP}) {
            const failing_call not_cached("preadv2", error);
            CHECK(contents(f, 8) == "12345678");
            CHECK(not_cached.calls() == 1);
        }
        CHECK(contents(io::open("/proc/self/stat", O_RDONLY).value(), 3).size() == 3);
    });
}

TEST_CASE("file: owns its number until it is released, moved or closed") {
    on_wires([] {
        io::file f = io::make_temporary_file().value();
        const int number = f.native_handle();
        io::file g = std::move(f);
        CHECK(g.native_handle() == number);
        f = std::move(g);
        const int released = f.release();
        CHECK(released == number);
        CHECK_FALSE(f.is_open());
        f = io::file::adopt(released);
        CHECK(f.statx());
        f = io::file();
        CHECK(::fcntl(number, F_GETFD) == -1);
    });
}

TEST_CASE("file: an error of close is told once, and the file is closed all the same") {
    on_wires([] {
        io::file f = io::make_temporary_file().value();
        const int number = f.native_handle();
        {
            const failing_call late("close", EIO, 1, 1);
            CHECK(outcome(f.close(soon())) == "!EIO");
        }
        CHECK_FALSE(f.is_open());
        ::close(number);  // the failure was only played
    });
}

TEST_CASE("file: in a cancelled wire nothing is begun, and the file stays open") {
    on_wires([] {
        io::file f = io::make_temporary_file().value();
        cancel_scope inside;
        inside.cancel();
        CHECK(outcome(f.pwrite(data("x"), 0)) == "!ECANCELED");
        CHECK(outcome(f.close()) == "!ECANCELED");
        CHECK(f.is_open());
        CHECK(outcome(io::list_directory("/")) == "!ECANCELED");
    });
}

TEST_CASE("file: several wires read one file at once") {
    on_wires([] {
        auto f = io::make_temporary_file().value();
        const std::string text = long_text(64 * 1024);
        CHECK(f.pwrite_all(data(text), 0));
        std::vector<handle<bool>> readers;
        for (std::size_t i = 0; i < 16; ++i)
            readers.push_back(spawn(
                [&, at = i * 4096] { return contents(f, 4096, at) == text.substr(at, 4096); }));
        for (auto& r : readers) CHECK(r.join(soon()).value());
    });
}

TEST_CASE("temporary file: one without a name is in no folder, and gone when it is closed") {
    on_wires([] {
        const scratch folder;
        for (const bool supported : {true, false}) {
            CAPTURE(supported);
            const failing_call refused("openat", supported ? 0 : EOPNOTSUPP);
            auto f = io::make_temporary_file(folder.path(), soon()).value();
            CHECK(f.pwrite_all(data("secret"), 0));
            CHECK(contents(f, 6) == "secret");
            CHECK(f.statx().value().stx_nlink == 0);
            CHECK((f.statx().value().stx_mode & 0777) == 0600);
            CHECK(io::list_directory(folder.path()).value().empty());
        }
        CHECK(outcome(io::make_temporary_file("/nonexistent")) == "!ENOENT");
    });
}

TEST_CASE("temporary file: one with a name stays until it is removed") {
    on_wires([] {
        const scratch folder;
        auto [f, path] = io::make_named_temporary_file(folder.path(), soon()).value();
        auto [g, other] = io::make_named_temporary_file(folder.path()).value();
        CHECK(path != other);
        CHECK(f.pwrite_all(data("kept"), 0));
        CHECK(f.close());
        CHECK(contents(io::open(path.c_str(), O_RDONLY).value(), 4) == "kept");
        CHECK(io::unlink(path.c_str()));
        CHECK(outcome(io::make_named_temporary_file("/nonexistent")) == "!ENOENT");
    });
}

TEST_CASE("directory: all names are listed, with their kind, but not . and ..") {
    on_wires([] {
        const scratch folder;
        std::set<std::string> made;
        for (int i = 0; i < 500; ++i) {
            made.insert("name" + std::to_string(i));
            CHECK(io::open((folder / ("name" + std::to_string(i)).c_str()).c_str(),
                           O_WRONLY | O_CREAT));
        }
        std::set<std::string> found;
        const auto all = io::list_directory(folder.path(), soon()).value();
        for (const auto& e : all) {
            found.insert(e.name);
            CHECK((e.type == DT_REG || e.type == DT_UNKNOWN));
        }
        CHECK(found == made);
        CHECK(outcome(io::list_directory("/nonexistent")) == "!ENOENT");
        CHECK(outcome(io::list_directory("/dev/null")) == "!ENOTDIR");
    });
}

TEST_CASE("file: every call tells the error that the system gives") {
    on_wires([] {
        auto f = io::make_temporary_file().value();
        const iovec none[1] = {};
        std::vector<std::byte> large(beyond_the_cache);
        const std::map<const char*, std::function<int()>> calls = {
            {"openat", [] { return io::open("/dev/null", O_RDONLY).code(); }},
            {"pread", [&] { return f.pread(large, 0).code(); }},
            {"pwrite", [&] { return f.pwrite({}, 0).code(); }},
            {"preadv", [&] { return f.preadv(none, 0).code(); }},
            {"pwritev", [&] { return f.pwritev(none, 0).code(); }},
            {"statx", [&] { return f.statx().code(); }},
            {"fsync", [&] { return f.fsync().code(); }},
            {"fdatasync", [&] { return f.fdatasync().code(); }},
            {"fallocate", [&] { return f.fallocate(0, 0, 1).code(); }},
            {"renameat2", [] { return io::rename("/nonexistent", "/nowhere").code(); }},
            {"unlinkat", [] { return io::unlink("/nonexistent").code(); }},
            {"mkostemp", [] { return io::make_named_temporary_file().code(); }},
            {"opendir", [] { return io::list_directory("/").code(); }},
        };
        for (const auto& [name, call] : calls) {
            CAPTURE(std::string(name));
            const failing_call fails(name, EIO);
            CHECK(error_name(call()) == "!EIO");
        }
    });
}

}  // namespace
}  // namespace wire::test
